/**
 * Guests whose instructions meet memory that is none: reads and writes of holes, across the ends of slots, of a read-only slot, and of ports,
 * by all kinds of instructions that KVM's emulator knows. Their bytes mean the same in 64-bit mode and in protected mode (see register-guest.ts).
 */

import type { Draws } from '../../linux/syscalls/draws.ts';

export const PAGE = 4096;
/** Guest memory: RAM, a hole of three pages, RAM again, a hole, and memory that only KVM's user may write. */
export const RAM_END = 16 << 20;
export const SECOND = RAM_END + 3 * PAGE;
export const READ_ONLY = SECOND + 3 * PAGE;
export const SLOT_BYTES = 2 * PAGE;
export const OVER = 0x82;
export const PORT = 0x3f0;
const INSTRUCTIONS = 30;

const REGISTERS = {
  1: ['al', 'cl', 'dl', 'ah', 'ch', 'dh'],
  2: ['ax', 'cx', 'dx', 'si', 'bp'],
  4: ['eax', 'ecx', 'edx', 'edi', 'ebp'],
};
type Size = keyof typeof REGISTERS;
const NAMES = { 1: 'byte', 2: 'word', 4: 'dword' };
const STRING_LETTERS = { 1: 'b', 2: 'w', 4: 'd' };
const ARITHMETIC = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor'];
const ONE_OPERAND = ['inc', 'dec', 'not', 'neg'];
const SHIFTS = ['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr'];
const BIT_CHANGES = ['bts', 'btr', 'btc'];
/** What leaves flags undefined; these are not looked at, and defined afterwards. */
const LEAVES_UNDEFINED = /\b(and|or|xor|test|sh[lr]|sar|ro[lr]|rc[lr]|shld|shrd|bt[src]?|bs[fr]|i?mul) /;
const CONDITIONS = ['o', 'no', 'c', 'nc', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];

const EDGES = [
  RAM_END,
  RAM_END,
  RAM_END + PAGE,
  SECOND,
  SECOND + SLOT_BYTES,
  READ_ONLY,
  READ_ONLY + PAGE,
  READ_ONLY + SLOT_BYTES,
];

/** Where an operand of up to `bytes` lies: mostly near an edge. */
function address(draws: Draws, bytes: number): number {
  return draws.pick(EDGES) + draws.next(2 * bytes + 8) - bytes - 2;
}

function any(draws: Draws): number {
  return draws.once(3) ? draws.next(256) : draws.next(2 ** 31) * 2 + draws.next(2);
}

const size = (draws: Draws): Size => draws.pick([1, 2, 4] as const);
const register = (draws: Draws, of: Size) => draws.pick(REGISTERS[of]);
const at = (of: Size) => `${NAMES[of]} [rbx]`;
const point = (draws: Draws, bytes: number) => `mov ebx, ${address(draws, bytes)}`;
const locked = (draws: Draws) => (draws.once(3) ? 'lock ' : '');
/** A bit that is not far from the address: beyond 4 GiB the modes go different ways. */
const bit = (draws: Draws) => `mov ecx, ${draws.next(64)}\n`;
const immediate = (draws: Draws, of: Size) => any(draws) % 256 ** of;

function move(draws: Draws): string {
  const of = size(draws);
  return draws.pick([
    `mov ${register(draws, of)}, [rbx]`,
    `mov [rbx], ${register(draws, of)}`,
    `mov ${at(of)}, ${immediate(draws, of)}`,
    `${draws.pick(['movzx', 'movsx'])} ${draws.pick(['eax', 'dx'])}, byte [rbx]`,
    `${draws.pick(['movzx', 'movsx'])} ecx, word [rbx]`,
    'movnti [rbx], eax',
    `set${draws.pick(CONDITIONS)} [rbx]`,
    `cmov${draws.pick(CONDITIONS)} ${draws.pick(['eax', 'dx'])}, [rbx]`,
    `${draws.pick(['push', 'pop'])} word [rbx]`,
  ]);
}

function change(draws: Draws): string {
  const of = size(draws);
  const wide = draws.pick([2, 4] as const);
  return draws.pick([
    `${locked(draws)}${draws.pick(ARITHMETIC)} [rbx], ${register(draws, of)}`,
    `${locked(draws)}${draws.pick(ARITHMETIC)} ${at(of)}, ${immediate(draws, of)}`,
    `${draws.pick([...ARITHMETIC, 'cmp'])} ${register(draws, of)}, [rbx]`,
    `cmp ${at(of)}, ${immediate(draws, of)}`,
    `test ${at(of)}, ${immediate(draws, of)}`,
    `test [rbx], ${register(draws, of)}`,
    `${locked(draws)}${draws.pick(ONE_OPERAND)} ${at(of)}`,
    `${locked(draws)}xchg [rbx], ${register(draws, of)}`,
    `${locked(draws)}cmpxchg [rbx], ${register(draws, of)}`,
    `${locked(draws)}cmpxchg8b [rbx]`,
    `${locked(draws)}xadd [rbx], ${register(draws, of)}`,
    `${locked(draws)}${draws.pick(BIT_CHANGES)} ${at(wide)}, ${draws.next(64)}`,
    `${bit(draws)}${locked(draws)}${draws.pick(BIT_CHANGES)} [rbx], ${draws.pick(['cx', 'ecx'])}`,
    `bt ${at(wide)}, ${draws.next(64)}`,
    `${bit(draws)}bt [rbx], ecx`,
    `${draws.pick(SHIFTS)} ${at(of)}, ${draws.pick(['1', 'cl', `${draws.next(40)}`])}`,
    `${draws.pick(['shld', 'shrd'])} [rbx], edx, ${draws.pick(['cl', `${draws.next(32)}`])}`,
    `${draws.pick(['bsf', 'bsr'])} edx, [rbx]`,
    `${draws.pick(['mul', 'imul'])} ${at(of)}`,
    `imul ${draws.pick(['eax, [rbx]', 'dx, [rbx]', `edx, [rbx], ${draws.next(1000)}`])}`,
  ]);
}

/** A string instruction, at times repeated, either way round; one operand is in RAM as often as not. */
function string(draws: Draws): string[] {
  const of = size(draws);
  const name = draws.pick(['movs', 'movs', 'stos', 'lods', 'cmps', 'scas', 'ins', 'outs']);
  const compares = name === 'cmps' || name === 'scas';
  const repeat = draws.pick(['', '', ...(compares ? ['repe ', 'repne '] : ['rep ', 'rep '])]);
  const ram = () => RAM_END - PAGE / 2 + draws.next(64);
  const place = () => (draws.once(2) ? address(draws, 4 * of) : ram());
  // The processor reads the destination of CMPS first, and so does the model wherever it does; KVM's emulator the source.
  return [
    `mov esi, ${place()}`,
    `mov edi, ${name === 'cmps' ? ram() : place()}`,
    `mov ecx, ${draws.pick([0, 1, 2, 5, draws.next(20)])}`,
    `mov dx, ${PORT}`,
    draws.once(4) ? 'std' : 'cld',
    `${repeat}${name}${STRING_LETTERS[of]}`,
    'cld',
  ];
}

function port(draws: Draws): string[] {
  const accumulator = draws.pick(['al', 'ax', 'eax']);
  const narrow = draws.pick([PORT & 0xff, 0x7e, 0x80]);
  return draws.pick([
    [`mov dx, ${PORT + draws.next(8)}`, `out dx, ${accumulator}`],
    [`mov dx, ${PORT + draws.next(8)}`, `in ${accumulator}, dx`],
    [`out ${narrow}, ${accumulator}`],
    [`in ${accumulator}, ${narrow}`],
  ]);
}

function instruction(draws: Draws): string[] {
  const registers = draws.once(2)
    ? []
    : [`mov eax, ${any(draws)}`, `mov edx, ${any(draws)}`, `mov ecx, ${any(draws) % 64}`];
  switch (draws.next(7)) {
    case 0:
      return port(draws);
    case 1:
    case 2:
      return string(draws);
    case 3:
    case 4:
      return [...registers, point(draws, 4), move(draws)];
    default: {
      const line = change(draws);
      return [
        ...registers,
        point(draws, 4),
        line,
        ...(LEAVES_UNDEFINED.test(line) ? ['cmp edx, ecx'] : ['lahf', 'seto al']),
      ];
    }
  }
}

/** A program, whose instructions mean the same in either mode. */
export function exitProgram(draws: Draws): string {
  const lines = Array.from({ length: INSTRUCTIONS }, () => instruction(draws)).flat();
  return ['bits 64', ...lines, `out ${OVER}, al`, 'hlt'].join('\n');
}
