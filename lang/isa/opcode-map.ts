/**
 * Rows by opcode, for the decoder: for every opcode map and byte the shapes that begin so, most specific first. Also the
 * opcodes that exist but are left out (x87, MMX, SSE, AVX …), so that they can be told from undefined ones.
 */

import { type OpcodeMap, opcodePlace } from './encoding-notation.ts';
import { type Shape, shapeOf } from './shape.ts';
import { ROWS, type Row } from './table.ts';

/** Shapes of one opcode byte. */
export type Slot = readonly Shape[];

/** By map, VEX maps after the others, and opcode: the rows, and once a slot was asked for, its shapes. */
let rows: readonly (readonly Row[] | undefined)[][] | undefined;
const slots: (Slot | undefined)[][] = Array.from({ length: 8 }, () => []);

const EMPTY: Slot = [];

/** A whole ModRM beats a digit; a mandatory prefix or an operand size beats none; the assembler's own forms come first. */
function specificity(shape: Shape): number {
  const modrm = { whole: 8, digit: 4, register: 0, none: 0 }[shape.modrm];
  const size = shape.widths.length === 1 || shape.addressWidth ? 1 : 0;
  return modrm * 4 + (shape.mandatory ? 16 : 0) + size * 2 + (shape.row.only === 'both' ? 1 : 0);
}

function rowsByOpcode(): readonly (readonly Row[] | undefined)[][] {
  const built: (Row[] | undefined)[][] = Array.from({ length: 8 }, () => []);
  for (const row of ROWS) {
    if (row.only === 'encode') continue;
    const place = opcodePlace(row.encoding.split(' '));
    const table = built[place.map + (place.vex ? 4 : 0)]!;
    for (let opcode = place.opcode; opcode < place.opcode + place.count; opcode++) {
      const listed = table[opcode];
      if (listed) listed.push(row);
      else table[opcode] = [row];
    }
  }
  return built;
}

/** The shapes that an opcode may be; empty if none. Each slot is compiled when it is first asked for, as start-up has to be short. */
export function slot(map: OpcodeMap, vex: boolean, opcode: number): Slot {
  const table = map + (vex ? 4 : 0);
  return slots[table]![opcode] ?? compileSlot(table, opcode);
}

function compileSlot(table: number, opcode: number): Slot {
  rows ??= rowsByOpcode();
  const listed = rows[table]![opcode];
  const compiled = listed?.map(shapeOf).sort((a, b) => specificity(b) - specificity(a)) ?? EMPTY;
  slots[table]![opcode] = compiled;
  return compiled;
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
