/**
 * The instruction table: one row an encoding, and indexes over it. Encoder, decoder, disassembler and test generator all
 * read these rows and nothing else (design D3).
 */

import { ALU } from './table/alu.ts';
import { BITS } from './table/bits.ts';
import { CONTROL_FLOW } from './table/control-flow.ts';
import { MOVES } from './table/moves.ts';
import type { Row } from './table/row.ts';
import { STRINGS } from './table/strings.ts';
import { SYSTEM } from './table/system.ts';

export type { Row } from './table/row.ts';

/** Every row; within a mnemonic, in the order in which the assembler tries them. */
export const ROWS: readonly Row[] = [...ALU, ...MOVES, ...CONTROL_FLOW, ...STRINGS, ...BITS, ...SYSTEM];

/** Names of the condition codes 0–15 (Intel's tttn); the first of each is the one the disassembler prints. */
export const CONDITIONS: readonly (readonly string[])[] = [
  ['o'],
  ['no'],
  ['b', 'c', 'nae'],
  ['ae', 'nb', 'nc'],
  ['z', 'e'],
  ['nz', 'ne'],
  ['be', 'na'],
  ['a', 'nbe'],
  ['s'],
  ['ns'],
  ['p', 'pe'],
  ['np', 'po'],
  ['l', 'nge'],
  ['ge', 'nl'],
  ['le', 'ng'],
  ['g', 'nle'],
];

/** The rows a written mnemonic stands for, and the condition it names. */
export interface Candidates {
  readonly rows: readonly Row[];
  readonly condition: number | undefined;
}

/** `jcc` with condition 4 is `jz`; other mnemonics are returned as they are. */
export function concreteMnemonic(row: Row, condition: number | undefined): string {
  return condition === undefined ? row.mnemonic : row.mnemonic.slice(0, -2) + CONDITIONS[condition]![0]!;
}

let index: Map<string, { rows: Row[]; condition: number | undefined }> | undefined;

function byMnemonic(): Map<string, { rows: Row[]; condition: number | undefined }> {
  if (index) return index;
  index = new Map();
  for (const row of ROWS) {
    if (row.only === 'decode') continue;
    for (const name of [row.mnemonic, ...row.aliases]) {
      const spellings = row.encoding.includes('+cc')
        ? CONDITIONS.flatMap((names, condition) => names.map((each) => ({ name: name.slice(0, -2) + each, condition })))
        : [{ name, condition: undefined }];
      for (const { name: spelling, condition } of spellings) {
        const entry = index.get(spelling);
        if (entry) entry.rows.push(row);
        else index.set(spelling, { rows: [row], condition });
      }
    }
  }
  return index;
}

/** Rows for a mnemonic in lower case, or undefined if there is no such instruction. */
export function candidates(mnemonic: string): Candidates | undefined {
  return byMnemonic().get(mnemonic);
}

/** Every mnemonic the assembler knows, conditions expanded and aliases included, in table order. */
export function mnemonics(): readonly string[] {
  return [...byMnemonic().keys()];
}
