/** An object → a relocatable ELF-64 file, laid out as NASM's `-f elf64` does. */

import { withDebugSections } from './debug-sections.ts';
import { type OutputSection, type OutputSymbol, writeElf } from './elf-writer.ts';
import * as elf from './elf64.ts';
import type { ObjectFile, ObjectSection, ObjectSymbol } from './object-file.ts';

const BINDINGS = { local: elf.STB_LOCAL, global: elf.STB_GLOBAL, weak: elf.STB_WEAK };

/** The file's bytes. With `debug`, the object's line table becomes DWARF sections. */
export function writeObject(object: ObjectFile, options: { readonly debug: boolean }): Uint8Array {
  const complete = options.debug ? withDebugSections(object) : object;
  const order = localsFirst(complete.symbols);
  const numbers = new Map(order.map((index, position) => [index, position + 1]));
  const sections = complete.sections.map(plainSection);
  complete.sections.forEach((section, index) => {
    if (section.relocations.length > 0) sections.push(relocationSection(section, index + 1, numbers));
  });
  return writeElf({
    type: elf.ET_REL,
    entry: 0n,
    sections,
    symbols: order.map((index) => outputSymbol(complete.symbols[index]!)),
    segments: [],
  });
}

function localsFirst(symbols: readonly ObjectSymbol[]): number[] {
  const all = symbols.map((_, index) => index);
  const isLocal = (index: number) => symbols[index]!.binding === 'local';
  return [...all.filter(isLocal), ...all.filter((index) => !isLocal(index))];
}

function plainSection(section: ObjectSection): OutputSection {
  const { name, type, flags, align, size, data, entrySize } = section;
  return { name, type, flags, align, size, data, entrySize, address: 0n };
}

function relocationSection(section: ObjectSection, info: number, numbers: ReadonlyMap<number, number>): OutputSection {
  const data = new Uint8Array(section.relocations.length * elf.relaEntry.size);
  const view = new DataView(data.buffer);
  section.relocations.forEach(({ offset, type, symbol, addend }, i) => {
    const number = symbol < 0 ? 0 : numbers.get(symbol)!;
    elf.relaEntry.write(view, i * elf.relaEntry.size, { offset, type, symbol: number, addend });
  });
  return {
    name: `.rela${section.name}`,
    type: elf.SHT_RELA,
    flags: 0,
    address: 0n,
    align: 8,
    size: data.length,
    data,
    entrySize: elf.relaEntry.size,
    info,
  };
}

function outputSymbol(symbol: ObjectSymbol): OutputSymbol {
  const { name, type, value, size } = symbol;
  return { name, type, value, size, binding: BINDINGS[symbol.binding], section: sectionNumber(symbol) };
}

function sectionNumber({ section }: ObjectSymbol): number {
  switch (section) {
    case 'undefined':
      return elf.SHN_UNDEF;
    case 'absolute':
      return elf.SHN_ABS;
    case 'common':
      return elf.SHN_COMMON;
    default:
      return section + 1;
  }
}
