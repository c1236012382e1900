/** Laying out an ELF file: header, program headers, section contents, symbol and string tables, section headers. */

import * as elf from './elf64.ts';
import { StringTable } from './string-table.ts';

export interface OutputSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly align: number;
  readonly size: number;
  readonly data: Uint8Array;
  readonly entrySize: number;
  readonly link?: number;
  readonly info?: number;
}

export interface OutputSymbol {
  readonly name: string;
  readonly binding: number;
  readonly type: number;
  readonly section: number;
  readonly value: bigint;
  readonly size: bigint;
}

/** One PT_LOAD segment: the sections `first`..`last` (indices into the list), which follow each other in memory. */
export interface OutputSegment {
  readonly flags: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly first: number;
  readonly last: number;
  readonly align: number;
}

export interface OutputFile {
  readonly type: number;
  readonly entry: bigint;
  /** Numbered from 1 in the file, in this order. */
  readonly sections: readonly OutputSection[];
  /** Locals first. */
  readonly symbols: readonly OutputSymbol[];
  readonly segments: readonly OutputSegment[];
}

/** The file's bytes. */
export function writeElf(file: OutputFile): Uint8Array {
  const names = new StringTable();
  const strings = new StringTable();
  const symbolTable = symbolBytes(file.symbols, strings);
  const symbolsAt = file.sections.length + 1;
  const bookkeeping: OutputSection[] = [
    {
      ...plain('.symtab', elf.SHT_SYMTAB, symbolTable),
      align: 8,
      entrySize: elf.symbolEntry.size,
      link: symbolsAt + 1,
      info: 1 + file.symbols.filter((symbol) => symbol.binding === elf.STB_LOCAL).length,
    },
    plain('.strtab', elf.SHT_STRTAB, strings.bytes()),
  ];
  const shstrtab = symbolsAt + bookkeeping.length;
  const sections = [...file.sections, ...bookkeeping];
  const nameOffsets = [...sections.map((section) => names.add(section.name)), names.add('.shstrtab')];
  sections.push(plain('.shstrtab', elf.SHT_STRTAB, names.bytes()));

  const { offsets, end } = placeContents(file, sections);
  const tableAt = roundUp(end, 8);
  const bytes = new Uint8Array(tableAt + (sections.length + 1) * elf.sectionHeader.size);
  const view = new DataView(bytes.buffer);
  writeHeader(view, file, tableAt, sections.length + 1, shstrtab);
  writeSegments(view, file, offsets);
  sections.forEach((section, i) => {
    if (section.type !== elf.SHT_NOBITS) bytes.set(section.data, offsets[i]);
    elf.sectionHeader.write(view, tableAt + (i + 1) * elf.sectionHeader.size, {
      name: nameOffsets[i]!,
      type: section.type,
      flags: section.flags,
      addr: section.address,
      offset: offsets[i]!,
      size: section.size,
      link: section.link ?? (section.type === elf.SHT_RELA ? symbolsAt : 0),
      info: section.info ?? 0,
      addralign: section.align,
      entsize: section.entrySize,
    });
  });
  return bytes;
}

function plain(name: string, type: number, data: Uint8Array): OutputSection {
  return { name, type, flags: 0, address: 0n, align: 1, size: data.length, data, entrySize: 0 };
}

/** File offsets: a section of a segment lies at an offset congruent to its address, as the loader's page mapping wants. */
function placeContents(file: OutputFile, sections: readonly OutputSection[]): { offsets: number[]; end: number } {
  let at = elf.fileHeader.size + file.segments.length * elf.programHeader.size;
  const offsets = sections.map((section, i) => {
    const starts = file.segments.find((segment) => segment.first === i);
    const inside = file.segments.find((segment) => segment.first < i && i <= segment.last);
    if (starts !== undefined) at = congruent(at, starts.virtualAddress, starts.align);
    else if (inside !== undefined) at = congruent(at, section.address, section.align);
    else at = roundUp(at, section.align);
    const offset = at;
    if (section.type !== elf.SHT_NOBITS) at += section.data.length;
    return offset;
  });
  return { offsets, end: at };
}

function congruent(at: number, address: bigint, align: number): number {
  const wanted = Number(address % BigInt(align));
  const have = at % align;
  return at + ((wanted - have + align) % align);
}

function writeHeader(view: DataView, file: OutputFile, shoff: number, shnum: number, shstrndx: number): void {
  elf.fileHeader.write(view, 0, {
    magic: elf.ELF_MAGIC,
    class: elf.ELFCLASS64,
    data: elf.ELFDATA2LSB,
    identVersion: elf.EV_CURRENT,
    osAbi: 0,
    pad: 0,
    type: file.type,
    machine: elf.EM_X86_64,
    version: elf.EV_CURRENT,
    entry: file.entry,
    phoff: file.segments.length > 0 ? elf.fileHeader.size : 0,
    shoff,
    flags: 0,
    ehsize: elf.fileHeader.size,
    phentsize: file.segments.length > 0 ? elf.programHeader.size : 0,
    phnum: file.segments.length,
    shentsize: elf.sectionHeader.size,
    shnum,
    shstrndx,
  });
}

function writeSegments(view: DataView, file: OutputFile, offsets: readonly number[]): void {
  file.segments.forEach((segment, i) => {
    const inside = file.sections.slice(segment.first, segment.last + 1);
    const end = (section: OutputSection) => Number(section.address - segment.virtualAddress) + section.size;
    const held = inside.filter((section) => section.type !== elf.SHT_NOBITS);
    elf.programHeader.write(view, elf.fileHeader.size + i * elf.programHeader.size, {
      type: elf.PT_LOAD,
      flags: segment.flags,
      offset: offsets[segment.first]!,
      vaddr: segment.virtualAddress,
      paddr: segment.physicalAddress,
      filesz: held.reduce((size, section) => Math.max(size, end(section)), 0),
      memsz: inside.reduce((size, section) => Math.max(size, end(section)), 0),
      align: segment.align,
    });
  });
}

function symbolBytes(symbols: readonly OutputSymbol[], strings: StringTable): Uint8Array {
  const bytes = new Uint8Array((symbols.length + 1) * elf.symbolEntry.size);
  const view = new DataView(bytes.buffer);
  symbols.forEach((symbol, i) => {
    elf.symbolEntry.write(view, (i + 1) * elf.symbolEntry.size, {
      name: strings.add(symbol.name),
      info: (symbol.binding << 4) | symbol.type,
      other: 0,
      shndx: symbol.section,
      value: symbol.value,
      size: symbol.size,
    });
  });
  return bytes;
}

export function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
