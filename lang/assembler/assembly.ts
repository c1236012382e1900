/**
 * One source being assembled: sections, symbols and the state of the current pass. Statements are placed pass after pass, with the
 * symbol values of the pass before, until no label moves; then once more to write the bytes. This is NASM's own procedure (-Ox), so
 * that jumps and displacements come out in NASM's sizes.
 */

import { placeOfSection } from '../object/flat-layout.ts';
import type { Expression } from '../syntax/ast.ts';
import { expressionSpan } from '../syntax/ast.ts';
import type { Origin, Span } from '../syntax/source.ts';
import type { Diagnostics } from './diagnostics.ts';
import { EvaluationFault, evaluate, type Scope } from './evaluate.ts';
import { HiddenLabels } from './hidden-labels.ts';
import type { Padding } from './padding.ts';
import { MAX_SECTION, newSection, type Section } from './sections.ts';
import { asWritten, nameInCall } from './shared-names.ts';
import { didYouMean } from './suggest.ts';
import { type AssemblySymbol, ExternalSymbol, SymbolTable } from './symbols.ts';
import { addScaled, constantValue, UNKNOWN, type Value } from './value.ts';

/** `estimate`: symbols may still be missing. `settle`: all are there, sizes may change. `write`: bytes are wanted. */
export type Phase = 'estimate' | 'settle' | 'write';

/** Work of one statement in a pass: moves the section's offset on and, in the `write` phase, puts bytes there. */
export interface Work {
  place(assembly: Assembly): void;
  /** Bytes it takes, once that is known to be the same in every pass that follows. */
  fixedLength?(): number | undefined;
  /** It takes room and has no bytes of its own. */
  readonly isRoom?: boolean;
}

/** A statement as the passes see it. */
export interface Item {
  readonly index: number;
  readonly span: Span;
  readonly origin: Origin;
  /** Last label that is not local: `.x` means `parent.x`. */
  readonly parent: string;
  readonly label: AssemblySymbol | undefined;
  readonly work: Work | undefined;
}

const NO_ROOMS: { readonly start: number; end: number }[] = [];
/** More repetitions of room among data are not told apart in a listing. */
const MOST_ROOMS = 10_000;

const NO_ADDRESS = constantValue(0n);

/** Stands for what could not be computed and has been reported. */
const HARMLESS = constantValue(1n);

export type OutputFormat = 'elf64' | 'bin';

export class Assembly implements Scope {
  readonly diagnostics: Diagnostics;
  readonly format: OutputFormat;
  readonly symbols = new SymbolTable();
  readonly sections: Section[] = [];
  phase: Phase = 'estimate';
  section: Section;
  /** Set by whatever moved in this pass. */
  changed = false;
  /** Set when an evaluation looked at anything that may differ in the next pass. */
  touched = false;
  /** Number of the current pass, from 1. */
  pass = 0;
  item: Item | undefined;
  defaultRelative = false;
  /** What `times` made of the statement placed last: how often, and the bytes of the first time. */
  repetition: { readonly count: number; readonly length: number; readonly isRoom: boolean } | undefined;
  /** Where the statement placed last left room among data (`?`), in the `write` phase. */
  rooms: { readonly start: number; end: number }[] = NO_ROOMS;
  /** How `align` pads; undefined until `%use smartalign`. */
  padding: Padding | undefined;
  /** `org`. */
  origin: bigint | undefined;
  /** `$`: where the statement begins, in every repetition of `times` and every item of `db`. */
  #here = 0;
  readonly hidden = new HiddenLabels();
  readonly #reported = new Set<string>();
  readonly #whoDeclares: (symbol: string) => string | undefined;

  constructor(
    diagnostics: Diagnostics,
    format: OutputFormat,
    whoDeclares: (symbol: string) => string | undefined = () => undefined,
  ) {
    this.diagnostics = diagnostics;
    this.#whoDeclares = whoDeclares;
    this.format = format;
    this.section = this.sectionNamed('.text');
  }

  sectionNamed(name: string): Section {
    let section = this.sections.find((each) => each.name === name);
    if (section === undefined) {
      section = newSection(name);
      this.sections.push(section);
    }
    return section;
  }

  externalNamed(name: string): ExternalSymbol {
    return new ExternalSymbol(name);
  }

  /** Begins a pass: every section from its start, in the first section. */
  begin(phase: Phase): void {
    this.phase = phase;
    this.pass++;
    this.changed = false;
    this.defaultRelative = false;
    this.padding = undefined;
    if (phase === 'estimate') this.diagnostics.warnings.keep();
    if (phase === 'write') this.diagnostics.warnings.restart();
    this.section = this.sections[0]!;
    for (const section of this.sections) section.offset = 0;
  }

  /** Places one statement: its label, then its work. */
  place(item: Item): void {
    this.item = item;
    if (item.label !== undefined) this.#defineLabel(item.label, item);
    this.#here = this.section.offset;
    this.repetition = undefined;
    this.rooms = NO_ROOMS;
    item.work?.place(this);
  }

  /** Passes over `length` bytes of statements that need no look. */
  skip(length: number): void {
    this.section.offset += length;
  }

  #defineLabel(symbol: AssemblySymbol, item: Item): void {
    if (symbol.definedBy === item.index && symbol.moveTo(this.section, this.section.offset)) this.changed = true;
  }

  here(): Value {
    this.touched = true;
    return addScaled(this.section.start, constantValue(BigInt(this.#here)), 1n);
  }

  sectionStart(): Value {
    this.touched = true;
    return this.section.isAbsolute ? NO_ADDRESS : this.section.start;
  }

  /** Bytes from `$$` to here. */
  get distance(): number {
    const { section } = this;
    return section.isAbsolute ? Number(section.start.constant) + section.offset : section.offset;
  }

  fullName(name: string): string {
    if (name.charCodeAt(0) !== 0x2e) return name;
    if (name.charCodeAt(1) !== 0x2e) return (this.item?.parent ?? '') + name;
    return nameInCall(name, this.item?.origin.expansion?.serial);
  }

  symbol(name: string, at: Expression): Value {
    this.touched = true;
    const symbol = this.symbols.get(this.fullName(name));
    const value = symbol?.value;
    if (value !== undefined) return value;
    if (symbol?.external !== undefined) {
      symbol.external.used = true;
      symbol.external.reference ??= expressionSpan(at, this.item!.origin);
      return symbol.external.value;
    }
    if (symbol === undefined && this.#isPlaceOfSection(name)) {
      const place = this.symbols.mention(name, expressionSpan(at, this.item!.origin));
      place.external = this.externalNamed(name);
      return this.symbol(name, at);
    }
    if (this.phase === 'estimate' || symbol?.definedBy !== undefined) return UNKNOWN;
    this.#undefined(name, at);
    return HARMLESS;
  }

  /** `section.NAME.start`, `section.NAME.vstart`: what only the layout of the flat file decides. */
  #isPlaceOfSection(name: string): boolean {
    const section = this.format === 'bin' ? placeOfSection(name)?.section : undefined;
    return section !== undefined && this.sections.some((each) => each.name === section);
  }

  #undefined(name: string, at: Expression): void {
    const full = this.fullName(name);
    this.hidden.miss(full);
    if (this.#reported.has(full)) return;
    this.#reported.add(full);
    const defined = [...this.symbols.all()].filter(
      (each) => each.definedBy !== undefined || each.external !== undefined,
    );
    const { parent } = this.item!;
    const elsewhere = localsNamed(name, defined);
    if (elsewhere.length > 0) {
      const text = `symbol \`${name}\` is not defined below \`${parent}\`, the last label in front of this line`;
      const hint = `a local label belongs to the label in front of it; there is \`${elsewhere.slice(0, 3).join('`, `')}\``;
      this.diagnostics.error(expressionSpan(at, this.item!.origin), text, hint);
      return;
    }
    const ownCall = /^\.\.@\d+\./.exec(full)?.[0];
    // A local label is near another of the same parent, one of a macro's call near another of that call: each as it would be written.
    const candidates = defined.flatMap((each) => {
      if (ownCall !== undefined && each.name.startsWith(ownCall)) return asWritten(each.name);
      if (each.name.startsWith('..@')) return [];
      return name.startsWith('.') && each.name.startsWith(`${parent}.`) ? each.name.slice(parent.length) : each.name;
    });
    this.diagnostics.error(
      expressionSpan(at, this.item!.origin),
      `symbol \`${asWritten(name)}\` is not defined${didYouMean(asWritten(name), candidates)}`,
      ...(name.startsWith('.') ? [] : [this.#howToDeclare(name)]),
    );
  }

  #howToDeclare(name: string): string {
    const include = this.#whoDeclares(name);
    if (include !== undefined) return `%include "${include}" declares it`;
    return `if another file defines it, declare it: extern ${name}`;
  }

  /** Value of an expression at this place; a fault is reported and gives a number that causes no second one. */
  value(expression: Expression): Value {
    try {
      return evaluate(expression, this);
    } catch (error) {
      if (!(error instanceof EvaluationFault)) throw error;
      this.diagnostics.error(expressionSpan(error.expression, this.item!.origin), error.message);
      return HARMLESS;
    }
  }

  /** A number that the layout needs: undefined after a report and, where it may come `later` than this line, in the first pass. */
  number(expression: Expression, what: string, later = false): bigint | undefined {
    const value = this.value(expression);
    if (value.known && value.terms.length === 0) return value.constant;
    if (later && this.phase === 'estimate' && !value.known) return undefined;
    this.error(expression, `${what} must be a number that is known at this line`);
    return undefined;
  }

  error(expression: Expression, message: string): void {
    this.diagnostics.error(expressionSpan(expression, this.item!.origin), message);
  }

  /** True if `length` more bytes fit; reports where they do not. */
  fits(length: number): boolean {
    if (this.section.offset + length <= MAX_SECTION) return true;
    this.diagnostics.fatal(
      this.item!.span,
      `section ${this.section.name} grows beyond ${MAX_SECTION / 1024 / 1024} MiB`,
    );
  }

  /** True where so many bytes more can be put without a word. */
  takes(length: number): boolean {
    const { isAbsolute, holdsBytes, offset } = this.section;
    return !isAbsolute && holdsBytes && offset + length <= MAX_SECTION;
  }

  /** Puts bytes (only counted before the `write` phase). */
  bytes(bytes: Uint8Array): void {
    this.fits(bytes.length);
    if (this.section.isAbsolute) {
      this.diagnostics.error(this.item!.span, 'behind `absolute` and in a `struc` stands only room: resb and its kin');
    }
    if (this.phase !== 'write') {
      this.section.offset += bytes.length;
    } else if (this.section.holdsBytes) {
      this.section.write(bytes);
    } else {
      const { name } = this.section;
      this.diagnostics.warning(this.item!.span, `section ${name} holds no bytes: this only reserves room`);
      this.section.offset += bytes.length;
    }
  }

  /** Room filled with one byte value. */
  fill(length: number, value: number): void {
    this.fits(length);
    if (this.phase === 'write') this.section.fill(length, value);
    else this.section.offset += length;
  }

  /** Room among data: zeros where the section has contents. */
  room(length: number): void {
    const start = this.section.offset;
    this.fill(length, 0);
    if (this.phase !== 'write') return;
    const last = this.rooms.at(-1);
    if (this.rooms === NO_ROOMS) this.rooms = [];
    if (last?.end === start) last.end += length;
    else this.rooms.push({ start, end: start + length });
  }

  /** The last `length` bytes `count` times more. */
  again(length: number, count: number): void {
    this.fits(length * count);
    this.#roomsAgain(length, count);
    if (this.phase === 'write') this.section.again(length, count);
    else this.section.offset += length * count;
  }

  #roomsAgain(length: number, count: number): void {
    const from = this.section.offset - length;
    const again = this.rooms
      .filter(({ end }) => end > from)
      .map(({ start, end }) => ({ start: Math.max(start, from), end }));
    if (again.length === 0 || again.length * count > MOST_ROOMS) return;
    for (let i = 1; i <= count; i++) {
      for (const { start, end } of again) {
        const last = this.rooms.at(-1)!;
        if (last.end === start + i * length) last.end = end + i * length;
        else this.rooms.push({ start: start + i * length, end: end + i * length });
      }
    }
  }
}

/** Local labels that are written `name` below other labels. */
const localsNamed = (name: string, defined: readonly { readonly name: string }[]): string[] =>
  /^\.[^.]/.test(name)
    ? defined.map((each) => each.name).filter((each) => each.endsWith(name) && !each.startsWith('.'))
    : [];
