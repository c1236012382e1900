/**
 * Rows by opcode, for the decoder: for every opcode map and byte the shapes that begin so, most specific first. Also the
 * opcodes that exist but are left out (x87, MMX, SSE, AVX …), so that they can be told from undefined ones.
 */

import { type OpcodeMap, type Shape, shapeOf } from './shape.ts';
import { ROWS } from './table.ts';

/** Shapes of one opcode byte. */
export type Slot = readonly Shape[];

let maps: readonly (Slot | undefined)[][] | undefined;

const EMPTY: Slot = [];

/** A whole ModRM beats a digit; a mandatory prefix or an operand size beats none; the assembler's own forms come first. */
function specificity(shape: Shape): number {
  const modrm = { whole: 8, digit: 4, register: 0, none: 0 }[shape.modrm];
  const size = shape.widths.length === 1 || shape.addressWidth ? 1 : 0;
  return modrm * 4 + (shape.mandatory ? 16 : 0) + size * 2 + (shape.row.only === 'both' ? 1 : 0);
}

function build(): readonly (Slot | undefined)[][] {
  const built: Shape[][][] = Array.from({ length: 8 }, () => []);
  for (const row of ROWS) {
    if (row.only === 'encode') continue;
    const shape = shapeOf(row);
    const count = shape.registerInOpcode ? 8 : shape.conditionInOpcode ? 16 : 1;
    const table = built[shape.map + (shape.vex ? 4 : 0)]!;
    for (let opcode = shape.opcode; opcode < shape.opcode + count; opcode++) {
      const slot = table[opcode];
      if (slot) slot.push(shape);
      else table[opcode] = [shape];
    }
  }
  for (const table of built) {
    for (const slot of table) if (slot && slot.length > 1) slot.sort((a, b) => specificity(b) - specificity(a));
  }
  return built;
}

/** The shapes that an opcode may be; empty if none. Built when the first instruction is decoded. */
export function slot(map: OpcodeMap, vex: boolean, opcode: number): Slot {
  maps ??= build();
  return maps[map + (vex ? 4 : 0)]![opcode] ?? EMPTY;
}

/** Opcodes of x87, MMX, SSE and AVX as first–last, by map (SDM vol. 2, appendix A). 62 is EVEX, 9b is fwait. */
const LEFT_OUT: readonly (readonly (readonly [number, number])[])[] = [
  [
    [0x62, 0x62],
    [0x9b, 0x9b],
    [0xd8, 0xdf],
  ],
  [
    [0x0e, 0x0f],
    [0x10, 0x17],
    [0x28, 0x2f],
    [0x50, 0x7f],
    [0xae, 0xae],
    [0xc2, 0xc6],
    [0xd0, 0xfe],
  ],
  [
    [0x00, 0x41],
    [0xc8, 0xcf],
    [0xdb, 0xdf],
  ],
  [[0x00, 0xef]],
];

/** Whether an opcode without a row is an instruction that gvm knows and leaves out. */
export function isLeftOut(map: OpcodeMap, opcode: number): boolean {
  return LEFT_OUT[map]!.some(([first, last]) => opcode >= first && opcode <= last);
}
