/**
 * Source files and places in them. A span is cheap (two offsets); line and column are worked out only when a message or a line table
 * wants them.
 */

/** One source text under the name the user knows it by. */
export class SourceFile {
  readonly name: string;
  readonly text: string;
  #lineStarts: number[] | undefined;
  readonly #labels: { offset: number; line: number; step: number; name: string }[] = [];

  constructor(name: string, text: string) {
    this.name = name;
    this.text = text;
  }

  /** Offsets at which lines begin; `\n`, `\r\n` and a lone `\r` end a line. */
  get lineStarts(): readonly number[] {
    if (this.#lineStarts === undefined) {
      const starts = [0];
      for (const end of this.text.matchAll(/\r\n?|\n/g)) starts.push(end.index + end[0].length);
      this.#lineStarts = starts;
    }
    return this.#lineStarts;
  }

  /** Line of an offset, counted from 1. */
  line(offset: number): number {
    const starts = this.lineStarts;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  /** Line and column of an offset, both counted from 1; the column counts UTF-16 units. */
  position(offset: number): { line: number; column: number } {
    const line = this.line(offset);
    return { line, column: offset - this.lineStarts[line - 1]! + 1 };
  }

  /** `%line`: what stands behind the line of `offset` came from elsewhere. */
  relabel(
    offset: number,
    as: { readonly line: number; readonly step: number; readonly name: string | undefined },
  ): void {
    const previous = this.#labels.at(-1);
    // A macro or a repetition may pass here again.
    if (previous !== undefined && previous.offset >= offset) return;
    this.#labels.push({ offset, ...as, name: as.name ?? previous?.name ?? this.name });
  }

  /** Name and line (from 1) by which the user knows a place: that of the file, unless a `%line` says otherwise. */
  place(offset: number): { readonly name: string; readonly line: number } {
    const line = this.line(offset);
    const label = this.#labels.findLast((each) => each.offset < offset && this.line(each.offset) < line);
    if (label === undefined) return { name: this.name, line };
    return { name: label.name, line: label.line + (line - this.line(label.offset)) * label.step };
  }

  /** Text of a line (from 1) without its line end. */
  lineText(line: number): string {
    const starts = this.lineStarts;
    const start = starts[line - 1] ?? this.text.length;
    return this.text.slice(start, starts[line] ?? this.text.length).replace(/[\r\n]+$/, '');
  }
}

/** The part of a token that says where it stands. */
export interface Standing {
  readonly image: string;
  readonly startOffset: number;
  readonly endOffset?: number | undefined;
  readonly origin?: Origin | undefined;
}

/** Where tokens come from: a file and, in the body of a macro, the call that brought them here. */
export interface Origin {
  readonly file: SourceFile;
  readonly expansion: Expansion | undefined;
  /** For a line whose tokens several calls share: where a token of it stands here. */
  standing?(token: Standing): Standing;
}

/** One step of a macro expansion trail. `call` is the place of the macro's name in the calling line. */
export interface Expansion {
  readonly macro: string;
  readonly call: Span;
  /** Depth of nesting, from 1. */
  readonly depth: number;
  /** Number that makes `%%label` unique: `..@4.label`. */
  readonly serial: number;
}

/** A piece of a source file: offsets `start` up to but without `end`. */
export interface Span {
  readonly origin: Origin;
  readonly start: number;
  readonly end: number;
}

/** The place outside all macros that led to this span: what a line table and a backtrace name (as NASM does). */
export function outermost(span: Span): Span {
  let at = span;
  while (at.origin.expansion !== undefined) at = at.origin.expansion.call;
  return at;
}
