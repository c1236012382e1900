/** The encoding column of the table (notation: `table/row.ts`), scanned. */

import type { Width } from './instruction.ts';

/** Opcode map: 0 one-byte, 1 `0f`, 2 `0f38`, 3 `0f3a`. */
export type OpcodeMap = 0 | 1 | 2 | 3;

/** Where an encoding stands in the opcode maps. */
export interface OpcodePlace {
  readonly map: OpcodeMap;
  readonly vex: boolean;
  readonly mandatory: 0 | 0x66 | 0xf2 | 0xf3;
  readonly opcode: number;
  /** `+r`: eight opcodes; `+cc`: sixteen. */
  readonly count: 1 | 8 | 16;
  /** Index of the opcode among the tokens. */
  readonly at: number;
}

/** What follows the opcode. */
export interface EncodingTail {
  /** ModRM: absent, a register or digit in reg, or one whole value. */
  readonly modrm: 'none' | 'register' | 'digit' | 'whole';
  readonly digit: number;
  /** Tokens of the immediates, in order. */
  readonly immediates: readonly string[];
}

const MAPS: Record<string, OpcodeMap> = { '0f': 1, '0f38': 2, '0f3a': 3 };
const PREFIXES: Record<string, OpcodePlace['mandatory']> = { '66': 0x66, f2: 0xf2, f3: 0xf3 };

/** Finds map, mandatory prefix and opcode; throws where the table is wrong. */
export function opcodePlace(tokens: readonly string[]): OpcodePlace {
  let map: OpcodeMap = 0;
  let mandatory: OpcodePlace['mandatory'] = 0;
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    if (map === 0 && token in PREFIXES) mandatory = PREFIXES[token]!;
    else if (map === 0 && token in MAPS) map = MAPS[token]!;
    else if (/^[0-9a-f]{2}(\+|$)/.test(token)) {
      const count = token.endsWith('+r') ? 8 : token.endsWith('+cc') ? 16 : 1;
      return { map, vex: tokens[0] === 'vex', mandatory, opcode: Number.parseInt(token, 16), count, at };
    }
  }
  throw new Error(`the instruction table has an encoding without an opcode: ${tokens.join(' ')}`);
}

/** Reads the tokens after the opcode. `branches`: `cb` and `cd` are displacements, and no ModRM. */
export function encodingTail(tokens: readonly string[], branches: boolean): EncodingTail {
  let modrm: EncodingTail['modrm'] = 'none';
  let digit = 0;
  const immediates: string[] = [];
  for (const token of tokens) {
    if (token === '/r') modrm = 'register';
    else if (token[0] === '/') {
      modrm = 'digit';
      digit = Number(token[1]);
    } else if ((branches ? /^c[bd]$/ : /^(i[bwdqzv]|mo)$/).test(token)) immediates.push(token);
    else if (/^[0-9a-f]{2}$/.test(token)) {
      modrm = 'whole';
      digit = Number.parseInt(token, 16);
    }
  }
  return { modrm, digit, immediates };
}

/** The operand sizes that `o16`, `o32`, `o64` allow; empty if none is written. */
export function operandSizes(tokens: readonly string[]): readonly Width[] {
  return tokens.filter((each) => /^o\d\d$/.test(each)).map((each) => Number(each.slice(1)) as Width);
}
