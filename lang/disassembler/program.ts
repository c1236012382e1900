/**
 * An object or a static executable as the disassembler sees it: sections with their labels, and relocations that name a section or an
 * external symbol. What the file says in several ways is said in one: a relocation against a symbol of this file counts from its
 * section, and a distance within one section is filled in, as an assembler does both.
 */

import { applyRelocation } from '../object/apply-relocation.ts';
import * as elf from '../object/elf64.ts';
import type { ObjectFile, ObjectSection, ObjectSymbol } from '../object/object-file.ts';
import { type AddressLine, readDebugLine } from '../object/read-debug-line.ts';
import type { ElfFile } from '../object/read-elf.ts';

/** A field that the linker fills: S + A, or S + A − P. */
export interface NamedField {
  /** In the section. */
  readonly offset: number;
  /** R_X86_64_* */
  readonly type: number;
  /** A section of this file by its index, or a name from elsewhere. */
  readonly target: number | string;
  readonly addend: bigint;
}

export interface CodeLine {
  readonly file: string;
  readonly line: number;
}

export interface ProgramSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly align: number;
  readonly address: bigint;
  readonly size: number;
  readonly data: Uint8Array;
  readonly fields: readonly NamedField[];
  /** Symbols that stand here, by ascending offset. */
  readonly symbols: readonly ObjectSymbol[];
  /** Source lines by the offset at which they begin. */
  readonly lines: ReadonlyMap<number, CodeLine>;
}

export interface Program {
  /** Those that are loaded, by their index in the file's list. */
  readonly sections: ReadonlyMap<number, ProgramSection>;
  /** Undefined and common symbols. */
  readonly others: readonly ObjectSymbol[];
}

/** Section bases so far apart that an address tells its section. */
const APART = 1n << 40n;

/** From an object file. */
export function programOfObject(object: ObjectFile): Program {
  const debug = object.sections.map((section, index) => settled(object, section, index, false));
  const lines = linesOf((name) => {
    const index = object.sections.findIndex((section) => section.name === name);
    return index < 0 ? undefined : debug[index]!.data;
  });
  const sections = new Map<number, ProgramSection>();
  object.sections.forEach((section, index) => {
    if ((section.flags & elf.SHF_ALLOC) === 0) return;
    const base = BigInt(index) * APART;
    const { data, fields } = settled(object, section, index, true);
    sections.set(index, {
      ...shape(section),
      address: 0n,
      data,
      fields,
      symbols: symbolsIn(object.symbols, index),
      lines: linesWithin(lines, base, section.size),
    });
  });
  const others = object.symbols.filter(({ section }) => section === 'undefined' || section === 'common');
  return { sections, others };
}

/** From an executable: addresses are known, nothing is left to a linker. */
export function programOfImage(file: ElfFile): Program {
  const lines = linesOf((name) => file.sections.find((section) => section.name === name)?.data);
  const sections = new Map<number, ProgramSection>();
  file.sections.forEach((section, index) => {
    if ((section.flags & elf.SHF_ALLOC) === 0) return;
    const symbols = file.symbols
      .filter((symbol) => symbol.section === index)
      .map(
        (symbol): ObjectSymbol => ({
          name: symbol.name,
          binding: symbol.binding === elf.STB_LOCAL ? 'local' : symbol.binding === elf.STB_WEAK ? 'weak' : 'global',
          type: symbol.type,
          section: index,
          value: symbol.value - section.address,
          size: symbol.size,
        }),
      );
    sections.set(index, {
      ...shape(section),
      address: section.address,
      data: section.data,
      fields: [],
      symbols: symbolsIn(symbols, index),
      lines: linesWithin(lines, section.address, section.size),
    });
  });
  return { sections, others: [] };
}

const shape = ({ name, type, flags, align, size }: Omit<ObjectSection, 'data' | 'relocations' | 'entrySize'>) => ({
  name,
  type,
  flags,
  align,
  size,
});

/** Labels: what has a name and stands inside the section or at its end. */
function symbolsIn(symbols: readonly ObjectSymbol[], index: number): ObjectSymbol[] {
  return symbols
    .filter(({ name, section, type }) => section === index && name !== '' && type !== elf.STT_SECTION)
    .sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
}

/** A section's bytes with the distances within it filled in (`keepNames`), or all fields with bases far apart, and the other fields. */
function settled(
  object: ObjectFile,
  section: ObjectSection,
  index: number,
  keepNames: boolean,
): { readonly data: Uint8Array; readonly fields: readonly NamedField[] } {
  // A copy: the slice of a Buffer is none.
  const data = Uint8Array.from(section.data);
  const view = new DataView(data.buffer);
  const fields: NamedField[] = [];
  for (const { offset, type, symbol, addend } of section.relocations) {
    const target = symbol < 0 ? undefined : object.symbols[symbol]!;
    const within = typeof target?.section === 'number' ? target.section : undefined;
    const value = within === undefined ? 0n : target!.value;
    const isOwnDistance = within === index && elf.RELOCATIONS.get(type)!.relative;
    if (!keepNames) {
      const isLoaded = within !== undefined && (object.sections[within]!.flags & elf.SHF_ALLOC) !== 0;
      applyRelocation(view, offset, type, value + (isLoaded ? BigInt(within) * APART : 0n), addend, 0n);
    } else if (isOwnDistance) {
      applyRelocation(view, offset, type, value, addend, BigInt(offset));
    } else if (target !== undefined) {
      fields.push({ offset, type, target: within ?? target.name, addend: addend + value });
    }
  }
  return { data, fields: fields.sort((a, b) => a.offset - b.offset) };
}

function linesOf(data: (section: string) => Uint8Array | undefined): readonly AddressLine[] {
  const table = data('.debug_line');
  if (table === undefined) return [];
  return readDebugLine(table, { str: data('.debug_str'), lineStr: data('.debug_line_str') });
}

function linesWithin(lines: readonly AddressLine[], base: bigint, size: number): ReadonlyMap<number, CodeLine> {
  const found = new Map<number, CodeLine>();
  for (const { address, file, line, end } of lines) {
    if (!end && line > 0 && address >= base && address < base + BigInt(size)) {
      found.set(Number(address - base), { file, line });
    }
  }
  return found;
}
