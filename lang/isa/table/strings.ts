/** String instructions and port I/O (SDM vol. 2). The memory operands in braces are implied; only rsi's takes a segment override. */

import { type Row, row } from './row.ts';

function string(name: string, opcode: number, operands: string, flags: string, repeat: 'rep' | 'repe'): readonly Row[] {
  const options = { meaning: name, repeat };
  const byte = opcode.toString(16);
  const wide = (opcode + 1).toString(16);
  const sized = (width: number) => operands.replace(/[ds]i|a(?=\})/g, (each) => each + width);
  return [
    row(`${name}b`, sized(8), byte, flags, options),
    row(`${name}w`, sized(16), `o16 ${wide}`, flags, options),
    // Port I/O stays 32 bits wide under REX.W.
    row(`${name}d`, sized(32), opcode < 0x70 ? wide : `o32 ${wide}`, flags, options),
    ...(opcode < 0x70 ? [] : [row(`${name}q`, sized(64), `o64 ${wide}`, flags, options)]),
  ];
}

export const STRINGS: readonly Row[] = [
  ...string('ins', 0x6c, '{di}, {dx}', '', 'rep'),
  ...string('outs', 0x6e, '{dx}, {si}', '', 'rep'),
  ...string('movs', 0xa4, '{di}, {si}', '', 'rep'),
  ...string('cmps', 0xa6, '{si}, {di}', 'oszapc', 'repe'),
  ...string('stos', 0xaa, '{di}, {a}', '', 'rep'),
  ...string('lods', 0xac, '{a}, {si}', '', 'rep'),
  ...string('scas', 0xae, '{a}, {di}', 'oszapc', 'repe'),
  row('xlatb xlat', '{al}, {bx8}', 'd7', '', { meaning: 'xlat' }),
  row('in', 'al, imm8', 'e4 ib'),
  row('in', 'ax, imm8', 'o16 e5 ib'),
  row('in', 'eax, imm8', 'e5 ib'),
  row('in', 'al, dx', 'ec'),
  row('in', 'ax, dx', 'o16 ed'),
  row('in', 'eax, dx', 'ed'),
  row('out', 'imm8, al', 'e6 ib'),
  row('out', 'imm8, ax', 'o16 e7 ib'),
  row('out', 'imm8, eax', 'e7 ib'),
  row('out', 'dx, al', 'ee'),
  row('out', 'dx, ax', 'o16 ef'),
  row('out', 'dx, eax', 'ef'),
];
