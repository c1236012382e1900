/**
 * NASM's preprocessor (manual chapter 4): a file with its includes → the lines that the parser sees. Lines are pulled one at a time
 * from a stack of sources (files, macro bodies, repetitions); this file decides what each line is: part of a body that is being read,
 * skipped, a directive, a macro call, or a line for the parser.
 */

import { type SourceLine, spanOf, textOf } from '../../syntax/lexer.ts';
import { parseNumber } from '../../syntax/literals.ts';
import { type Origin, SourceFile, type Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import type { Diagnostics } from '../diagnostics.ts';
import { didYouMean } from '../suggest.ts';
import { BodyCollector } from './body-collector.ts';
import type { BodyLine } from './body-line.ts';
import { CONDITION_WORDS, REPEATABLE_WORDS } from './body-words.ts';
import type { CallAssembler } from './call-memory.ts';
import { holesOf } from './call-words.ts';
import { ConditionNest } from './condition-nest.ts';
import { CONDITION_NAMES, type ConditionWord, conditionWord, testCondition } from './conditions.ts';
import { Contexts } from './contexts.ts';
import { plainMacro } from './definitions.ts';
import type { Directing, DirectiveLine } from './directive.ts';
import { LEFT_OUT, MEANINGS } from './directive-words.ts';
import { ExpansionFault } from './expansion-fault.ts';
import { expansionSurroundings } from './expansion-surroundings.ts';
import { FileLines } from './file-lines.ts';
import { KnownCalls } from './known-calls.ts';
import { LineMemory } from './line-memory.ts';
import { LineSources, MAX_SOURCES } from './line-sources.ts';
import { isDirective } from './line-template.ts';
import { type Chosen, choose, MacroTable } from './macro-table.ts';
import { MAX_LINES, MacroTally } from './macro-tally.ts';
import { beginCall, type MacroCall, MacroLines, type MultiLineMacro, substituteParameters } from './multi-line.ts';
import type { PreparedLine } from './prepared-line.ts';
import type { EvaluateNow, PreprocessorOptions } from './preprocessor-options.ts';
import { Unrepeatable } from './rehearsal.ts';
import { SingleLineMacros, type Surroundings } from './single-line.ts';
import type { SourceObserver } from './source-observer.ts';
import { StackFrame } from './stack-layout.ts';
import { defineStandard } from './standard-macros.ts';
import { isName } from './token-run.ts';
import { WatchedNames } from './watched-names.ts';

export class Preprocessor {
  readonly #options: PreprocessorOptions;
  readonly #diagnostics: Diagnostics;
  readonly #evaluate: EvaluateNow;
  readonly #directing: Directing;
  readonly #macros: SingleLineMacros;
  readonly #watched = new WatchedNames();
  readonly #bodies = new MacroTable(this.#watched);
  readonly #sources = new LineSources();
  readonly #conditions = new ConditionNest();
  readonly #contexts = new Contexts();
  readonly #collector = new BodyCollector();
  readonly #tally = new MacroTally();
  readonly #lines: LineMemory;
  readonly #calls: KnownCalls;
  /** For a listing. */
  observer: SourceObserver | undefined;
  /** Lines of bodies may come out with the tokens of an earlier call, and `%%label`s in them under a name for all calls. */
  sharesLines = false;
  /** Files read by `%include` or named by `%depend`, in order. */
  readonly dependencies = new Set<string>();

  constructor(options: PreprocessorOptions, diagnostics: Diagnostics, evaluateNow: EvaluateNow) {
    this.#options = options;
    this.#diagnostics = diagnostics;
    this.#evaluate = evaluateNow;
    this.#macros = new SingleLineMacros(this.#surroundings(), this.#watched);
    this.#directing = this.#partsForDirectives();
    this.#lines = this.#lineMemory();
    this.#calls = this.#knownCalls();
    const standard = defineStandard(this.#directing, options.format);
    this.open(standard);
    const line = this.next();
    if (line !== undefined) throw new Error(`the standard macros hold code: ${textOf(line.tokens)}`);
    this.#bodies.markStandard();
  }

  /** `-D NAME=VALUE`. */
  define(name: string, value: string): void {
    this.#calls.distrust(value);
    const file = new SourceFile('command line', `%define ${name} ${value}`);
    const span = { origin: { file, expansion: undefined }, start: 8, end: 8 + name.length };
    this.#macros.names.define(plainMacro(name, value, span));
  }

  /** `-U NAME`. */
  undefine(name: string): void {
    this.#macros.names.undefine(name);
  }

  /** The next line that is ready to be parsed; undefined when all files have ended. */
  next(): PreparedLine | undefined {
    for (let source = this.#sources.top; source !== undefined; source = this.#sources.top) {
      const next = source.lines.next();
      if (next === undefined) {
        this.#close();
        continue;
      }
      const known = this.#calls.find(next);
      if (known !== undefined) return { tokens: NO_TOKENS, origin: next.origin, known };
      if (this.observer !== undefined && !source.call?.macro.standard && !this.#sources.isUnlisted()) {
        this.observer.read(next, this.#sources.depth - 1, source.kind === 'file');
      }
      const line = this.#process(next);
      if (line === undefined || line.tokens.length === 0) continue;
      return line;
    }
    return undefined;
  }

  /** Lets calls of macros come out of {@link KnownCalls}. */
  rememberCalls(assembler: CallAssembler<unknown>): void {
    this.#calls.remember(assembler);
  }

  /** Goes on with a file; then with what was read before. */
  open(file: SourceFile): void {
    this.observer?.opened(file, this.#sources.depth);
    this.#sources.push({ kind: 'file', lines: new FileLines(file, this.#diagnostics), call: undefined });
    this.#calls.distrust(file.text);
  }

  /** Names of the multi-line macros, for a suggestion. */
  macroNames(): Iterable<string> {
    return this.#bodies.names();
  }

  /** Ends the innermost source: what it opened must be closed. */
  #close(): undefined {
    const { depth } = this.#sources;
    const body = this.#collector.dropUnclosed(depth);
    if (body !== undefined) {
      this.#diagnostics.error(body.span, `\`${body.word}\` has no \`${[...body.closes][0]}\``);
    }
    for (
      let span = this.#conditions.dropUnclosed(depth);
      span !== undefined;
      span = this.#conditions.dropUnclosed(depth)
    ) {
      this.#diagnostics.error(span, '`%if` has no `%endif`');
    }
    this.#sources.pop();
  }

  #process(raw: BodyLine): PreparedLine | undefined {
    const first = raw.tokens[0]!;
    const { template } = raw;
    const word = template?.word ?? (isDirective(first) ? first.image.toLowerCase() : '');
    if (this.#collector.isOpen) {
      this.#collector.add(raw, word);
      return undefined;
    }
    const source = this.#sources.top!;
    if (source.kind !== 'file' && ++this.#tally.produced > MAX_LINES) {
      this.#diagnostics.fatal(spanOf(first, first, raw.origin), `macros make more than ${MAX_LINES} lines`);
    }
    const condition = word === '' ? undefined : conditionWord(word);
    if (!this.#conditions.reading && !CONDITION_WORDS.has(word) && condition === undefined) return undefined;
    if (this.#calls.isRehearsing) {
      if (source.kind !== 'file' && template?.isRepeatable !== true) throw new Unrepeatable();
      return this.#fresh(raw, source.call);
    }
    const key = this.sharesLines ? template?.key(source.call) : undefined;
    if (key !== undefined) {
      if (condition !== undefined) {
        this.#askAgain(raw, condition, key, source.call);
        return undefined;
      }
      if (word === '%else' || word === '%endif') {
        this.#turn(word, first, raw.origin);
        return undefined;
      }
      if (word === '') return this.#lines.line(raw, raw.template!, key, source.call);
    }
    return this.#fresh(raw, source.call);
  }

  #fresh(raw: SourceLine, call: MacroCall | undefined): SourceLine | undefined {
    const line = call === undefined ? raw : this.#withParameters(raw, call);
    const start = line.tokens[0];
    if (start === undefined) return undefined;
    if (isDirective(start)) {
      this.#directive(start.image.toLowerCase(), line);
      return undefined;
    }
    return this.#expandLine(line);
  }

  /** A condition in a body: its answer may be known. */
  #askAgain(raw: BodyLine, condition: ConditionWord, key: string, call: MacroCall | undefined): void {
    const span = spanOf(raw.tokens[0]!, raw.tokens[0]!, raw.origin);
    const ask = () => this.#lines.answer(raw, condition, key, call, span);
    this.#condition(condition, { word: raw.template!.word, span }, ask);
  }

  #condition({ branch }: ConditionWord, line: Pick<DirectiveLine, 'word' | 'span'>, test: () => boolean): void {
    if (branch === 'if') this.#conditions.open(line.span, this.#sources.depth, test);
    else this.#branch(line, false, test);
  }

  /** Single-line macros, then a call of a multi-line macro, which replaces the line by a new source. */
  #expandLine(line: SourceLine): SourceLine | undefined {
    const { origin } = line;
    const tokens = this.#expand(line.tokens, origin);
    if (tokens.length === 0) return undefined;
    const expanded = tokens === line.tokens ? line : { tokens, origin };
    let at = 0;
    let macros = this.#bodies.find(tokens[0]);
    if (macros === undefined && tokens.length > 1 && isName(tokens[0]!)) {
      at = tokens[1]!.tokenType === t.Colon ? 2 : 1;
      macros = this.#bodies.find(tokens[at]);
    }
    if (macros === undefined) {
      this.#noteSection(expanded);
      return expanded;
    }
    // A macro that is being expanded does not call itself: its name is what it would be without the macro.
    const isUsable = (macro: MultiLineMacro) => macro.recursive || !this.#sources.isActive(macro);
    const usable = macros.every(isUsable) ? macros : macros.filter(isUsable);
    if (usable.length === 0) {
      this.#macros.impurities++;
      return expanded;
    }
    const chosen = choose(usable, tokens.slice(at + 1));
    const label = at > 0 ? { tokens: tokens.slice(0, at), origin } : undefined;
    if (typeof chosen === 'string') {
      // `call outl` names a symbol: only a label with its colon makes the word behind it a call that was meant.
      if (at === 1) return expanded;
      this.#diagnostics.error(spanOf(tokens[at]!, tokens.at(-1)!, origin), chosen);
      return label;
    }
    if (chosen.macro.recursive && this.#sources.isActive(chosen.macro)) {
      const text = `\`${chosen.macro.name}\` calls itself: NASM 2.16 assembles nothing behind a \`%rmacro\` that does`;
      this.#diagnostics.error(spanOf(tokens[at]!, tokens.at(-1)!, origin), text, 'count with %rep and %assign');
      return label;
    }
    this.#call(chosen, tokens, at, origin);
    // A label in front of the call stands on its own, unless the body places it with %00.
    if (label === undefined || chosen.macro.placesLabel) return undefined;
    if (!chosen.macro.standard && !this.#sources.isUnlisted()) this.observer?.label(label, this.#sources.depth - 1);
    return label;
  }

  #call({ macro, given }: Chosen, tokens: readonly t.Token[], at: number, origin: Origin): void {
    const name = tokens[at]!;
    const span = spanOf(name, name, origin);
    if (this.#sources.depth >= MAX_SOURCES) {
      this.#diagnostics.fatal(span, `macro \`${macro.name}\` nests more than ${MAX_SOURCES} deep`);
    }
    const label = at > 0 ? tokens[0] : undefined;
    const place = { serial: this.#tally.serial++, label, invoked: name.image, span, from: origin };
    const call = beginCall(macro, given, place);
    const depth = (origin.expansion?.depth ?? 0) + 1;
    this.#sources.push({ kind: 'macro', lines: new MacroLines(call, depth), call });
  }

  /** `__?SECT?__`: the section directive that a structure goes back to. The primitive form does not count. */
  #noteSection({ tokens, origin }: SourceLine): void {
    const first = tokens[0]!;
    if (!SECTION.test(first.image)) return;
    if (this.#calls.isRehearsing) throw new Unrepeatable();
    const span = spanOf(first, first, origin);
    this.#macros.names.define(plainMacro('__?SECT?__', `[${textOf(tokens)}]`, span));
  }

  #withParameters(line: SourceLine, call: MacroCall): SourceLine {
    const fault = (at: t.Token, text: string) => this.#diagnostics.error(spanOf(at, at, line.origin), text);
    return this.#bounded(() => substituteParameters(line, call, fault)) ?? { tokens: [], origin: line.origin };
  }

  #expand(tokens: readonly t.Token[], origin: Origin): readonly t.Token[] {
    return this.#bounded(() => this.#macros.expand(tokens, origin)) ?? [];
  }

  /** What `make` gives; undefined where it was a fault, which is reported. */
  #bounded<T>(make: () => T): T | undefined {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof ExpansionFault)) throw error;
      this.#diagnostics.error(error.span, error.message);
      return undefined;
    }
  }

  #directive(word: string, { tokens, origin }: SourceLine): void {
    const span = spanOf(tokens[0]!, tokens[0]!, origin);
    const line: DirectiveLine = { word, rest: tokens.slice(1), origin, span };
    const condition = conditionWord(word);
    const { isRehearsing } = this.#calls;
    if (isRehearsing && condition === undefined && !(REPEATABLE_WORDS.has(word) && holesOf(tokens).length === 0)) {
      throw new Unrepeatable();
    }
    if (condition !== undefined) {
      const test = () =>
        isRehearsing
          ? this.#calls.ask(condition, line)
          : testCondition(condition.kind, line, this.#directing) === !condition.negated;
      this.#condition(condition, line, test);
    } else if (word === '%else' || word === '%endif') {
      this.#turn(word, tokens[0]!, origin);
    } else {
      const meaning = MEANINGS.get(word);
      if (meaning !== undefined) meaning(line, this.#directing);
      else this.#unknown(word, span);
    }
  }

  #turn(word: '%else' | '%endif', at: t.Token, origin: Origin): void {
    const { depth } = this.#sources;
    const wrong =
      word === '%else'
        ? this.#conditions.branch(word, depth, true, ALWAYS)
        : this.#conditions.close(depth)
          ? undefined
          : '`%endif` without `%if`';
    if (wrong !== undefined) this.#diagnostics.error(spanOf(at, at, origin), wrong);
  }

  #unknown(word: string, span: Span): void {
    const text = LEFT_OUT.has(word)
      ? `\`${word}\` is a directive that gvm leaves out`
      : `unknown preprocessor directive \`${word}\`${didYouMean(word, [...MEANINGS.keys(), ...CONDITION_NAMES, '%else', '%endif'])}`;
    this.#diagnostics.unknown(span, text);
  }

  #branch({ word, span }: Pick<DirectiveLine, 'word' | 'span'>, last: boolean, test: () => boolean): void {
    const wrong = this.#conditions.branch(word, this.#sources.depth, last, test);
    if (wrong !== undefined) this.#diagnostics.error(span, wrong);
  }

  /** The name of a macro to define or to look for. */
  #name(token: t.Token | undefined, line: DirectiveLine): string | undefined {
    const local = token !== undefined && /^%\{?\$/.test(token.image) ? this.#contexts.symbol(token.image) : undefined;
    if (local !== undefined) return local;
    if (token !== undefined && isName(token)) return token.image;
    const place = token === undefined ? line.span : spanOf(token, token, line.origin);
    const isLocal = token?.image.startsWith('%$') === true;
    const text = isLocal ? `\`${token!.image}\` needs a context: \`%push\`` : `\`${line.word}\` needs a name`;
    this.#diagnostics.error(place, text);
    return undefined;
  }

  #number(tokens: readonly t.Token[], origin: Origin): bigint | undefined {
    if (tokens.length === 1 && tokens[0]!.tokenType === t.Numeral) {
      const value = parseNumber(tokens[0]!.image);
      if (value !== undefined) return value;
    }
    // Names and places may be worth something else at another line.
    if (tokens.some((token) => isName(token) || PLACES.has(token.tokenType))) this.#macros.impurities++;
    return this.#evaluate(tokens, origin);
  }

  #surroundings(): Surroundings {
    const test = (kind: string, line: DirectiveLine) => testCondition(kind, line, this.#directing) === true;
    return expansionSurroundings(this.#contexts, this.#options.environment, this.#evaluate, test);
  }

  #lineMemory(): LineMemory {
    return new LineMemory(this.#directing, this.#watched, {
      fresh: (raw, call) => this.#fresh(raw, call),
      withParameters: (raw, call) => this.#withParameters(raw, call),
    });
  }

  #knownCalls(): KnownCalls {
    return new KnownCalls({
      directing: this.#directing,
      watched: this.#watched,
      tally: this.#tally,
      collector: this.#collector,
      process: (line) => this.#process(line),
      close: () => this.#close(),
    });
  }

  #partsForDirectives(): Directing {
    return {
      diagnostics: this.#diagnostics,
      macros: this.#macros,
      bodies: this.#bodies,
      contexts: this.#contexts,
      conditions: this.#conditions,
      sources: this.#sources,
      frame: new StackFrame(),
      packages: new Set(),
      expand: (tokens, origin) => this.#expand(tokens, origin),
      number: (tokens, origin) => this.#number(tokens, origin),
      name: (token, line) => this.#name(token, line),
      isSet: (variable) => this.#options.environment?.(variable) !== undefined,
      serial: () => this.#tally.serial++,
      collect: (open) => this.#collector.begin(open, this.#sources.depth),
      enter: (name, text) => this.open(new SourceFile(name, text)),
      includePath: this.#options.includePath,
      find: (name, from) => {
        const found = this.#options.includePath(name, from);
        if (found !== undefined) this.dependencies.add(found.name);
        return found;
      },
      depend: (name) => this.dependencies.add(name),
    };
  }
}

const SECTION = /^(?:section|segment|absolute)$/i;

const ALWAYS = () => true;
const NO_TOKENS: readonly t.Token[] = [];
const PLACES = new Set([t.Here, t.SectionStart]);
