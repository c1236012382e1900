/**
 * What the assembler and the linker tell the user. One mistake, one error: whoever finds an error replaces what it could not compute by
 * something that causes no second one. `formatDiagnostic` gives the text of the design: place, source line, caret, notes.
 */

import { outermost, type Span } from '../syntax/source.ts';

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** Undefined where no source text is at fault (an object file that does not fit). */
  readonly span: Span | undefined;
  readonly notes: readonly string[];
}

/** More errors than this are not worth reading. */
export const MAX_ERRORS = 20;

/** Thrown to leave the assembler when going on is of no use: too many errors, `%fatal`, a missing include. */
export class Abandon extends Error {}

/** Collects diagnostics in the order of their finding; an error at a place that already has one is dropped. */
export class Diagnostics {
  readonly list: Diagnostic[] = [];
  #errors = 0;
  readonly #places = new Set<string>();

  get failed(): boolean {
    return this.#errors > 0;
  }

  error(span: Span | undefined, message: string, ...notes: string[]): void {
    if (span !== undefined) {
      const place = `${span.origin.file.name}:${span.start}:${span.origin.expansion?.call.start ?? ''}`;
      if (this.#places.has(place)) return;
      this.#places.add(place);
    }
    this.list.push({ severity: 'error', message, span, notes });
    this.#errors++;
    if (this.#errors >= MAX_ERRORS) {
      this.list.push({ severity: 'error', message: `stopped after ${MAX_ERRORS} errors`, span: undefined, notes: [] });
      throw new Abandon();
    }
  }

  /** An error after which nothing sensible can follow. */
  fatal(span: Span | undefined, message: string, ...notes: string[]): never {
    this.error(span, message, ...notes);
    throw new Abandon();
  }

  warning(span: Span | undefined, message: string, ...notes: string[]): void {
    this.list.push({ severity: 'warning', message, span, notes });
  }
}

/** Longest source line shown; of a longer one only the part around the fault. */
const WINDOW = 160;

/**
 * The text of a diagnostic, lines joined by `\n`, without a final one:
 * ```
 * x.gasm:12:14: error: `out` takes al, ax or eax as its second operand, not ebx
 *    12 |         out     dx, ebx
 *       |                     ^~~
 *    = note: forms: out imm8, al|ax|eax   out dx, al|ax|eax
 * ```
 */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { severity, message, span } = diagnostic;
  const lines: string[] = [];
  if (span === undefined) {
    lines.push(`${severity}: ${message}`);
  } else {
    const { line, column } = span.origin.file.position(span.start);
    lines.push(`${span.origin.file.name}:${line}:${column}: ${severity}: ${message}`, ...excerpt(span, line, column));
  }
  for (const note of diagnostic.notes) lines.push(`   = note: ${note}`);
  for (const note of trail(span)) lines.push(`   = note: ${note}`);
  return lines.join('\n');
}

function excerpt(span: Span, line: number, column: number): string[] {
  const full = printable(span.origin.file.lineText(line));
  const cut = full.length > WINDOW ? Math.max(0, column - 1 - WINDOW / 2) : 0;
  const text = full.slice(cut, cut + WINDOW).trimEnd();
  const start = column - 1 - cut;
  const length = Math.max(1, Math.min(span.end - span.start, text.length - start));
  const gutter = String(line).padStart(5);
  // Tabs before the caret stay tabs, so that it stands under its word at any tab width.
  const lead = text.slice(0, start).replace(/[^\t]/g, ' ').padEnd(start);
  return [`${gutter} | ${text}`, `${' '.repeat(gutter.length)} | ${lead}^${'~'.repeat(length - 1)}`];
}

/** A source line may hold anything; a terminal must not get it raw. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must go
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** Macro calls that led here, innermost first. */
function trail(span: Span | undefined): string[] {
  const notes: string[] = [];
  let expansion = span?.origin.expansion;
  while (expansion !== undefined && notes.length < 8) {
    const { file } = expansion.call.origin;
    notes.push(`in macro \`${expansion.macro}\`, called at ${file.name}:${file.line(expansion.call.start)}`);
    expansion = expansion.call.origin.expansion;
  }
  if (expansion !== undefined) {
    const top = outermost(span!);
    notes.push(`… called at ${top.origin.file.name}:${top.origin.file.line(top.start)}`);
  }
  return notes;
}
