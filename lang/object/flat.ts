/** `-f bin`: sections one after another, addresses filled in, no headers (NASM manual §8.1). */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { applyRelocation } from './apply-relocation.ts';
import * as elf from './elf64.ts';
import { type FlatLayout, flatLayout, placeOfSection } from './flat-layout.ts';
import type { ObjectFile, Relocation } from './object-file.ts';

/**
 * The bytes, with .text first, then the other sections in the order of the source, then room that takes none. `origin` is the address of the first byte;
 * by default what the source says with `org`, or 0. Errors are symbols that another file would have to define.
 */
export function toFlat(
  object: ObjectFile,
  origin: bigint = object.origin ?? 0n,
): { readonly bytes: Uint8Array } | { readonly diagnostics: readonly Diagnostic[] } {
  const layout = flatLayout(object, origin);
  if ('diagnostics' in layout) return layout;
  const { offsets, addresses, size } = layout;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const diagnostics: Diagnostic[] = [];
  object.sections.forEach((section, number) => {
    // One without bytes may be aligned to a place behind the last byte of the file.
    if (section.type !== elf.SHT_NOBITS && section.data.length > 0) bytes.set(section.data, offsets[number]);
  });
  object.sections.forEach((section, number) => {
    const start = offsets[number]!;
    for (const relocation of section.relocations) {
      const target = targetAddress(object, relocation, layout);
      if (typeof target !== 'bigint') {
        diagnostics.push(target);
        continue;
      }
      const at = start + relocation.offset;
      // NASM only warns where a field is too small; the low bytes are stored.
      applyRelocation(
        view,
        at,
        relocation.type,
        target,
        relocation.addend,
        addresses[number]! + BigInt(relocation.offset),
      );
    }
  });
  return diagnostics.length > 0 ? { diagnostics } : { bytes };
}

/** Address of each section in flat output. */
export function flatAddresses(object: ObjectFile): readonly bigint[] {
  const layout = flatLayout(object, object.origin ?? 0n);
  return 'diagnostics' in layout ? object.sections.map(() => 0n) : layout.addresses;
}

function targetAddress(
  object: ObjectFile,
  { symbol: number }: Relocation,
  { addresses, starts }: FlatLayout,
): bigint | Diagnostic {
  if (number < 0) return 0n;
  const symbol = object.symbols[number]!;
  if (symbol.section === 'absolute') return symbol.value;
  if (typeof symbol.section === 'number') return addresses[symbol.section]! + symbol.value;
  const place = placeOfSection(symbol.name);
  const section = place === undefined ? -1 : object.sections.findIndex((each) => each.name === place.section);
  if (place !== undefined && section >= 0) return (place.isVirtual ? addresses : starts)[section]!;
  return {
    severity: 'error',
    message: `undefined symbol \`${symbol.name}\`: flat output is not linked with anything`,
    span: symbol.reference,
    notes: [],
  };
}
