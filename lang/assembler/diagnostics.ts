/**
 * What the assembler and the linker tell the user. One mistake, one error: whoever finds an error replaces what it could not compute by
 * something that causes no second one. `formatDiagnostic` gives the text of the design: place, source line, caret, notes.
 */

import { outermost, type Span } from '../syntax/source.ts';
import { type WarningClass, WarningSettings } from './warning-classes.ts';

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** Undefined where no source text is at fault (an object file that does not fit). */
  readonly span: Span | undefined;
  readonly notes: readonly string[];
  /** The forms that the instruction at fault does have. */
  readonly forms?: readonly string[];
  /** Class of a warning, also where `-Werror` made it an error. */
  readonly warning?: WarningClass;
}

/** More errors than this are not worth reading, unless the user says otherwise. */
export const MAX_ERRORS = 20;

/** Thrown to leave the assembler when going on is of no use: too many errors, `%fatal`, a missing include. */
export class Abandon extends Error {}

/** Thrown where something would have been said that nobody is to hear. */
class Overheard extends Error {}

/** Collects diagnostics in the order of their finding; an error at a place that already has one is dropped. */
export class Diagnostics {
  readonly list: Diagnostic[] = [];
  readonly warnings: WarningSettings;
  /** All that was ever said, also what is not shown. */
  said = 0;
  readonly #maxErrors: number;
  #errors = 0;
  /** Warnings among the errors: they let the work go on, so that all of them are told. */
  #promoted = 0;
  readonly #places = new Set<string>();
  #isQuiet = false;

  constructor(maxErrors = MAX_ERRORS, warnings = new WarningSettings()) {
    this.#maxErrors = maxErrors;
    this.warnings = warnings;
  }

  /** True once there is an error, after which the following phases have nothing sound to work on. */
  get failed(): boolean {
    return this.#errors > this.#promoted;
  }

  /** True where there must be no output: also for warnings that `-Werror` made errors. */
  get refused(): boolean {
    return this.#errors > 0;
  }

  /** Tries work of which nothing may be heard; undefined where it has anything to say, be it a warning that is not shown. */
  quietly<T>(work: () => T): T | undefined {
    const before = this.#isQuiet;
    this.#isQuiet = true;
    try {
      return work();
    } catch (error) {
      if (error instanceof Overheard) return undefined;
      throw error;
    } finally {
      this.#isQuiet = before;
    }
  }

  #heard(): void {
    if (this.#isQuiet) throw new Overheard();
    this.said++;
  }

  error(span: Span | undefined, message: string, ...notes: string[]): void {
    this.#add({ severity: 'error', message, span, notes });
  }

  /** A word that means nothing: in the body of a macro that is one mistake, however often the macro is called. */
  unknown(span: Span, message: string, ...notes: string[]): void {
    if (this.#isQuiet) throw new Overheard();
    const word = `${span.origin.file.name}:${span.start}:unknown`;
    if (this.#places.has(word)) return;
    this.#places.add(word);
    this.error(span, message, ...notes);
  }

  /** An instruction that does not take its operands, with the forms it has. */
  refusal(span: Span, message: string, forms: readonly string[], ...notes: string[]): void {
    this.#add({ severity: 'error', message, span, notes, forms });
  }

  #add(diagnostic: Diagnostic): void {
    this.#heard();
    const { span } = diagnostic;
    if (span !== undefined) {
      const { warning = '' } = diagnostic;
      const place = `${span.origin.file.name}:${span.start}:${span.origin.expansion?.call.start ?? ''}:${warning}`;
      if (this.#places.has(place)) return;
      this.#places.add(place);
    }
    this.list.push(diagnostic);
    this.#errors++;
    if (diagnostic.warning !== undefined) this.#promoted++;
    if (this.#errors >= this.#maxErrors) {
      const message = `stopped after ${this.#maxErrors} error${this.#maxErrors === 1 ? '' : 's'}`;
      this.list.push({ severity: 'error', message, span: undefined, notes: [] });
      throw new Abandon();
    }
  }

  /** An error after which nothing sensible can follow. */
  fatal(span: Span | undefined, message: string, ...notes: string[]): never {
    this.error(span, message, ...notes);
    throw new Abandon();
  }

  /** A warning of the class, if that is wanted; an error where `-Werror` says so. */
  warning(span: Span | undefined, message: string, warning: WarningClass = 'other', ...notes: string[]): void {
    const state = this.warnings.of(warning);
    this.#heard();
    if (state === 'error') this.#add({ severity: 'error', message, span, notes, warning });
    else if (state === 'on') this.list.push({ severity: 'warning', message, span, notes, warning });
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
  const { span } = diagnostic;
  const lines: string[] = [];
  if (span === undefined) {
    lines.push(headline(diagnostic));
  } else {
    const { line, column } = span.origin.file.position(span.start);
    const place = span.origin.file.place(span.start);
    lines.push(`${place.name}:${place.line}:${column}: ${headline(diagnostic)}`, ...excerpt(span, line, column));
  }
  if (diagnostic.forms !== undefined && diagnostic.forms.length > 0) {
    lines.push(`   = note: forms: ${diagnostic.forms.join('   ')}`);
  }
  for (const note of allNotes(diagnostic)) lines.push(`   = note: ${note}`);
  return lines.join('\n');
}

/** `warning: byte data exceeds bounds [-w+number-overflow]`: the bracket is the option that gave it, as NASM prints it. */
function headline({ severity, message, warning }: Diagnostic): string {
  if (warning === undefined) return `${severity}: ${message}`;
  return `${severity}: ${message} [-w+${severity === 'error' ? 'error=' : ''}${warning}]`;
}

/** The notes, with the macro calls that led to the place behind them. */
export function allNotes({ notes, span }: Diagnostic): readonly string[] {
  return [...notes, ...trail(span)];
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
