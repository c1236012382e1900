/**
 * Where an instruction's own numbers lie in its record (records.ts), which depends on its form alone: first the slots of its
 * registers, a byte each, then the numbers of four bytes, then those of eight.
 */

import type { Parameter } from './step.ts';

/** Bytes of a record. */
export const RECORD_BYTES = 16;

/** How a number is kept: as an unsigned byte, an int32, a bigint of 64 bits, the int32 that a bigint comes to, or a double. */
export type Kept = 'byte' | 'word' | 'quad' | 'short quad' | 'double';

const BYTES: Readonly<Record<Kept, number>> = { byte: 1, word: 4, 'short quad': 4, quad: 8, double: 8 };
const IN_ORDER: readonly Kept[] = ['byte', 'word', 'short quad', 'quad', 'double'];

export interface Field {
  readonly kept: Kept;
  /** Byte of the record. */
  readonly at: number;
}

/** How numbers of these names are kept. */
function keptAs(name: string, tight: boolean): Kept {
  switch (name === 'next' ? 'T' : name[0]) {
    case 'r':
    case 'b':
    case 'B':
    case 'x':
    case 'X':
      return 'byte';
    case 'I':
      return tight ? 'short quad' : 'quad';
    case 'D':
    case 'T':
      return 'quad';
    case 'f':
      return 'double';
    default:
      return 'word';
  }
}

function fieldsOf(names: readonly string[], tight: boolean): { fields: Field[]; end: number } {
  const fields: Field[] = [];
  let end = 0;
  for (const kept of IN_ORDER) {
    const bytes = BYTES[kept];
    names.forEach((name, index) => {
      if (keptAs(name, tight) !== kept) return;
      const at = Math.ceil(end / bytes) * bytes;
      fields[index] = { kept, at };
      end = at + bytes;
    });
  }
  return { fields, end };
}

/** Fields for parameters of these names, in their order. */
export function layoutOf(names: readonly string[]): readonly Field[] {
  const { fields, end } = fieldsOf(names, false);
  if (end <= RECORD_BYTES) return fields;
  // An immediate of 64 bits that stands beside an address has been extended from 32.
  const tight = fieldsOf(names, true);
  if (tight.end > RECORD_BYTES) throw new Error(`no record holds ${names.join(', ')}`);
  return tight.fields;
}

/** Source that gives the numbers of record `at` their names. W, Q and F are views of all records: words, quads, doubles. */
export function unpacking(names: readonly string[], fields: readonly Field[]): string {
  const words = new Set<number>();
  let constants = '';
  names.forEach((name, index) => {
    const { kept, at } = fields[index]!;
    if (kept === 'quad' || kept === 'double') {
      constants += `const ${name}=${kept === 'quad' ? 'Q' : 'F'}[at<<1|${at >> 3}];`;
      return;
    }
    const word = at >> 2;
    words.add(word);
    constants += `const ${name}=${{ byte: `w${word}>>>${(at & 3) * 8}&255`, word: `w${word}`, 'short quad': `BigInt(w${word})` }[kept]};`;
  });
  const loads = [...words].map((word) => `const w${word}=W[at<<2|${word}];`);
  return loads.join('') + constants;
}

/** Write a record's numbers; its first byte is byte `start` of the views. */
export function pack(
  fields: readonly Field[],
  values: readonly Parameter[],
  start: number,
  { bytes, words, quads, doubles }: RecordViews,
): void {
  for (let index = 0; index < fields.length; index++) {
    const { kept, at } = fields[index]!;
    const value = values[index]!;
    const place = start + at;
    if (kept === 'byte') bytes[place] = value as number;
    else if (kept === 'quad') quads[place >> 3] = value as bigint;
    else if (kept === 'double') doubles[place >> 3] = value as number;
    else words[place >> 2] = Number(value);
  }
}

/** All records, by the width of their numbers. */
export interface RecordViews {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly quads: BigInt64Array;
  readonly doubles: Float64Array;
}
