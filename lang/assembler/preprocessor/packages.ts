/** The `%use` packages (NASM manual chapter 6) that make sense for 64-bit code without floating point, in the language itself. */

const ALTREG = [
  'rax rcx rdx rbx rsp rbp rsi rdi',
  'eax ecx edx ebx esp ebp esi edi',
  'ax cx dx bx sp bp si di',
  'al cl dl bl spl bpl sil dil',
];

function altreg(): string {
  const rows = ALTREG.flatMap((names, row) =>
    names.split(' ').map((name, i) => [`r${i}${'dwl'[row - 1] ?? ''}`, name]),
  );
  const high = ['ah', 'ch', 'dh', 'bh'].map((name, i) => [`r${i}h`, name]);
  const low = [8, 9, 10, 11, 12, 13, 14, 15].map((i) => [`r${i}l`, `r${i}b`]);
  const lines = [...rows, ...high, ...low].map(([alternative, name]) => `%idefine ${alternative} ${name}`);
  return `%define __?USE_ALTREG?__\n${lines.join('\n')}\n`;
}

/** How the package begins. */
export const SMARTALIGN_DEFAULT = '[smartalign generic, 8]';

/** The padding itself is the assembler's: only its passes know how many bytes are missing. */
const SMARTALIGN = `%define __?USE_SMARTALIGN?__
%imacro alignmode 1-2
[smartalign %1, %2]
%endmacro
${SMARTALIGN_DEFAULT}
`;

export const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['altreg', altreg()],
  ['smartalign', SMARTALIGN],
]);

/** Packages of NASM for what gvm leaves out: floating point, logarithms, MASM's syntax, vector compares. */
export const LEFT_OUT_PACKAGES: ReadonlySet<string> = new Set(['fp', 'ifunc', 'masm', 'vtern']);
