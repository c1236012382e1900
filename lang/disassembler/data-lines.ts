/** Sections that are no code: bytes, strings, places and room as statements. */

import { RELOCATIONS } from '../object/elf64.ts';
import { dataLine } from './instruction-line.ts';
import type { NamedField } from './program.ts';

/** A statement and the bytes it stands for. */
export interface DataStatement {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

/** Bytes in a row of `db`, and the fewest zeros that are written as a count. */
const ROW = 8;
const MANY_ZEROS = 32;
const UNITS: Readonly<Record<number, string>> = { 1: 'db', 2: 'dw', 4: 'dd', 8: 'dq' };

/** Statements for the bytes from `start` to `end`; fields of the linker, in order, are written by `nameOf`. */
export function dataStatements(
  data: Uint8Array,
  start: number,
  end: number,
  fields: readonly NamedField[],
  nameOf: (field: NamedField) => string,
): DataStatement[] {
  const statements: DataStatement[] = [];
  let at = start;
  const inside = fields.filter(({ offset }) => offset >= start && offset < end);
  for (const field of inside) {
    const { bytes } = RELOCATIONS.get(field.type)!;
    statements.push(...byteStatements(data, at, field.offset));
    statements.push({ offset: field.offset, length: bytes, text: `${UNITS[bytes]} ${nameOf(field)}` });
    at = field.offset + bytes;
  }
  statements.push(...byteStatements(data, at, end));
  return statements;
}

function byteStatements(data: Uint8Array, start: number, end: number): DataStatement[] {
  const statements: DataStatement[] = [];
  for (let at = start; at < end; ) {
    const length = zerosAt(data, at, end) || textAt(data, at, end) || Math.min(ROW, end - at);
    const bytes = data.subarray(at, at + length);
    const isZeros = length >= MANY_ZEROS && bytes.every((byte) => byte === 0);
    const text = isZeros
      ? `times ${length} db 0`
      : textAt(data, at, end) === length
        ? stringLine(bytes)
        : dataLine(bytes);
    statements.push({ offset: at, length, text });
    at += length;
  }
  return statements;
}

function zerosAt(data: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && data[at] === 0) at++;
  return at - start >= MANY_ZEROS ? at - start : 0;
}

const isPrintable = (byte: number) => (byte >= 0x20 && byte < 0x7f && byte !== 0x22) || byte === 0x0a || byte === 0x09;

/** Length of the text with its final zero that begins here, 0 if there is none worth a string. */
function textAt(data: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && isPrintable(data[at]!)) at++;
  return at < end && data[at] === 0 && at - start >= 4 ? at + 1 - start : 0;
}

/** `db "text", 10, 0`. */
function stringLine(bytes: Uint8Array): string {
  const items: string[] = [];
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x20) {
      text += String.fromCharCode(byte);
      continue;
    }
    if (text !== '') items.push(`"${text}"`);
    text = '';
    items.push(String(byte));
  }
  return `db ${items.join(', ')}`;
}

/** Room without bytes. */
export function roomStatement(start: number, end: number): DataStatement[] {
  return end > start ? [{ offset: start, length: end - start, text: `resb ${end - start}` }] : [];
}
