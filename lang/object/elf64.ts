/**
 * ELF-64 as data: constants and the layouts of the structures that gvm reads and writes (System V gABI chapter 4 and 5; x86-64 psABI
 * §4.1, §4.4 for machine and relocation types).
 */

export const ELF_MAGIC = 0x464c457f;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const EV_CURRENT = 1;
export const EM_X86_64 = 62;
export const ET_REL = 1;
export const ET_EXEC = 2;

export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;
export const SHT_INIT_ARRAY = 14;
export const SHT_FINI_ARRAY = 15;
export const SHT_GROUP = 17;

export const SHF_WRITE = 1;
export const SHF_ALLOC = 2;
export const SHF_EXECINSTR = 4;
export const SHF_MERGE = 0x10;
export const SHF_STRINGS = 0x20;
export const SHF_INFO_LINK = 0x40;
export const SHF_GROUP = 0x200;
export const SHF_TLS = 0x400;

export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
export const SHN_ABS = 0xfff1;
export const SHN_COMMON = 0xfff2;

export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;

export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STT_FILE = 4;

export const PT_LOAD = 1;
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

export const R_X86_64_64 = 1;
export const R_X86_64_PC32 = 2;
export const R_X86_64_PLT32 = 4;
export const R_X86_64_32 = 10;
export const R_X86_64_32S = 11;
export const R_X86_64_16 = 12;
export const R_X86_64_PC16 = 13;
export const R_X86_64_8 = 14;
export const R_X86_64_PC8 = 15;
export const R_X86_64_PC64 = 24;

/** How a relocation type computes: field size in bytes, whether it subtracts the field's address, and how the result is checked. */
export interface RelocationRule {
  readonly name: string;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly relative: boolean;
  readonly range: 'signed' | 'unsigned' | 'either' | 'none';
}

export const RELOCATIONS: ReadonlyMap<number, RelocationRule> = new Map([
  [R_X86_64_64, { name: 'R_X86_64_64', bytes: 8, relative: false, range: 'none' }],
  [R_X86_64_PC32, { name: 'R_X86_64_PC32', bytes: 4, relative: true, range: 'signed' }],
  [R_X86_64_PLT32, { name: 'R_X86_64_PLT32', bytes: 4, relative: true, range: 'signed' }],
  [R_X86_64_32, { name: 'R_X86_64_32', bytes: 4, relative: false, range: 'unsigned' }],
  [R_X86_64_32S, { name: 'R_X86_64_32S', bytes: 4, relative: false, range: 'signed' }],
  [R_X86_64_16, { name: 'R_X86_64_16', bytes: 2, relative: false, range: 'either' }],
  [R_X86_64_PC16, { name: 'R_X86_64_PC16', bytes: 2, relative: true, range: 'signed' }],
  [R_X86_64_8, { name: 'R_X86_64_8', bytes: 1, relative: false, range: 'either' }],
  [R_X86_64_PC8, { name: 'R_X86_64_PC8', bytes: 1, relative: true, range: 'signed' }],
  [R_X86_64_PC64, { name: 'R_X86_64_PC64', bytes: 8, relative: true, range: 'none' }],
]);

type Field = readonly [name: string, bytes: 1 | 2 | 4 | 8];

/** A structure: fields in order, without padding (ELF-64 has none). */
export interface Layout<Name extends string> {
  readonly size: number;
  /** Offset of each field. What is read by the hundred is read field by field: a record for each costs ten times as much. */
  readonly at: Readonly<Record<Name, number>>;
  read(view: DataView, at: number): Record<Name, number>;
  write(view: DataView, at: number, values: Readonly<Record<Name, number | bigint>>): void;
}

function layout<const F extends readonly Field[]>(fields: F): Layout<F[number][0]> {
  type Name = F[number][0];
  const offsets: Record<string, number> = {};
  let size = 0;
  for (const [name, bytes] of fields) {
    offsets[name] = size;
    size += bytes;
  }
  return {
    size,
    at: offsets as Record<Name, number>,
    read(view, at) {
      const values: Record<string, number> = {};
      let offset = at;
      for (const [name, bytes] of fields) {
        values[name] = readField(view, offset, bytes);
        offset += bytes;
      }
      return values as Record<Name, number>;
    },
    write(view, at, values) {
      let offset = at;
      for (const [name, bytes] of fields) {
        writeField(view, offset, bytes, BigInt(values[name as Name]));
        offset += bytes;
      }
    },
  };
}

/** Eight-byte fields come as numbers: exact below 2^53, which every offset and size that fits a file is. Addresses are read apart. */
function readField(view: DataView, at: number, bytes: 1 | 2 | 4 | 8): number {
  switch (bytes) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true);
    case 4:
      return view.getUint32(at, true);
    case 8:
      return readLong(view, at);
  }
}

/** An eight-byte field as a number. */
export const readLong = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);

/** Stores the low `bytes` bytes of a value, little-endian. */
export function writeField(view: DataView, at: number, bytes: 1 | 2 | 4 | 8, value: bigint): void {
  switch (bytes) {
    case 1:
      view.setUint8(at, Number(BigInt.asUintN(8, value)));
      return;
    case 2:
      view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
      return;
    case 4:
      view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
      return;
    case 8:
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
      return;
  }
}

/** Elf64_Ehdr */
export const fileHeader = layout([
  ['magic', 4],
  ['class', 1],
  ['data', 1],
  ['identVersion', 1],
  ['osAbi', 1],
  ['pad', 8],
  ['type', 2],
  ['machine', 2],
  ['version', 4],
  ['entry', 8],
  ['phoff', 8],
  ['shoff', 8],
  ['flags', 4],
  ['ehsize', 2],
  ['phentsize', 2],
  ['phnum', 2],
  ['shentsize', 2],
  ['shnum', 2],
  ['shstrndx', 2],
]);

/** Elf64_Phdr */
export const programHeader = layout([
  ['type', 4],
  ['flags', 4],
  ['offset', 8],
  ['vaddr', 8],
  ['paddr', 8],
  ['filesz', 8],
  ['memsz', 8],
  ['align', 8],
]);

/** Elf64_Shdr */
export const sectionHeader = layout([
  ['name', 4],
  ['type', 4],
  ['flags', 8],
  ['addr', 8],
  ['offset', 8],
  ['size', 8],
  ['link', 4],
  ['info', 4],
  ['addralign', 8],
  ['entsize', 8],
]);

/** Elf64_Sym */
export const symbolEntry = layout([
  ['name', 4],
  ['info', 1],
  ['other', 1],
  ['shndx', 2],
  ['value', 8],
  ['size', 8],
]);

/** Elf64_Rela; `type` and `symbol` are the halves of r_info. */
export const relaEntry = layout([
  ['offset', 8],
  ['type', 4],
  ['symbol', 4],
  ['addend', 8],
]);
