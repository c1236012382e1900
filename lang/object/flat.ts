/** `-f bin`: sections one after another, addresses filled in, no headers (NASM manual §8.1). */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { applyRelocation } from './apply-relocation.ts';
import { roundUp } from './elf-writer.ts';
import * as elf from './elf64.ts';
import type { ObjectFile, ObjectSection, Relocation } from './object-file.ts';

/** Sections other than .text begin on four bytes unless they ask for more. */
const ALIGN = 4;

/**
 * The bytes, with .text first, then the other sections in the order of the source, then room that takes none. `origin` is the address of the first byte;
 * by default what the source says with `org`, or 0. Errors are symbols that another file would have to define.
 */
export function toFlat(
  object: ObjectFile,
  origin: bigint = object.origin ?? 0n,
): { readonly bytes: Uint8Array } | { readonly diagnostics: readonly Diagnostic[] } {
  const { starts, size } = place(object);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const diagnostics: Diagnostic[] = [];
  object.sections.forEach((section, number) => {
    if (section.type !== elf.SHT_NOBITS) bytes.set(section.data, starts[number]);
  });
  object.sections.forEach((section, number) => {
    const start = starts[number]!;
    for (const relocation of section.relocations) {
      const target = targetAddress(object, relocation, starts, origin);
      if (typeof target !== 'bigint') {
        diagnostics.push(target);
        continue;
      }
      const at = start + relocation.offset;
      // NASM only warns where a field is too small; the low bytes are stored.
      applyRelocation(view, at, relocation.type, target, relocation.addend, origin + BigInt(at));
    }
  });
  return diagnostics.length > 0 ? { diagnostics } : { bytes };
}

/** Address of each section in flat output. */
export function flatAddresses(object: ObjectFile): readonly bigint[] {
  return place(object).starts.map((start) => (object.origin ?? 0n) + BigInt(start));
}

/** Offset of each section in the image; that of room without bytes is an address only. */
function place(object: ObjectFile): { starts: number[]; size: number } {
  const numbers = object.sections.map((_, number) => number);
  const isRoom = (number: number) => object.sections[number]!.type === elf.SHT_NOBITS;
  const order = [
    ...numbers.filter((number) => object.sections[number]!.name === '.text'),
    ...numbers.filter((number) => object.sections[number]!.name !== '.text' && !isRoom(number)),
    ...numbers.filter(isRoom),
  ];
  const starts: number[] = [];
  let [at, size] = [0, 0];
  for (const number of order) {
    const section = object.sections[number]!;
    if (section.size > 0 || section.name !== '.text') at = roundUp(at, alignOf(section));
    starts[number] = at;
    at += section.size;
    if (!isRoom(number) && section.size > 0) size = at;
  }
  return { starts, size };
}

function alignOf(section: ObjectSection): number {
  return section.name === '.text' ? 1 : Math.max(ALIGN, section.align);
}

function targetAddress(
  object: ObjectFile,
  { symbol: number }: Relocation,
  starts: readonly number[],
  origin: bigint,
): bigint | Diagnostic {
  if (number < 0) return 0n;
  const symbol = object.symbols[number]!;
  if (symbol.section === 'absolute') return symbol.value;
  if (typeof symbol.section === 'number') return origin + BigInt(starts[symbol.section]!) + symbol.value;
  return {
    severity: 'error',
    message: `undefined symbol \`${symbol.name}\`: flat output is not linked with anything`,
    span: symbol.reference,
    notes: [],
  };
}
