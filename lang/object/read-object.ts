/** A relocatable ELF file → an object for the linker. */

import * as elf from './elf64.ts';
import { ObjectFault, type ObjectFile, type ObjectSection, type ObjectSymbol, type Relocation } from './object-file.ts';
import { type ElfFile, type ElfSection, readElf } from './read-elf.ts';

/** Section types that describe the file and are no contents of the program. */
const BOOKKEEPING = new Set([0, elf.SHT_SYMTAB, elf.SHT_STRTAB, elf.SHT_RELA, elf.SHT_GROUP]);

/** Reads an ET_REL file; throws {@link ObjectFault}. */
export function readObject(bytes: Uint8Array, name: string): ObjectFile {
  const file = readElf(bytes, name);
  if (file.type !== elf.ET_REL) throw new ObjectFault(`${name}: is an executable, not an object file`);
  const numbers = new Map<number, number>();
  file.sections.forEach((section, index) => {
    if (!BOOKKEEPING.has(section.type)) numbers.set(index, numbers.size);
  });
  const relocations = relocationsBySection(file);
  const sections = [...numbers.keys()].map(
    (index): ObjectSection => ({
      ...contents(file.sections[index]!),
      relocations: relocations.get(index) ?? [],
    }),
  );
  // The null symbol goes; -1 stands for it in relocations.
  const symbols = file.symbols.slice(1).map((symbol): ObjectSymbol => {
    const section = place(symbol.section, numbers, name);
    const binding = symbol.binding === elf.STB_LOCAL ? 'local' : symbol.binding === elf.STB_WEAK ? 'weak' : 'global';
    return { name: symbol.name, binding, type: symbol.type, section, value: symbol.value, size: symbol.size };
  });
  return { name, sections, symbols };
}

function contents(section: ElfSection): Omit<ObjectSection, 'relocations'> {
  const { name, type, flags, align, size, data, entrySize } = section;
  return { name, type, flags, align, size, data, entrySize };
}

function place(section: number, numbers: ReadonlyMap<number, number>, name: string): ObjectSymbol['section'] {
  if (section === elf.SHN_UNDEF) return 'undefined';
  if (section === elf.SHN_ABS) return 'absolute';
  if (section === elf.SHN_COMMON) return 'common';
  const number = numbers.get(section);
  // A symbol of a section group or the like is nothing the linker needs.
  if (number === undefined && section >= elf.SHN_LORESERVE) {
    throw new ObjectFault(`${name}: has a symbol in the special section ${section}`);
  }
  return number ?? 'absolute';
}

function relocationsBySection(file: ElfFile): Map<number, Relocation[]> {
  const result = new Map<number, Relocation[]>();
  for (const table of file.sections) {
    if (table.type !== elf.SHT_RELA) continue;
    const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
    const target = file.sections[table.info];
    if (target === undefined)
      throw new ObjectFault(`${file.name}: ${table.name} relocates a section that is not there`);
    const list: Relocation[] = [];
    const { at: field, size: step } = elf.relaEntry;
    for (let at = 0; at + step <= table.data.length; at += step) {
      const type = view.getUint32(at + field.type, true);
      const rule = elf.RELOCATIONS.get(type);
      if (rule === undefined) {
        throw new ObjectFault(`${file.name}: ${table.name} has a relocation of type ${type}, which is not supported`);
      }
      const offset = elf.readLong(view, at + field.offset);
      const symbol = view.getUint32(at + field.symbol, true);
      if (symbol >= file.symbols.length || offset + rule.bytes > target.data.length) {
        throw new ObjectFault(`${file.name}: ${table.name} has a relocation outside its section or symbol table`);
      }
      list.push({ offset, type, symbol: symbol - 1, addend: view.getBigInt64(at + field.addend, true) });
    }
    result.set(table.info, list);
  }
  return result;
}
