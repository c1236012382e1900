/**
 * Reading ELF-64 files for x86-64: relocatable objects, archive members and executables. Every offset and count in the file is
 * distrusted; what does not fit gives an {@link ObjectFault} that says so.
 */

import * as elf from './elf64.ts';
import { ObjectFault } from './object-file.ts';

export interface ElfSegment {
  /** PT_* and PF_* */
  readonly type: number;
  readonly flags: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly align: number;
  /** Contents from the file; memory beyond them, up to `memorySize`, is zero. */
  readonly data: Uint8Array;
  readonly memorySize: number;
}

export interface ElfSection {
  readonly name: string;
  /** SHT_* and SHF_* */
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly size: number;
  readonly align: number;
  readonly entrySize: number;
  readonly link: number;
  readonly info: number;
  /** Empty for SHT_NOBITS. */
  readonly data: Uint8Array;
}

export interface ElfSymbol {
  readonly name: string;
  /** STB_*, STT_*, STV_* */
  readonly binding: number;
  readonly type: number;
  readonly visibility: number;
  /** Section index or SHN_*. */
  readonly section: number;
  readonly value: bigint;
  readonly size: bigint;
}

export interface ElfFile {
  readonly name: string;
  /** ET_REL or ET_EXEC. */
  readonly type: number;
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
  /** By section index, the null section first. */
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
}

/** True if the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/** Reads a whole file. `name` is for messages. */
export function readElf(bytes: Uint8Array, name: string): ElfFile {
  return new Reader(bytes, name).read();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
  }

  read(): ElfFile {
    if (!isElf(this.#bytes)) this.#fault('is no ELF file');
    if (this.#bytes.length < elf.fileHeader.size) this.#fault('ends within its file header');
    const header = elf.fileHeader.read(this.#view, 0);
    if (header.class !== elf.ELFCLASS64 || header.data !== elf.ELFDATA2LSB || header.machine !== elf.EM_X86_64) {
      this.#fault('is not for x86-64: a 64-bit little-endian file for machine 62 is needed');
    }
    if (header.type !== elf.ET_REL && header.type !== elf.ET_EXEC) {
      this.#fault(`has type ${header.type}; only relocatable (1) and static executable (2) files can be used`);
    }
    const sections = this.#sections(header);
    return {
      name: this.#name,
      type: header.type,
      entry: this.#view.getBigUint64(elf.fileHeader.at.entry, true),
      segments: this.#segments(header),
      sections,
      symbols: this.#symbols(sections),
    };
  }

  readonly #fault = (what: string): never => {
    throw new ObjectFault(`${this.#name}: ${what}`);
  };

  #range(offset: number, length: number, what: string): Uint8Array {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset + length > this.#bytes.length) {
      this.#fault(`${what} lies outside the file (offset ${offset}, ${length} bytes, file has ${this.#bytes.length})`);
    }
    return this.#bytes.subarray(offset, offset + length);
  }

  #segments(header: ReturnType<typeof elf.fileHeader.read>): ElfSegment[] {
    if (header.phnum === 0) return [];
    if (header.phentsize !== elf.programHeader.size) this.#fault(`has program headers of ${header.phentsize} bytes`);
    this.#range(header.phoff, header.phnum * elf.programHeader.size, 'the program header table');
    return Array.from({ length: header.phnum }, (_, i) => {
      const at = header.phoff + i * elf.programHeader.size;
      const entry = elf.programHeader.read(this.#view, at);
      if (entry.memsz < entry.filesz) this.#fault(`segment ${i} has more bytes in the file than in memory`);
      return {
        type: entry.type,
        flags: entry.flags,
        virtualAddress: this.#view.getBigUint64(at + elf.programHeader.at.vaddr, true),
        physicalAddress: this.#view.getBigUint64(at + elf.programHeader.at.paddr, true),
        align: entry.align,
        data: this.#range(entry.offset, entry.filesz, `segment ${i}`),
        memorySize: entry.memsz,
      };
    });
  }

  #sections(header: ReturnType<typeof elf.fileHeader.read>): ElfSection[] {
    if (header.shnum === 0) return [];
    if (header.shentsize !== elf.sectionHeader.size) this.#fault(`has section headers of ${header.shentsize} bytes`);
    this.#range(header.shoff, header.shnum * elf.sectionHeader.size, 'the section header table');
    const view = this.#view;
    const { at: field, size: step } = elf.sectionHeader;
    const end = header.shoff + header.shnum * step;
    const data: Uint8Array[] = [];
    for (let at = header.shoff; at < end; at += step) {
      const type = view.getUint32(at + field.type, true);
      const [offset, size] = [elf.readLong(view, at + field.offset), elf.readLong(view, at + field.size)];
      const empty = type === elf.SHT_NOBITS || type === 0;
      data.push(empty ? NOTHING : this.#range(offset, size, `section ${data.length}`));
    }
    const names = new Strings(data[header.shstrndx] ?? NOTHING, this.#fault);
    return data.map((bytes, i) => {
      const at = header.shoff + i * step;
      return {
        name: names.at(view.getUint32(at + field.name, true)),
        type: view.getUint32(at + field.type, true),
        flags: elf.readLong(view, at + field.flags),
        address: view.getBigUint64(at + field.addr, true),
        size: elf.readLong(view, at + field.size),
        align: Math.max(1, elf.readLong(view, at + field.addralign)),
        entrySize: elf.readLong(view, at + field.entsize),
        link: view.getUint32(at + field.link, true),
        info: view.getUint32(at + field.info, true),
        data: bytes,
      };
    });
  }

  #symbols(sections: readonly ElfSection[]): ElfSymbol[] {
    const table = sections.find((section) => section.type === elf.SHT_SYMTAB);
    if (table === undefined) return [];
    const strings = new Strings(sections[table.link]?.data ?? NOTHING, this.#fault);
    const view = new DataView(table.data.buffer, table.data.byteOffset, table.data.byteLength);
    const { at: field, size: step } = elf.symbolEntry;
    const symbols: ElfSymbol[] = [];
    for (let at = 0; at + step <= table.data.length; at += step) {
      const info = view.getUint8(at + field.info);
      symbols.push({
        name: strings.at(view.getUint32(at + field.name, true)),
        binding: info >> 4,
        type: info & 15,
        visibility: view.getUint8(at + field.other) & 3,
        section: view.getUint16(at + field.shndx, true),
        value: view.getBigUint64(at + field.value, true),
        size: view.getBigUint64(at + field.size, true),
      });
    }
    return symbols;
  }
}

/** A string table: strings by their offset, each up to the next zero. */
class Strings {
  readonly #table: Uint8Array;
  readonly #fault: (what: string) => never;
  /** The whole table, where each byte is a character of its own; decoded at once, since that costs as much as one string. */
  readonly #text: string | undefined;

  constructor(table: Uint8Array, fault: (what: string) => never) {
    this.#table = table;
    this.#fault = fault;
    const text = decoder.decode(table);
    this.#text = text.length === table.length ? text : undefined;
  }

  at(offset: number): string {
    const table = this.#table;
    if (offset >= table.length) {
      if (offset === 0) return '';
      return this.#fault(`names a string at ${offset} of a table of ${table.length} bytes`);
    }
    if (this.#text === undefined) {
      const end = table.indexOf(0, offset);
      return decoder.decode(table.subarray(offset, end < 0 ? table.length : end));
    }
    const end = this.#text.indexOf('\0', offset);
    return this.#text.slice(offset, end < 0 ? table.length : end);
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const NOTHING = new Uint8Array(0);
