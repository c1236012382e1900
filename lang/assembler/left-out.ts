/**
 * Instructions that NASM knows and gvm leaves out on purpose (design D1: general registers and system instructions only). A word of
 * these alone on a line would pass for a label, and the program would be another one than NASM's.
 */

import { foreignNames } from '../isa/foreign.ts';

/** Instructions that may stand without operands: x87 and MMX, virtualisation, enclaves, transactions and other extensions. */
const ALONE = new Set(
  (
    'emms femms f2xm1 fabs fadd faddp fchs fclex fcom fcomp fcompp fcos fdecstp fdiv fdivp fdivr fdivrp fincstp finit fld1 fldl2e ' +
    'fldl2t fldlg2 fldln2 fldpi fldz fmul fmulp fnclex fninit fnop fpatan fprem fprem1 fptan frndint fscale fsin fsincos fsqrt ' +
    'fsub fsubp fsubr fsubrp ftst fucom fucomp fucompp fwait fxam fxch fxtract fyl2x fyl2xp1 vzeroall vzeroupper vmlaunch ' +
    'vmresume vmxoff vmfunc vmgexit vmrun vmload vmsave clgi stgi skinit getsec encls enclu enclv xend xtest clzero clui stui ' +
    'testui uiret monitorx mwaitx rdpkru wrpkru serialize pconfig rsm saveprevssp setssbsy tilerelease xresldtrk xsusldtrk ' +
    'int01 int03 icebp xcryptcbc xcryptcfb xcryptctr xcryptecb xcryptofb xsha1 xsha256 xstore montmul'
  ).split(' '),
);

/** Others that take operands and that iced-x86, whose names isa/foreign.ts has, does not know or has no vector in. */
const WITH_OPERANDS = new Set(
  'xabort xbegin bndcl bndcn bndcu bndldx bndmk bndmov bndstx ptwrite prefetchwt1'.split(' '),
);

const VECTOR_REGISTER = /^(?:[xyz]mm\d+|mm[0-7]|st[0-7]|k[0-7])$/i;

/** Registers that gvm has not, and `to`: no names of labels to NASM, unless a `$` stands in front. */
const RESERVED = /^(?:[xyz]mm(?:[12]?\d|3[01])|mm[0-7]|st[0-7]|k[0-7]|bnd[0-3]|tmm[0-7]|tr[0-7]|to)$/i;

/** True of a word that NASM reads as something of its own where a label could stand. */
export const isReserved = (word: string): boolean => RESERVED.test(word);

/** True of a word that is an instruction to NASM where nothing follows it. */
export function isLeftOutAlone(word: string): boolean {
  return ALONE.has(word.toLowerCase());
}

/** True of a word that is an instruction to NASM, with operands or without, and none to gvm. */
export function isLeftOut(word: string): boolean {
  const name = word.toLowerCase();
  return ALONE.has(name) || WITH_OPERANDS.has(name) || foreignNames().has(name);
}

/** True where a line names a vector or floating-point register. */
export function usesVectorRegister(words: readonly string[]): boolean {
  return words.some((word) => VECTOR_REGISTER.test(word));
}

export const LEFT_OUT_NOTE =
  'gvm has the general and system instructions of x86-64; compile C with -mgeneral-regs-only';
