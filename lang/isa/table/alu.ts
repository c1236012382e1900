/** Arithmetic and logic on general registers and memory (SDM vol. 2). Row order within a mnemonic is the assembler's preference. */

import { type Row, row } from './row.ts';

const hex = (byte: number) => byte.toString(16).padStart(2, '0');

/** The eight operations that share one opcode layout: block `n * 8`, and /n of 80, 81 and 83. */
function binary(name: string, n: number, lock: boolean): readonly Row[] {
  const at = (offset: number) => hex(n * 8 + offset);
  const flags = 'oszapc';
  return [
    row(name, 'rm8, r8', `${at(0)} /r`, flags, { lock }),
    row(name, 'rmv, rv', `${at(1)} /r`, flags, { lock }),
    row(name, 'r8, rm8', `${at(2)} /r`, flags),
    row(name, 'rv, rmv', `${at(3)} /r`, flags),
    row(name, 'rmv, simm8', `83 /${n} ib`, flags, { lock }),
    row(name, 'al, imm', `${at(4)} ib`, flags),
    row(name, 'av, imm', `${at(5)} iz`, flags),
    row(name, 'rm8, imm', `80 /${n} ib`, flags, { lock }),
    row(name, 'rmv, imm', `81 /${n} iz`, flags, { lock }),
  ];
}

/** Shifts and rotates: /n of C0, C1, D0–D3. */
function shift(names: string, n: number, flags: string): readonly Row[] {
  return [
    row(names, 'rm8, one', `d0 /${n}`, flags),
    row(names, 'rm8, cl', `d2 /${n}`, flags),
    row(names, 'rm8, imm8', `c0 /${n} ib`, flags),
    row(names, 'rmv, one', `d1 /${n}`, flags),
    row(names, 'rmv, cl', `d3 /${n}`, flags),
    row(names, 'rmv, imm8', `c1 /${n} ib`, flags),
  ];
}

/** One operand: /n of a byte opcode and of the one after it. */
function unary(name: string, opcode: number, n: number, flags: string, lock = false, meaning = name): readonly Row[] {
  return [
    row(name, 'rm8', `${hex(opcode)} /${n}`, flags, { lock, meaning }),
    row(name, 'rmv', `${hex(opcode + 1)} /${n}`, flags, { lock, meaning }),
  ];
}

export const ALU: readonly Row[] = [
  ...['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor'].flatMap((name, n) => binary(name, n, true)),
  ...binary('cmp', 7, false),
  row('test', 'rm8, r8', '84 /r', 'oszapc'),
  row('test', 'rmv, rv', '85 /r', 'oszapc'),
  row('test', 'r8, rm8', '84 /r', 'oszapc', { only: 'encode' }),
  row('test', 'rv, rmv', '85 /r', 'oszapc', { only: 'encode' }),
  row('test', 'al, imm', 'a8 ib', 'oszapc'),
  row('test', 'av, imm', 'a9 iz', 'oszapc'),
  row('test', 'rm8, imm', 'f6 /0 ib', 'oszapc'),
  row('test', 'rmv, imm', 'f7 /0 iz', 'oszapc'),
  row('test', 'rm8, imm', 'f6 /1 ib', 'oszapc', { only: 'decode' }),
  row('test', 'rmv, imm', 'f7 /1 iz', 'oszapc', { only: 'decode' }),
  ...unary('inc', 0xfe, 0, 'oszap', true),
  ...unary('dec', 0xfe, 1, 'oszap', true),
  ...unary('not', 0xf6, 2, '', true),
  ...unary('neg', 0xf6, 3, 'oszapc', true),
  ...unary('mul', 0xf6, 4, 'oszapc'),
  ...unary('imul', 0xf6, 5, 'oszapc', false, 'imul-wide'),
  ...unary('div', 0xf6, 6, 'oszapc'),
  ...unary('idiv', 0xf6, 7, 'oszapc'),
  row('imul', 'rv, rmv', '0f af /r', 'oszapc'),
  row('imul', 'rv, rmv, simm8', '6b /r ib', 'oszapc'),
  row('imul', 'r64, rm64, simm32', 'o64 69 /r id', 'oszapc', { only: 'encode' }),
  row('imul', 'rv, rmv, imm', '69 /r iz', 'oszapc'),
  row('imul', 'rv, simm8', '6b /r ib', 'oszapc', { only: 'encode' }),
  row('imul', 'r64, simm32', 'o64 69 /r id', 'oszapc', { only: 'encode' }),
  row('imul', 'rv, imm', '69 /r iz', 'oszapc', { only: 'encode' }),
  ...shift('rol', 0, 'oc'),
  ...shift('ror', 1, 'oc'),
  ...shift('rcl', 2, 'oc'),
  ...shift('rcr', 3, 'oc'),
  ...shift('shl sal', 4, 'oszapc'),
  ...shift('shr', 5, 'oszapc'),
  ...shift('shl', 6, 'oszapc').map((each): Row => ({ ...each, only: 'decode' })),
  ...shift('sar', 7, 'oszapc'),
  row('shld', 'rmv, rv, bare8', '0f a4 /r ib', 'oszapc'),
  row('shld', 'rmv, rv, cl', '0f a5 /r', 'oszapc'),
  row('shrd', 'rmv, rv, bare8', '0f ac /r ib', 'oszapc'),
  row('shrd', 'rmv, rv, cl', '0f ad /r', 'oszapc'),
  row('cbw', '', 'o16 98'),
  row('cwde', '', 'o32 98', '', { meaning: 'cbw' }),
  row('cdqe', '', 'o64 98', '', { meaning: 'cbw' }),
  row('cwd', '', 'o16 99'),
  row('cdq', '', 'o32 99', '', { meaning: 'cwd' }),
  row('cqo', '', 'o64 99', '', { meaning: 'cwd' }),
  row('adcx', 'ry, rmy', '66 0f38 f6 /r', 'c'),
  row('adox', 'ry, rmy', 'f3 0f38 f6 /r', 'o'),
];
