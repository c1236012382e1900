/**
 * A line table as DWARF 4: .debug_line with one sequence a section, and the .debug_info and .debug_abbrev that debuggers need to find
 * it (DWARF 4 standard §6.2, §7.5). Addresses are relocations against section symbols, so that any linker can carry them.
 */

import { ByteWriter } from './byte-writer.ts';
import * as elf from './elf64.ts';
import type { LineRow, LineTable } from './line-table.ts';
import type { ObjectFile, ObjectSection, ObjectSymbol, Relocation } from './object-file.ts';

const DW_TAG_compile_unit = 0x11;
const DW_AT_stmt_list = 0x10;
const DW_AT_low_pc = 0x11;
const DW_AT_high_pc = 0x12;
const DW_AT_language = 0x13;
const DW_AT_name = 0x03;
const DW_AT_producer = 0x25;
const DW_AT_ranges = 0x55;
const DW_FORM_addr = 0x01;
const DW_FORM_data2 = 0x05;
const DW_FORM_data8 = 0x07;
const DW_FORM_string = 0x08;
const DW_FORM_sec_offset = 0x17;
const DW_LANG_Mips_Assembler = 0x8001;

const DW_LNS_copy = 1;
const DW_LNS_advance_pc = 2;
const DW_LNS_advance_line = 3;
const DW_LNS_set_file = 4;
const DW_LNE_end_sequence = 1;
const DW_LNE_set_address = 2;
/** Operand counts of the standard opcodes 1–12. */
const STANDARD_LENGTHS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
const LINE_BASE = -5;
const LINE_RANGE = 14;
const OPCODE_BASE = 13;

/** A debug section while it is written. */
interface Draft {
  readonly name: string;
  readonly writer: ByteWriter;
  readonly relocations: Relocation[];
}

const draft = (name: string): Draft => ({ name, writer: new ByteWriter(), relocations: [] });

/** The object with its line table as sections; an object without one, or that has debug sections already, is returned as it is. */
export function withDebugSections(object: ObjectFile): ObjectFile {
  const { lines } = object;
  if (lines === undefined || lines.rows.length === 0) return object;
  if (object.sections.some((section) => section.name === '.debug_line')) return object;
  return new DebugSections(object, lines).object();
}

class DebugSections {
  readonly #object: ObjectFile;
  readonly #lines: LineTable;
  readonly #symbols: ObjectSymbol[];
  readonly #line = draft('.debug_line');
  readonly #info = draft('.debug_info');
  readonly #abbreviations = draft('.debug_abbrev');
  readonly #ranges = draft('.debug_ranges');

  constructor(object: ObjectFile, lines: LineTable) {
    this.#object = object;
    this.#lines = lines;
    this.#symbols = [...object.symbols];
  }

  object(): ObjectFile {
    const covered = [...new Set(this.#lines.rows.map((row) => row.section))];
    const drafts = [this.#line, this.#info, this.#abbreviations];
    if (covered.length > 1) drafts.push(this.#ranges);
    const first = this.#object.sections.length;
    const symbolOf = (target: Draft) => this.#sectionSymbol(first + drafts.indexOf(target));
    this.#writeLines(covered);
    this.#writeInfo(covered, symbolOf);
    const sections = drafts.map(({ name, writer, relocations }): ObjectSection => {
      const data = writer.finish();
      const shape = { type: elf.SHT_PROGBITS, flags: 0, align: 1, entrySize: 0 };
      return { name, ...shape, size: data.length, data, relocations };
    });
    return { ...this.#object, sections: [...this.#object.sections, ...sections], symbols: this.#symbols };
  }

  /** The section's own symbol; debug sections get one when first asked for. */
  #sectionSymbol(section: number): number {
    const found = this.#symbols.findIndex((symbol) => symbol.type === elf.STT_SECTION && symbol.section === section);
    if (found >= 0) return found;
    this.#symbols.push({ name: '', binding: 'local', type: elf.STT_SECTION, section, value: 0n, size: 0n });
    return this.#symbols.length - 1;
  }

  #relocate({ writer, relocations }: Draft, type: number, symbol: number, addend: number): void {
    relocations.push({ offset: writer.length, type, symbol, addend: BigInt(addend) });
    if (type === elf.R_X86_64_64) writer.u64(0n);
    else writer.u32(0);
  }

  #writeLines(covered: readonly number[]): void {
    const { writer } = this.#line;
    const files = [...new Set(this.#lines.rows.map((row) => row.file))];
    writer.u32(0);
    writer.u16(4);
    const headerAt = writer.length;
    writer.u32(0);
    for (const byte of [1, 1, 1, LINE_BASE & 0xff, LINE_RANGE, OPCODE_BASE, ...STANDARD_LENGTHS]) writer.u8(byte);
    writer.u8(0);
    for (const file of files) {
      writer.string(file);
      // Directory, time and size are not known.
      for (let i = 0; i < 3; i++) writer.u8(0);
    }
    writer.u8(0);
    writer.patch32(headerAt, writer.length - headerAt - 4);
    for (const section of covered) {
      const rows = this.#lines.rows.filter((row) => row.section === section);
      this.#writeSequence(rows, section, files);
    }
    writer.patch32(0, writer.length - 4);
  }

  #writeSequence(rows: readonly LineRow[], section: number, files: readonly string[]): void {
    const { writer } = this.#line;
    const start = rows[0]!.offset;
    writer.u8(0);
    writer.uleb(9);
    writer.u8(DW_LNE_set_address);
    this.#relocate(this.#line, elf.R_X86_64_64, this.#sectionSymbol(section), start);
    let [offset, line, file] = [start, 1, 1];
    for (const row of rows) {
      const number = files.indexOf(row.file) + 1;
      if (number !== file) {
        writer.u8(DW_LNS_set_file);
        writer.uleb(number);
        file = number;
      }
      this.#advance(row.offset - offset, row.line - line);
      offset = row.offset;
      line = row.line;
    }
    writer.u8(DW_LNS_advance_pc);
    writer.uleb(this.#object.sections[section]!.size - offset);
    writer.u8(0);
    writer.uleb(1);
    writer.u8(DW_LNE_end_sequence);
  }

  /** A row: one special opcode where both steps are small, else the long way. */
  #advance(bytes: number, lines: number): void {
    const { writer } = this.#line;
    const opcode = lines - LINE_BASE + LINE_RANGE * bytes + OPCODE_BASE;
    if (lines >= LINE_BASE && lines < LINE_BASE + LINE_RANGE && opcode <= 255) {
      writer.u8(opcode);
      return;
    }
    if (bytes > 0) {
      writer.u8(DW_LNS_advance_pc);
      writer.uleb(bytes);
    }
    if (lines !== 0) {
      writer.u8(DW_LNS_advance_line);
      writer.sleb(lines);
    }
    writer.u8(DW_LNS_copy);
  }

  #writeInfo(covered: readonly number[], symbolOf: (target: Draft) => number): void {
    const several = covered.length > 1;
    this.#writeAbbreviation(several);
    const { writer } = this.#info;
    writer.u32(0);
    writer.u16(4);
    this.#relocate(this.#info, elf.R_X86_64_32, symbolOf(this.#abbreviations), 0);
    writer.u8(8);
    writer.uleb(1);
    this.#relocate(this.#info, elf.R_X86_64_32, symbolOf(this.#line), 0);
    if (several) {
      writer.u64(0n);
      this.#relocate(this.#info, elf.R_X86_64_32, symbolOf(this.#ranges), 0);
      this.#writeRanges(covered);
    } else {
      const section = covered[0]!;
      this.#relocate(this.#info, elf.R_X86_64_64, this.#sectionSymbol(section), 0);
      writer.u64(BigInt(this.#object.sections[section]!.size));
    }
    writer.string(this.#object.name);
    writer.string('gvm');
    writer.u16(DW_LANG_Mips_Assembler);
    writer.patch32(0, writer.length - 4);
  }

  #writeAbbreviation(several: boolean): void {
    const { writer } = this.#abbreviations;
    const extent = several
      ? [
          [DW_AT_low_pc, DW_FORM_addr],
          [DW_AT_ranges, DW_FORM_sec_offset],
        ]
      : [
          [DW_AT_low_pc, DW_FORM_addr],
          [DW_AT_high_pc, DW_FORM_data8],
        ];
    const attributes = [
      [DW_AT_stmt_list, DW_FORM_sec_offset],
      ...extent,
      [DW_AT_name, DW_FORM_string],
      [DW_AT_producer, DW_FORM_string],
      [DW_AT_language, DW_FORM_data2],
      [0, 0],
    ];
    writer.uleb(1);
    writer.uleb(DW_TAG_compile_unit);
    writer.u8(0);
    for (const value of attributes.flat()) writer.uleb(value);
    writer.u8(0);
  }

  #writeRanges(covered: readonly number[]): void {
    for (const section of covered) {
      const symbol = this.#sectionSymbol(section);
      this.#relocate(this.#ranges, elf.R_X86_64_64, symbol, 0);
      this.#relocate(this.#ranges, elf.R_X86_64_64, symbol, this.#object.sections[section]!.size);
    }
    this.#ranges.writer.u64(0n);
    this.#ranges.writer.u64(0n);
  }
}
