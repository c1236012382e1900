/**
 * What a host CPU answered, kept in a file: cases are made anew from a seed that a form has by its name, so that only the answers
 * are stored. A digest of the cases tells when the generator or an encoding has changed since.
 *
 * The file, gzipped: for each form its name, the digest, the number of cases, and for each case what it changed.
 */

import { gunzipSync, gzipSync } from 'node:zlib';
import { makeCase } from './cases.ts';
import type { Form } from './forms.ts';
import { Generator } from './generator.ts';
import { CaseRecord, DATA_BYTES } from './record.ts';

/** Cases a form. */
export const VECTORS_PER_FORM = 64;

const REGISTERS = 16;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

const digestOf = (bytes: Uint8Array, from = FNV_OFFSET): number =>
  bytes.reduce((digest, byte) => Math.imul(digest ^ byte, FNV_PRIME), from) >>> 0;

/** The cases of a form that the file holds answers to, and their digest. */
export function vectorCases(form: Form): { readonly cases: readonly CaseRecord[]; readonly digest: number } {
  const random = new Generator(digestOf(Buffer.from(form.name)));
  const cases = Array.from({ length: VECTORS_PER_FORM }, () => makeCase(form, random));
  return { cases, digest: cases.reduce((digest, { bytes }) => digestOf(bytes, digest), FNV_OFFSET) };
}

/** A host's answers to the cases of one form. */
export interface FormVectors {
  readonly name: string;
  readonly digest: number;
  /** One a case, each made to a whole record by {@link answered}. */
  readonly changes: readonly Uint8Array[];
}

/** What of `after` differs from the case that it answers: a bit map of registers and their values, flags, fault, memory. */
export function changesOf(before: CaseRecord, after: CaseRecord): Uint8Array {
  const out: number[] = [];
  const quad = (value: bigint) => {
    for (let shift = 0n; shift < 64n; shift += 8n) out.push(Number((value >> shift) & 255n));
  };
  const changed = Array.from({ length: REGISTERS }, (_, number) => number).filter(
    (number) => before.register(number) !== after.register(number),
  );
  const map = changed.reduce((bits, number) => bits | (1 << number), 0);
  out.push(map & 255, map >> 8);
  for (const number of changed) quad(after.register(number));
  quad(after.rflags);
  out.push(after.signal);
  if (after.signal !== 0)
    for (const value of [BigInt(after.vector), BigInt(after.errorCode), after.rip, after.cr2]) quad(value);
  for (let at = 0; at < DATA_BYTES; at++) if (before.data[at] !== after.data[at]) out.push(at, after.data[at]!);
  return Uint8Array.from(out);
}

/** The record that `changes` make of a case. */
export function answered(before: CaseRecord, changes: Uint8Array): CaseRecord {
  const after = new CaseRecord(Buffer.from(before.bytes));
  const view = new DataView(changes.buffer, changes.byteOffset, changes.length);
  let at = 2;
  const quad = () => {
    at += 8;
    return view.getBigUint64(at - 8, true);
  };
  const map = view.getUint16(0, true);
  for (let number = 0; number < REGISTERS; number++) if ((map >> number) & 1) after.setRegister(number, quad());
  after.rflags = quad();
  const signal = view.getUint8(at++);
  after.setFault(
    signal === 0
      ? { signal, vector: 0n, errorCode: 0n, rip: 0n, cr2: 0n }
      : { signal, vector: quad(), errorCode: quad(), rip: quad(), cr2: quad() },
  );
  for (; at < changes.length; at += 2) after.data[changes[at]!] = changes[at + 1]!;
  return after;
}

/** The file's bytes. */
export function writeVectors(forms: readonly FormVectors[]): Uint8Array {
  const parts = forms.flatMap(({ name, digest, changes }) => {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(digest, 0);
    head.writeUInt16LE(Buffer.byteLength(name), 4);
    head.writeUInt16LE(changes.length, 6);
    const lengths = Buffer.alloc(changes.length * 2);
    for (const [index, { length }] of changes.entries()) lengths.writeUInt16LE(length, index * 2);
    return [head, Buffer.from(name), lengths, ...changes];
  });
  return gzipSync(Buffer.concat(parts), { level: 9 });
}

/** The forms of a file. */
export function readVectors(file: Uint8Array): Map<string, FormVectors> {
  const bytes = gunzipSync(file);
  const forms = new Map<string, FormVectors>();
  for (let at = 0; at < bytes.length; ) {
    const digest = bytes.readUInt32LE(at);
    const nameEnd = at + 8 + bytes.readUInt16LE(at + 4);
    const count = bytes.readUInt16LE(at + 6);
    const name = bytes.toString('utf8', at + 8, nameEnd);
    at = nameEnd + count * 2;
    const changes: Uint8Array[] = [];
    for (let index = 0; index < count; index++) {
      const length = bytes.readUInt16LE(nameEnd + index * 2);
      changes.push(bytes.subarray(at, at + length));
      at += length;
    }
    forms.set(name, { name, digest, changes });
  }
  return forms;
}
