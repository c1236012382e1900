/**
 * An ELF object or executable → NASM source (`-f elf64`) whose sections have the same bytes and relocations. The whole of it is
 * assembled again; a line that comes out otherwise is written as data.
 */

import { assemble } from '../assembler/assemble.ts';
import { formatDiagnostic } from '../assembler/diagnostics.ts';
import type { FieldNames } from '../isa/format.ts';
import * as elf from '../object/elf64.ts';
import type { ObjectSymbol } from '../object/object-file.ts';
import { dataStatements, roomStatement } from './data-lines.ts';
import { type DecodedLine, dataLine, decodeLines, fieldAt, lineOf, targetOffset } from './instruction-line.ts';
import { Names } from './names.ts';
import { type CodeLine, type NamedField, type Program, type ProgramSection, programOfObject } from './program.ts';
import { assembledBytes, sameBytes } from './reassemble.ts';
import { SourceText } from './source-text.ts';

/** Text of a source line, if the reader has it. */
export type SourceLines = (file: string, line: number) => string | undefined;

/** The source of a whole program. */
export function disassembleProgram(program: Program, sourceLine: SourceLines): string {
  return new ProgramSource(program, sourceLine).text();
}

/** A source line is shown up to here. */
const LONGEST_SOURCE = 100;

/** A statement of a section as it will be written. */
interface Line {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
  /** Written instead where the text does not give the bytes. */
  readonly data: string;
  readonly isCode: boolean;
}

class ProgramSource {
  readonly #program: Program;
  readonly #sourceLine: SourceLines;
  readonly #names: Names;
  readonly #code = new Map<number, readonly DecodedLine[]>();
  /** Lines written as data, as `section:offset`. */
  readonly #plain = new Set<string>();
  /** The statement that each line of the text is, as `section:offset`. */
  readonly #written = new Map<number, string>();

  constructor(program: Program, sourceLine: SourceLines) {
    this.#program = program;
    this.#sourceLine = sourceLine;
    this.#names = new Names(program);
    for (const [index, section] of program.sections) {
      if (isCode(section)) this.#code.set(index, this.#decode(index, section));
    }
    for (const [index] of this.#code) this.#nameTargets(index);
    this.#nameSections();
    this.#checkAlone();
  }

  /** Each code section from label to label, so that a label never stands inside an instruction. */
  #decode(index: number, { data }: ProgramSection): DecodedLine[] {
    const edges = [...this.#names.offsets(index).filter((offset) => offset < data.length), data.length];
    let start = 0;
    return edges.flatMap((end) => {
      const lines = end > start ? decodeLines(data, start, end) : [];
      start = Math.max(start, end);
      return lines;
    });
  }

  #nameTargets(index: number): void {
    const lines = this.#code.get(index)!;
    const starts = new Set(lines.map(({ offset }) => offset));
    const { fields } = this.#program.sections.get(index)!;
    for (const line of lines) {
      const target = targetOffset(line);
      if (target !== undefined && starts.has(target) && fieldsIn(fields, line).length === 0)
        this.#names.ofPlace(index, target);
    }
  }

  /** A section that a relocation counts from needs a label at its start. */
  #nameSections(): void {
    for (const { fields } of this.#program.sections.values()) {
      for (const { target } of fields) if (typeof target === 'number') this.#names.ofPlace(target, 0);
    }
  }

  /** Lines whose text means other bytes wherever it stands (redundant prefixes, an odd encoding) become data. */
  #checkAlone(): void {
    const all = [...this.#code].flatMap(([index, lines]) => lines.map((line) => ({ index, line })));
    const texts = new Set(
      all.flatMap(({ line: { instruction } }) => (instruction === undefined ? [] : [lineOf(instruction)])),
    );
    const assembled = assembledBytes(texts);
    for (const { index, line } of all) {
      const { offset, length, instruction } = line;
      if (instruction === undefined) continue;
      const bytes = this.#program.sections.get(index)!.data.subarray(offset, offset + length);
      const found = assembled.get(lineOf(instruction));
      if (found === undefined || !sameBytes(found, bytes)) this.#plain.add(`${index}:${offset}`);
    }
  }

  /** Written, assembled, and written again until every line gives its bytes. */
  text(): string {
    for (;;) {
      const text = this.#write();
      const wrong = this.#differences(text);
      if (wrong.length === 0) return text;
      for (const key of wrong) this.#plain.add(key);
    }
  }

  #write(): string {
    const out = new SourceText();
    out.line('bits 64');
    out.line('default abs');
    for (const symbol of this.#program.others) out.line(declaration(symbol, this.#names));
    for (const [index, section] of this.#program.sections) {
      out.line('');
      out.line(`section ${section.name}${attributes(section)}`);
      for (const offset of this.#names.offsets(index)) {
        for (const { text, symbol } of this.#names.at(index, offset)) {
          if (symbol !== undefined && symbol.binding !== 'local') out.line(globalLine(text, symbol));
        }
      }
      this.#writeSection(out, index, section);
    }
    return out.text();
  }

  #writeSection(out: SourceText, index: number, section: ProgramSection): void {
    let shown: CodeLine | undefined;
    for (const line of this.#lines(index, section)) {
      for (const { text } of this.#names.at(index, line.offset)) out.label(text);
      const source = section.lines.get(line.offset);
      if (source !== undefined && (source.file !== shown?.file || source.line !== shown.line)) {
        const text = this.#sourceLine(source.file, source.line);
        out.comment(
          `${source.file}:${source.line}${text === undefined ? '' : `: ${text.trim().slice(0, LONGEST_SOURCE)}`}`,
        );
        shown = source;
      }
      const address = section.address + BigInt(line.offset);
      const bytes = section.data.subarray(line.offset, line.offset + line.length);
      const key = `${index}:${line.offset}`;
      const isPlain = this.#plain.has(key);
      this.#written.set(out.nextLine, key);
      if (isPlain) out.data(line.data, address, line.text);
      else if (line.isCode) out.statement(line.text, address, bytes);
      else out.data(line.text, address, undefined);
    }
    for (const { text } of this.#names.at(index, section.size)) out.label(text);
  }

  #lines(index: number, section: ProgramSection): Line[] {
    const code = this.#code.get(index);
    if (code !== undefined) return code.map((line) => this.#codeLine(index, section, line));
    const { size, data, fields, type } = section;
    const edges = [...this.#names.offsets(index).filter((offset) => offset > 0 && offset < size), size];
    let start = 0;
    return edges.flatMap((end) => {
      const statements =
        type === elf.SHT_NOBITS
          ? roomStatement(start, end)
          : dataStatements(data, start, end, fields, (field) => this.#fieldText(field));
      start = end;
      return statements.map((each) => ({
        ...each,
        data: dataLine(data.subarray(each.offset, each.offset + each.length)),
        isCode: false,
      }));
    });
  }

  #codeLine(index: number, section: ProgramSection, line: DecodedLine): Line {
    const { offset, length, instruction } = line;
    const data = dataLine(section.data.subarray(offset, offset + length));
    if (instruction === undefined) return { offset, length, text: data, data, isCode: false };
    const names: { -readonly [K in keyof FieldNames]: FieldNames[K] } = {};
    for (const field of fieldsIn(section.fields, line)) {
      const place = fieldAt(instruction, field.offset - offset);
      if (place === undefined) continue;
      const isRelative = elf.RELOCATIONS.get(field.type)!.relative;
      // The source names the place; the relocation counts from the field, the CPU from the end of the instruction.
      const addend = isRelative ? field.addend + BigInt(offset + length - field.offset) : field.addend;
      names[place] =
        `${this.#names.ofTarget(field.target, addend)}${field.type === elf.R_X86_64_PLT32 ? ' wrt ..plt' : ''}`;
    }
    const target = targetOffset(line);
    if (target !== undefined && names.target === undefined && this.#names.at(index, target).length > 0) {
      names.target = this.#names.ofPlace(index, target);
    }
    return { offset, length, text: lineOf(instruction, names), data, isCode: true };
  }

  /** A field in data: `sym+4`, `sym+4-$`. */
  #fieldText({ type, target, addend }: NamedField): string {
    const place = this.#names.ofTarget(target, addend);
    return elf.RELOCATIONS.get(type)!.relative ? `${place}-$` : place;
  }

  /** Lines, as `section:offset`, that the text does not give as they are in the file. */
  #differences(text: string): string[] {
    const result = assemble(
      { name: 'disassembly', text },
      { includePath: () => undefined, maxErrors: Number.POSITIVE_INFINITY },
    );
    if (!('object' in result)) {
      const refused = result.diagnostics.flatMap(({ span }) => {
        const key = span === undefined ? undefined : this.#written.get(span.origin.file.line(span.start));
        return key === undefined || this.#plain.has(key) ? [] : [key];
      });
      if (refused.length > 0) return refused;
      throw new Error(`the disassembly cannot be read: ${formatDiagnostic(result.diagnostics[0]!)}`);
    }
    const again = programOfObject(result.object);
    const copies = new Map([...again.sections.values()].map((section) => [section.name, section]));
    const wrong: string[] = [];
    for (const [index, section] of this.#program.sections) {
      const copy = copies.get(section.name);
      for (const line of this.#lines(index, section)) {
        const key = `${index}:${line.offset}`;
        // What is data already holds its bytes; a relocation that the language cannot say is left out there.
        if (this.#plain.has(key) || line.text === line.data) continue;
        if (copy === undefined || !this.#isSame(section, copy, again, line)) wrong.push(key);
      }
    }
    return wrong;
  }

  #isSame(section: ProgramSection, copy: ProgramSection, again: Program, line: Line): boolean {
    const { offset, length } = line;
    if (section.type !== elf.SHT_NOBITS) {
      const [own, other] = [section, copy].map(({ data }) => data.subarray(offset, offset + length));
      if (!sameBytes(own!, other!)) return false;
    } else if (copy.size < offset + length) return false;
    const own = fieldsIn(section.fields, line).map((field) => this.#fieldKey(field));
    const other = fieldsIn(copy.fields, line).map(({ offset: at, type, target, addend }) => {
      const name = typeof target === 'number' ? again.sections.get(target)?.name : target;
      return `${at} ${type} ${name} ${addend}`;
    });
    return own.join() === other.join();
  }

  #fieldKey({ offset, type, target, addend }: NamedField): string {
    const name =
      typeof target === 'number'
        ? this.#program.sections.get(target)?.name
        : this.#names.ofOther(target).replace(/^\$/, '');
    return `${offset} ${type} ${name} ${addend}`;
  }
}

const isCode = ({ flags }: ProgramSection) => (flags & elf.SHF_EXECINSTR) !== 0;

function fieldsIn(
  fields: readonly NamedField[],
  { offset, length }: { readonly offset: number; readonly length: number },
) {
  return fields.filter((field) => field.offset >= offset && field.offset < offset + length);
}

/** `section` attributes, all said, whatever the name implies. */
function attributes({ flags, type, align }: ProgramSection): string {
  const words = [
    type === elf.SHT_NOBITS ? 'nobits' : type === elf.SHT_NOTE ? 'note' : 'progbits',
    'alloc',
    flags & elf.SHF_EXECINSTR ? 'exec' : 'noexec',
    flags & elf.SHF_WRITE ? 'write' : 'nowrite',
    ...(flags & elf.SHF_TLS ? ['tls'] : []),
    `align=${align}`,
  ];
  return ` ${words.join(' ')}`;
}

const TYPES: Readonly<Record<number, string>> = { [elf.STT_FUNC]: 'function', [elf.STT_OBJECT]: 'data' };

function globalLine(name: string, { type, binding, size }: ObjectSymbol): string {
  const words = [TYPES[type] ?? '', binding === 'weak' ? 'weak' : '', size > 0n && TYPES[type] ? `${size}` : ''];
  const said = words.filter((word) => word !== '');
  return `global ${name}${said.length > 0 ? `:${said.join(' ')}` : ''}`;
}

function declaration({ name, section, binding, size, value }: ObjectSymbol, names: Names): string {
  const text = names.ofOther(name);
  if (section === 'common') return `common ${text} ${size}:${value}`;
  return `extern ${text}${binding === 'weak' ? ':weak' : ''}`;
}
