/**
 * A listing in NASM's format (listing.c of NASM 2.16): every source line as it is read, with the offset and the bytes that it made.
 * Bytes that wait for a linker stand in brackets, distances in parentheses; lines of macros, repetitions and includes carry their depth.
 */

import { RELOCATIONS } from '../object/elf64.ts';
import { type SourceLine, textOf } from '../syntax/lexer.ts';
import type { SourceFile } from '../syntax/source.ts';
import type { Assembly, Item } from './assembly.ts';
import { BytesWork, DataWork, TimesWork } from './data-work.ts';
import type { Diagnostic } from './diagnostics.ts';
import { lineText } from './preprocessor/line-text.ts';
import type { SourceObserver } from './preprocessor/source-observer.ts';
import type { Section } from './sections.ts';

/** Characters of the column of bytes. */
const COLUMN = 18;
/** NASM writes room up to this size as question marks. */
const SHORT_ROOM = 8;

/** A line as it was read, and what became of it. */
interface Entry {
  readonly file: SourceFile;
  readonly line: number;
  readonly text: string;
  readonly level: number;
  readonly pieces: Piece[];
  readonly remarks: string[];
}

/** Text of the column of bytes that is not broken, and the offset of its first byte; undefined: that of the row before. */
interface Piece {
  readonly offset: number | undefined;
  readonly text: string;
}

/** A file whose lines are being read: those without a token are listed when a later one comes. */
interface OpenFile {
  readonly file: SourceFile;
  readonly level: number;
  next: number;
}

export class Listing implements SourceObserver {
  readonly #entries: Entry[] = [];
  readonly #files: OpenFile[] = [];
  readonly #byItem = new Map<number, Entry>();

  opened(file: SourceFile, level: number): void {
    this.#leave(level - 1);
    this.#files.push({ file, level, next: 1 });
  }

  read(line: SourceLine, level: number, fromFile: boolean): void {
    this.#leave(level);
    const number = line.origin.file.line(line.tokens[0]!.startOffset);
    if (fromFile) {
      const open = this.#files.at(-1)!;
      this.#skipTo(open, number);
      this.#addFrom(open);
    } else {
      this.#add(line.origin.file, number, lineText(line), level);
    }
  }

  /** The label in front of a macro's call, which NASM lists before the macro's lines. */
  label(line: SourceLine, level: number): void {
    const { tokens, origin } = line;
    const text = tokens.length > 1 ? `${textOf(tokens)} ` : `${tokens[0]!.image} :`;
    this.#add(origin.file, origin.file.line(tokens[0]!.startOffset), text, level);
  }

  /** The statement of the line read last. */
  item(item: Item): void {
    const entry = this.#entries.at(-1);
    if (entry !== undefined) this.#byItem.set(item.index, entry);
  }

  /** A statement has been placed in the last pass: its bytes lie from `start` up to the section's offset. */
  placed(item: Item, section: Section, start: number, firstRelocation: number, assembly: Assembly): void {
    const entry = this.#byItem.get(item.index);
    const end = section.offset;
    if (entry === undefined || end === start) return;
    const { repetition } = assembly;
    const length = repetition === undefined ? end - start : repetition.length;
    const inner = item.work instanceof TimesWork ? item.work.inner : item.work;
    const isRoom = !section.holdsBytes || inner?.isRoom === true || repetition?.isRoom === true;
    if (inner instanceof BytesWork) {
      entry.pieces.push({ offset: start, text: `<bin ${hex(length)}h>` });
    } else if (isRoom) {
      entry.pieces.push(roomPiece(addressOf(section, start), end - start));
    } else {
      const counted = inner instanceof DataWork ? 0 : start + length;
      entry.pieces.push(...bytePieces(section, start, start + length, firstRelocation, counted, assembly.rooms));
    }
    if (repetition !== undefined && repetition.count > 1 && !isRoom) {
      entry.pieces.push({ offset: undefined, text: `<rep ${hex(repetition.count)}h>` });
    }
  }

  /** The whole text; `remarks` are the warnings, which stand under their lines. */
  text(remarks: readonly Diagnostic[]): string {
    this.#leave(-1);
    for (const remark of remarks) this.#remark(remark);
    return this.#entries.flatMap(rows).join('');
  }

  #remark({ span, severity, message, warning }: Diagnostic): void {
    if (span === undefined) return;
    const { file } = span.origin;
    const line = file.line(span.start);
    const entry = this.#entries.findLast((each) => each.file === file && each.line === line);
    entry?.remarks.push(`${severity}: ${message}${warning === undefined ? '' : ` [-w+${warning}]`}`);
  }

  /** Ends the files that are nested deeper than `level`. */
  #leave(level: number): void {
    while (this.#files.length > 0 && this.#files.at(-1)!.level > level) this.#finish(this.#files.pop()!);
  }

  #finish(open: OpenFile): void {
    const { lineStarts, text } = open.file;
    const last = lineStarts.at(-1) === text.length ? lineStarts.length - 1 : lineStarts.length;
    this.#skipTo(open, last + 1);
  }

  #skipTo(open: OpenFile, number: number): void {
    while (open.next < number) this.#addFrom(open);
  }

  /** The next line of a file, with the lines that continue it. */
  #addFrom(open: OpenFile): void {
    const { file, level } = open;
    const first = open.next;
    let text = file.lineText(open.next++);
    while (text.endsWith('\\') && open.next <= file.lineStarts.length) {
      text = text.slice(0, -1) + file.lineText(open.next++);
    }
    this.#add(file, first, text, level);
  }

  #add(file: SourceFile, line: number, text: string, level: number): void {
    this.#entries.push({ file, line, text, level, pieces: [], remarks: [] });
  }
}

/**
 * Each byte from `start` to `end`, or field of a relocation. A relative field is shown as what the source said: for an instruction the
 * place it goes to, so `counted` is where its distances count from.
 */
function bytePieces(
  section: Section,
  start: number,
  end: number,
  firstRelocation: number,
  counted: number,
  rooms: readonly { readonly start: number; readonly end: number }[],
): Piece[] {
  const bytes = section.contents();
  const pieces: Piece[] = [];
  let next = firstRelocation;
  let nextRoom = 0;
  for (let at = start; at < end; ) {
    const room = rooms[nextRoom];
    if (room?.start === at) {
      const last = Math.min(room.end, end);
      pieces.push(roomPiece(at, last - at));
      at = last;
      nextRoom++;
      continue;
    }
    while ((section.relocations[next]?.offset ?? Infinity) < at) next++;
    const relocation = section.relocations[next];
    const rule = relocation?.offset === at ? RELOCATIONS.get(relocation.type) : undefined;
    if (relocation === undefined || rule === undefined) {
      pieces.push({ offset: at, text: byteText(bytes[at]!) });
      at++;
      continue;
    }
    const shown = rule.relative ? relocation.addend + BigInt(counted - at) : relocation.addend;
    let text = '';
    for (let i = 0; i < rule.bytes; i++) text += byteText(Number((shown >> BigInt(8 * i)) & 0xffn));
    pieces.push({ offset: at, text: rule.relative ? `(${text})` : `[${text}]` });
    at += rule.bytes;
  }
  return pieces;
}

/** Behind `absolute` labels are addresses, and so is what the listing has. */
const addressOf = (section: Section, offset: number): number =>
  section.isAbsolute ? Number(section.start.constant) + offset : offset;

function roomPiece(offset: number, size: number): Piece {
  return { offset, text: size > SHORT_ROOM ? `<res ${hex(size)}h>` : '??'.repeat(size) };
}

const hex = (value: number) => value.toString(16).toUpperCase();
const byteText = (byte: number) => hex(byte).padStart(2, '0');

/** The rows of an entry: the first carries the source text, the column of bytes goes on in the others. */
function rows({ line, text, level, pieces, remarks }: Entry): string[] {
  const number = String(line).padStart(6);
  const depth = level === 0 ? '' : `${level < 10 ? ' ' : ''}<${level}>`;
  const columns: string[] = [];
  let column: { offset: number; text: string } | undefined;
  let offset = 0;
  const flush = (mark: string) => {
    const { offset: at, text: data } = column!;
    columns.push(`${at.toString(16).toUpperCase().padStart(8, '0')} ${`${data}${mark}`.padEnd(COLUMN + 1)}`);
  };
  for (const piece of pieces) {
    if (column !== undefined && column.text.length + piece.text.length > COLUMN) {
      flush('-');
      column = undefined;
    }
    offset = column === undefined ? (piece.offset ?? offset) : offset;
    column ??= { offset, text: '' };
    column.text += piece.text;
  }
  if (column !== undefined) flush('');
  const [first = ' '.repeat(COLUMN + 10), ...rest] = columns;
  return [
    `${number} ${first}${depth === '' ? '    ' : depth} ${text}\n`,
    ...rest.map((each) => `${number} ${each}${depth}\n`),
    ...remarks.map((remark) => `${number}          ${'*'.repeat(COLUMN)}       ${remark}\n`),
  ];
}
