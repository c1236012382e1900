/** The beginning of an instruction: prefixes, REX or VEX, opcode (SDM vol. 2 §2.1–2.3). */

import type { OpcodeMap } from './encoding-notation.ts';
import { type Register, SEGMENTS } from './registers.ts';

/** Longest instruction, in bytes. */
export const LONGEST = 15;

/** Reads bytes of one instruction; `end` is where it must stop, be it the limit or the fifteenth byte. */
export class Cursor {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  at: number;
  overrun = false;

  constructor(bytes: Uint8Array, start: number, limit: number) {
    this.bytes = bytes;
    this.start = start;
    this.at = start;
    this.end = Math.min(limit, bytes.length, start + LONGEST);
  }

  byte(): number {
    if (this.at >= this.end) {
      this.overrun = true;
      return 0;
    }
    return this.bytes[this.at++]!;
  }

  peek(): number {
    return this.at < this.end ? this.bytes[this.at]! : -1;
  }

  /** Little-endian, unsigned. */
  value(count: number): bigint {
    let value = 0n;
    for (let i = 0; i < count; i++) value |= BigInt(this.byte()) << BigInt(8 * i);
    return value;
  }
}

/** What the prefixes said. */
export interface Prefixes {
  readonly operandSize: boolean;
  readonly addressSize: boolean;
  readonly lock: boolean;
  readonly repeat: 0 | 0xf2 | 0xf3;
  readonly segment: Register | undefined;
  readonly rex: number;
}

/** Of each byte: is it a legacy prefix, a REX prefix or neither? */
const [LEGACY, REX] = [1, 2];
const PREFIX = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]) PREFIX[byte] = LEGACY;
PREFIX.fill(REX, 0x40, 0x50);

function readPrefixes(cursor: Cursor): Prefixes {
  // Most instructions have a REX prefix or none. Measured: the general way alone is 3 % of a run of vm-buffer.gasm.
  const first = cursor.peek();
  const kind = first < 0 ? 0 : PREFIX[first];
  if (kind === 0) return NO_PREFIXES;
  if (kind === REX && cursor.at + 1 < cursor.end && PREFIX[cursor.bytes[cursor.at + 1]!] === 0) {
    cursor.at++;
    return REX_ALONE[first & 15]!;
  }
  return readSeveralPrefixes(cursor);
}

const NO_PREFIXES: Prefixes = {
  operandSize: false,
  addressSize: false,
  lock: false,
  repeat: 0,
  segment: undefined,
  rex: 0,
};
const REX_ALONE = Array.from({ length: 16 }, (_, low): Prefixes => ({ ...NO_PREFIXES, rex: 0x40 | low }));

function readSeveralPrefixes(cursor: Cursor): Prefixes {
  const prefixes: { -readonly [Field in keyof Prefixes]: Prefixes[Field] } = { ...NO_PREFIXES };
  for (;;) {
    const next = cursor.peek();
    if ((next & 0xf0) === 0x40 && next > 0) {
      prefixes.rex = next;
      cursor.at++;
      continue;
    }
    if (next === 0x66) prefixes.operandSize = true;
    else if (next === 0x67) prefixes.addressSize = true;
    else if (next === 0xf0) prefixes.lock = true;
    else if (next === 0xf2 || next === 0xf3) prefixes.repeat = next;
    else if (next === 0x64 || next === 0x65) prefixes.segment = SEGMENTS[next - 0x60]!;
    else if (next === 0x26 || next === 0x2e || next === 0x36 || next === 0x3e) {
      // In 64-bit mode these select nothing, so they do not take the place of fs or gs (SDM vol. 1 §3.3.7.1).
      if (!prefixes.segment || prefixes.segment.number < 4) prefixes.segment = SEGMENTS[(next >> 3) & 3]!;
    } else break;
    // A REX prefix that is not the last one is ignored (SDM vol. 2 §2.2.1).
    prefixes.rex = 0;
    cursor.at++;
  }
  return prefixes;
}

/** The fields that a row is chosen and its operands are read by. */
export interface Head {
  readonly prefixes: Prefixes;
  readonly map: OpcodeMap;
  readonly opcode: number;
  readonly vex: boolean;
  /** Mandatory prefixes present: those that a VEX prefix encodes, or 66, F2, F3 themselves. */
  readonly mandatory: 0 | 0x66 | 0xf2 | 0xf3;
  readonly rex: number;
  readonly vvvv: number;
  readonly addressWidth: 32 | 64;
}

/** Reads up to the opcode. */
export function readHead(cursor: Cursor): Head | 'unsupported' | 'undefined' {
  const prefixes = readPrefixes(cursor);
  const { rex } = prefixes;
  const addressWidth = prefixes.addressSize ? 32 : 64;
  let opcode = cursor.byte();
  let map: OpcodeMap = 0;
  if (opcode === 0xc4 || opcode === 0xc5) return readVex(cursor, prefixes, opcode, addressWidth);
  if (opcode === 0x0f) {
    map = 1;
    opcode = cursor.byte();
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = cursor.byte();
    }
  }
  const mandatory = prefixes.repeat || (prefixes.operandSize ? 0x66 : 0);
  return { prefixes, map, opcode, vex: false, mandatory, rex, vvvv: 0, addressWidth };
}

function readVex(
  cursor: Cursor,
  prefixes: Prefixes,
  first: number,
  addressWidth: 32 | 64,
): Head | 'unsupported' | 'undefined' {
  // A VEX prefix after 66, F2, F3, F0 or REX is #UD (SDM vol. 2 §2.3.2).
  if (prefixes.rex || prefixes.lock || prefixes.repeat || prefixes.operandSize) return 'undefined';
  const p0 = cursor.byte();
  const p1 = first === 0xc4 ? cursor.byte() : p0 & 0x7f;
  const opcode = cursor.byte();
  const map = first === 0xc4 ? p0 & 0x1f : 1;
  if (map < 1 || map > 3) return 'undefined';
  if (p1 & 4) return 'unsupported';
  const inverted = ~p0 & 0xff;
  const rex = first === 0xc4 ? 0x40 | ((p1 & 0x80) >> 4) | (inverted >> 5) : 0x40 | ((inverted & 0x80) >> 5);
  const mandatory = ([0, 0x66, 0xf3, 0xf2] as const)[p1 & 3]!;
  return { prefixes, map: map as OpcodeMap, opcode, vex: true, mandatory, rex, vvvv: (~p1 >> 3) & 15, addressWidth };
}
