/** A processor's registers as text, and by name. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
import type { Gva } from '../address.ts';
import type { Cpu } from '../linux/kvm/cpu.ts';
import { addressOf } from './break-point.ts';
import type { GuestProgram } from './guest-program.ts';
import { UsageError } from './usage-error.ts';

/** General registers in the order of their numbers (SDM vol. 2 table 2-2). */
export const GENERAL = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'tr', 'ldt'] as const;
const CONTROLS = [0, 2, 3, 4, 8] as const;
/** Bits of RFLAGS with a name (SDM vol. 1 §3.4.3). */
export const FLAG_BITS: readonly (readonly [bit: number, name: string])[] = [
  [0, 'CF'],
  [2, 'PF'],
  [4, 'AF'],
  [6, 'ZF'],
  [7, 'SF'],
  [8, 'TF'],
  [9, 'IF'],
  [10, 'DF'],
  [11, 'OF'],
  [14, 'NT'],
  [16, 'RF'],
  [18, 'AC'],
];

const hex = (value: bigint): string => value.toString(16).padStart(16, '0');

/** How to read a register by its name: general ones, rip, rflags, cr0 … cr8; undefined for any other word. */
function registerNamed(name: string): ((cpu: Cpu) => bigint) | undefined {
  const number = GENERAL.indexOf(name);
  if (number >= 0) return (cpu) => cpu.register(number);
  if (name === 'rip') return (cpu) => cpu.rip;
  if (name === 'rflags') return (cpu) => cpu.rflags;
  const control = CONTROLS.find((each) => name === `cr${each}`);
  return control === undefined ? undefined : (cpu) => cpu.control(control);
}

/** All registers, in lines. */
export function registerLines(cpu: Cpu): string[] {
  const rows: string[] = [];
  for (let first = 0; first < GENERAL.length; first += 4) {
    const row = GENERAL.slice(first, first + 4).map(
      (name, index) => `${name.padEnd(3)} ${hex(cpu.register(first + index))}`,
    );
    rows.push(row.join('  '));
  }
  const flags = FLAG_BITS.filter(([bit]) => ((cpu.rflags >> BigInt(bit)) & 1n) === 1n).map(([, name]) => name);
  rows.push(`rip ${hex(cpu.rip)}  rflags ${hex(cpu.rflags)} [${flags.join(' ')}]`);
  for (const name of SEGMENTS) {
    const { selector, base, limit, type, dpl, l, unusable } = cpu.segment(name);
    const state = unusable === 1 ? 'unusable' : `type ${type.toString(16)} dpl ${dpl}${l === 1 ? ' long' : ''}`;
    rows.push(
      `${name.padEnd(3)} ${selector.toString(16).padStart(4, '0')} base ${hex(base)} limit ${limit.toString(16).padStart(8, '0')} ${state}`,
    );
  }
  for (const name of ['gdt', 'idt'] as const) {
    const { base, limit } = cpu.descriptorTable(name);
    rows.push(`${name}      base ${hex(base)} limit ${limit.toString(16).padStart(8, '0')}`);
  }
  rows.push(
    CONTROLS.map((each) => `cr${each} ${cpu.control(each).toString(16)}`).join('  '),
    `efer ${cpu.efer.toString(16)}`,
  );
  return rows;
}

/**
 * How to find an address that the user wrote: a number, a register's name for its value, or a label of the program with an offset or
 * without. Anything else is a {@link UsageError}.
 */
export function addressNamed(word: string, program: GuestProgram): (cpu: Cpu) => Gva {
  const register = registerNamed(word);
  if (register !== undefined) return (cpu) => BigInt.asUintN(64, register(cpu)) as Gva;
  const address = addressOf(program, word);
  if (typeof address === 'bigint') return () => address as Gva;
  const hint = didYouMean(address.missing, program.symbolizer().names());
  throw new UsageError(`gvm walk: '${word}' is neither an address nor a register nor a label of the program${hint}`);
}
