/**
 * The registers of x86-64 that an integer instruction can name, as data (Intel SDM vol. 1 §3.4, vol. 2 §2.2.1.2).
 * `number` is the number the encoding uses, REX bit included: rax is 0, r15 is 15, ah is 4.
 */

import type { Width } from './width.ts';

/** What a register is for. `high-byte` are ah, ch, dh, bh; `pointer` are rip and eip, which only addresses can hold. */
export type RegisterClass = 'general' | 'high-byte' | 'segment' | 'control' | 'debug' | 'pointer';

/** One register. Registers are compared by identity: there is one object for each. */
export interface Register {
  readonly name: string;
  readonly class: RegisterClass;
  /** In bits. */
  readonly width: Width;
  /** Number in ModRM, SIB or the opcode, with the REX extension bit as bit 3. */
  readonly number: number;
  /** `needs`: spl, bpl, sil, dil exist only under a REX prefix; `forbids`: ah, ch, dh, bh do not exist under one. */
  readonly rex: 'any' | 'needs' | 'forbids';
}

const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];

function name(width: Width, number: number): string {
  if (number >= 8) return `r${number}${{ 8: 'b', 16: 'w', 32: 'd', 64: '' }[width]}`;
  if (width === 8) return LOW_BYTES[number]!;
  return { 16: '', 32: 'e', 64: 'r' }[width] + LEGACY[number]!;
}

function general(width: Width): readonly Register[] {
  return Array.from({ length: 16 }, (_, number) => ({
    name: name(width, number),
    class: 'general',
    width,
    number,
    rex: width === 8 && number >= 4 && number < 8 ? 'needs' : 'any',
  }));
}

function family(registerClass: RegisterClass, width: Width, names: readonly string[]): readonly Register[] {
  return names.map((each, number) => ({ name: each, class: registerClass, width, number, rex: 'any' }));
}

const BYTES = general(8);
const WORDS = general(16);
const DOUBLE_WORDS = general(32);
const QUAD_WORDS = general(64);

const HIGH_BYTES: readonly Register[] = ['ah', 'ch', 'dh', 'bh'].map((each, index) => ({
  name: each,
  class: 'high-byte',
  width: 8,
  number: index + 4,
  rex: 'forbids',
}));

/** es, cs, ss, ds, fs, gs by their number. */
export const SEGMENTS = family('segment', 16, ['es', 'cs', 'ss', 'ds', 'fs', 'gs']);

/** cr0–cr15 by number; a CPU has 0, 2, 3, 4 and 8. */
export const CONTROLS = family(
  'control',
  64,
  Array.from({ length: 16 }, (_, number) => `cr${number}`),
);

/** dr0–dr15 by number; a CPU has 0–7. */
export const DEBUGS = family(
  'debug',
  64,
  Array.from({ length: 16 }, (_, number) => `dr${number}`),
);

/** The instruction pointer as a base register of 64-bit addresses, and of 32-bit ones. */
export const RIP: Register = { name: 'rip', class: 'pointer', width: 64, number: 0, rex: 'any' };
export const EIP: Register = { name: 'eip', class: 'pointer', width: 32, number: 0, rex: 'any' };

/** General registers of one width by number 0–15; of the bytes, 4–7 are spl, bpl, sil, dil. */
export function generalRegisters(width: Width): readonly Register[] {
  return width === 64 ? QUAD_WORDS : width === 32 ? DOUBLE_WORDS : width === 16 ? WORDS : BYTES;
}

/** The byte register a number means with and without a REX prefix: 4–7 are ah, ch, dh, bh without one. */
export function byteRegister(number: number, rex: boolean): Register {
  return rex || number < 4 || number > 7 ? BYTES[number]! : HIGH_BYTES[number - 4]!;
}

/** Every register, for listings and "did you mean". */
export const REGISTERS: readonly Register[] = [
  ...QUAD_WORDS,
  ...DOUBLE_WORDS,
  ...WORDS,
  ...BYTES,
  ...HIGH_BYTES,
  ...SEGMENTS,
  ...CONTROLS,
  ...DEBUGS,
  RIP,
  EIP,
];

const BY_NAME = new Map(REGISTERS.map((each) => [each.name, each]));

/** The register of that name in any case, or undefined. `r8b` may also be written `r8l`, as NASM allows. */
export function registerNamed(text: string): Register | undefined {
  const lower = text.toLowerCase();
  return BY_NAME.get(lower) ?? (/^r\d+l$/.test(lower) ? BY_NAME.get(`${lower.slice(0, -1)}b`) : undefined);
}
