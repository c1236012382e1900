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
import type { BodyLine } from './body-line.ts';
import { CONDITION_WORDS, REPEATABLE_WORDS } from './body-words.ts';
import { type CallAssembler, CallMemory, type KnownCall } from './call-memory.ts';
import type { Course } from './call-plan.ts';
import { type CallWords, holesOf, isFreeOfHoles } from './call-words.ts';
import { ConditionNest } from './condition-nest.ts';
import { CONDITION_NAMES, type ConditionWord, conditionWord, REPEATABLE_TESTS, testCondition } from './conditions.ts';
import { Contexts } from './contexts.ts';
import { plainMacro } from './definitions.ts';
import type { Collecting, Directing, DirectiveLine } from './directive.ts';
import { LEFT_OUT, MEANINGS } from './directive-words.ts';
import { ExpansionFault } from './expansion-fault.ts';
import { FileLines } from './file-lines.ts';
import { callFunction } from './functions.ts';
import { HoleQuestion } from './hole-question.ts';
import { LineSources, MAX_SOURCES } from './line-sources.ts';
import { isDirective, isShareable, type LineTemplate, SharedLine } from './line-template.ts';
import { type Chosen, choose, MacroTable } from './macro-table.ts';
import { beginCall, type MacroCall, MacroLines, type MultiLineMacro, substituteParameters } from './multi-line.ts';
import { FIRST_SERIAL, OWN_LABEL, Rehearsal, Unrepeatable } from './rehearsal.ts';
import { SingleLineMacros, type Surroundings } from './single-line.ts';
import { StackFrame } from './stack-layout.ts';
import { defineStandard } from './standard-macros.ts';
import { isName } from './token-run.ts';
import { WatchedNames } from './watched-names.ts';

/** Finds an include file: `name` as written, `from` the file that asks. */
export type IncludePath = (name: string, from: string) => { name: string; text: string } | undefined;

/** Is told what is read of the user's own, before anything is done with it. `level` counts the files, macros and repetitions around it. */
export interface SourceObserver {
  opened(file: SourceFile, level: number): void;
  /** A line with tokens. */
  read(line: SourceLine, level: number, fromFile: boolean): void;
  /** The label of a macro's call, before the lines of the macro. */
  label(line: SourceLine, level: number): void;
}

/** Value of tokens that must be a number now; reports and gives undefined where they are not. */
export type EvaluateNow = (tokens: readonly t.Token[], origin: Origin) => bigint | undefined;

/** What the preprocessor is told of its surroundings. */
export interface PreprocessorOptions {
  readonly includePath: IncludePath;
  /** Value of an environment variable, for `%!NAME`; by default none is set. */
  readonly environment?: ((name: string) => string | undefined) | undefined;
  /** `__?OUTPUT_FORMAT?__`. */
  readonly format: string;
}

/** A line for the parser; `shared` where it is the same in other calls of its macro. */
export interface PreparedLine extends SourceLine {
  readonly shared?: SharedLine | undefined;
  /** The call that the line is, where it came out before: there are no tokens then. */
  readonly known?: KnownCall;
}

/** Lines that macros and repetitions may make. */
const MAX_LINES = 1_000_000;

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
  #collecting: { open: Collecting; nested: number; body: BodyLine[]; source: number } | undefined;
  /** For a listing. */
  observer: SourceObserver | undefined;
  /** Lines of bodies may come out with the tokens of an earlier call, and `%%label`s in them under a name for all calls. */
  sharesLines = false;
  readonly #calls = new CallMemory<unknown>(this.#watched, (words, origin) => this.#rehearse(words, origin));
  #rehearsal: Rehearsal | undefined;
  #serial = 0;
  #produced = 0;
  /** Files read by `%include` or named by `%depend`, in order. */
  readonly dependencies = new Set<string>();

  constructor(options: PreprocessorOptions, diagnostics: Diagnostics, evaluateNow: EvaluateNow) {
    this.#options = options;
    this.#diagnostics = diagnostics;
    this.#evaluate = evaluateNow;
    this.#macros = new SingleLineMacros(this.#surroundings(), this.#watched);
    this.#directing = this.#partsForDirectives();
    const standard = defineStandard(this.#directing, options.format);
    this.open(standard);
    const line = this.next();
    if (line !== undefined) throw new Error(`the standard macros hold code: ${textOf(line.tokens)}`);
    this.#bodies.markStandard();
  }

  /** `-D NAME=VALUE`. */
  define(name: string, value: string): void {
    this.#distrust(value);
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
      const known = this.#mayBeKnown(next) ? this.#known(next) : undefined;
      if (known !== undefined) return known;
      if (!source.call?.macro.standard) {
        this.observer?.read(next, this.#sources.depth - 1, source.kind === 'file');
      }
      const line = this.#process(next);
      if (line === undefined || line.tokens.length === 0) continue;
      return line;
    }
    return undefined;
  }

  /** Lets calls of macros come out of {@link CallMemory}. */
  rememberCalls(assembler: CallAssembler<unknown>): void {
    this.#calls.assembler = assembler;
  }

  /** True of a line of a file that calls a macro. Behind a macro that is being expanded its name means something else. */
  #mayBeKnown({ tokens }: SourceLine): boolean {
    if (!this.#bodies.areOwn || this.#calls.assembler === undefined) return false;
    if (!this.#bodies.isNamed(tokens[0]!.image)) return false;
    return !this.#sources.isInBody && this.#collecting === undefined && this.#conditions.reading;
  }

  #known(line: SourceLine): PreparedLine | undefined {
    const call = this.#calls.find(line);
    // One line too many is reported where it stands.
    if (call === undefined || this.#produced + call.produced > MAX_LINES) return undefined;
    const serial = this.#serial;
    this.#serial += call.serials;
    this.#produced += call.produced;
    return { tokens: NO_TOKENS, origin: line.origin, known: { line, serial, serials: call.serials } };
  }

  /** Goes through the call in these words with holes in it, and leaves no trace; undefined where there is more to it than lines. */
  #rehearse(words: CallWords, origin: Origin): Course | undefined {
    const { depth } = this.#sources;
    const watched = this.#watched;
    const { version } = watched;
    const { impurities } = this.#macros;
    const [serial, produced] = [this.#serial, this.#produced];
    const rehearsal = new Rehearsal(words, origin);
    this.#rehearsal = rehearsal;
    this.#serial = FIRST_SERIAL;
    this.#produced = 0;
    watched.watching = true;
    try {
      const isDone = this.#diagnostics.quietly(() => this.#goThrough(rehearsal, depth));
      const isPure = this.#macros.impurities === impurities && watched.version === version;
      if (isDone === undefined || !isPure) return undefined;
      return { events: rehearsal.events, serials: this.#serial - FIRST_SERIAL, produced: this.#produced };
    } catch (error) {
      if (error instanceof Unrepeatable) return undefined;
      throw error;
    } finally {
      this.#rehearsal = undefined;
      this.#collecting = undefined;
      this.#sources.cut(depth);
      this.#conditions.drop(depth + 1);
      [this.#serial, this.#produced] = [serial, produced];
      watched.watching = false;
    }
  }

  #goThrough(rehearsal: Rehearsal, depth: number): true {
    const { origin } = rehearsal;
    let next: BodyLine | undefined = { tokens: rehearsal.words.withHoles(), origin, template: undefined };
    for (;;) {
      const line = next === undefined ? this.#close() : this.#process(next);
      if (line !== undefined && line.tokens.length > 0) rehearsal.add(line.tokens);
      if (this.#sources.depth === depth) return true;
      next = this.#sources.top!.lines.next();
    }
  }

  /** The answer of a condition in rehearsal. */
  #askInRehearsal(rehearsal: Rehearsal, { kind, negated }: ConditionWord, line: DirectiveLine): boolean {
    const { rest, origin } = line;
    if (!REPEATABLE_TESTS.has(kind)) throw new Unrepeatable();
    rehearsal.mustBeWhole(rest);
    if (holesOf(rest).length === 0) return testCondition(kind, line, this.#directing) !== negated;
    const test = (words: readonly t.Token[]) => this.#testApart(kind, { ...line, rest: words });
    let number: ReturnType<CallAssembler<unknown>['number']>;
    if (kind === '') {
      const expanded = this.#expand(rest, origin);
      rehearsal.mustBeWhole(expanded);
      number = this.#calls.assembler!.number(rehearsal.words.filled(expanded), origin);
    }
    return rehearsal.ask(new HoleQuestion(rest, negated, number, test));
  }

  /** The answer of a test, where that depends on its words and on macros alone. */
  #testApart(kind: string, line: DirectiveLine): boolean | undefined {
    const { impurities } = this.#macros;
    const { watching } = this.#watched;
    this.#watched.watching = true;
    const given = this.#diagnostics.quietly(() => testCondition(kind, line, this.#directing));
    this.#watched.watching = watching;
    return this.#macros.impurities === impurities ? given : undefined;
  }

  /** Goes on with a file; then with what was read before. */
  open(file: SourceFile): void {
    this.observer?.opened(file, this.#sources.depth);
    this.#sources.push({ kind: 'file', lines: new FileLines(file, this.#diagnostics), call: undefined });
    this.#distrust(file.text);
  }

  /** No call is remembered beside a text that holds what tells holes and labels in a rehearsal from words. */
  #distrust(text: string): void {
    if (!isFreeOfHoles(text) || text.includes(OWN_LABEL)) this.#calls.assembler = undefined;
  }

  /** Names of the multi-line macros, for a suggestion. */
  macroNames(): Iterable<string> {
    return this.#bodies.names();
  }

  /** Ends the innermost source: what it opened must be closed. */
  #close(): undefined {
    const { depth } = this.#sources;
    const collecting = this.#collecting;
    if (collecting !== undefined && collecting.source === depth) {
      const { span, word, closes } = collecting.open;
      this.#diagnostics.error(span, `\`${word}\` has no \`${[...closes][0]}\``);
      this.#collecting = undefined;
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
    if (this.#collecting !== undefined) {
      this.#collect(raw, word);
      return undefined;
    }
    const source = this.#sources.top!;
    if (source.kind !== 'file' && ++this.#produced > MAX_LINES) {
      this.#diagnostics.fatal(spanOf(first, first, raw.origin), `macros make more than ${MAX_LINES} lines`);
    }
    const condition = word === '' ? undefined : conditionWord(word);
    if (!this.#conditions.reading && !CONDITION_WORDS.has(word) && condition === undefined) return undefined;
    if (this.#rehearsal !== undefined) {
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
      if (word === '') return this.#shared(raw, raw.template!, key, source.call);
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

  /** A line of a body as it came out before with these arguments, or, the first time, kept for the next. */
  #shared(raw: SourceLine, template: LineTemplate, key: string, call: MacroCall | undefined): PreparedLine | undefined {
    const watched = this.#watched;
    const known = template.line(key, watched.version);
    if (known === 'unique') return this.#fresh(raw, call);
    if (known !== undefined) return { tokens: known.tokens, origin: known.originIn(raw.origin, call), shared: known };
    const { version, watching } = watched;
    const { depth } = this.#sources;
    const { impurities } = this.#macros;
    watched.watching = true;
    const line = this.#fresh(raw, call);
    watched.watching = watching;
    // Whatever it did besides coming out would have to be done again.
    const isPure = this.#macros.impurities === impurities;
    const isLineAlone = this.#sources.depth === depth && watched.version === version && isPure;
    if (line === undefined || line.tokens.length === 0 || !isLineAlone || !isShareable(line.tokens)) {
      template.keepLine(key, version, 'unique');
      return line;
    }
    const shared = new SharedLine(line.tokens, raw.origin, call);
    template.keepLine(key, version, shared);
    return { tokens: shared.tokens, origin: line.origin, shared };
  }

  /** A condition in a body: the answer it gave before to these arguments. */
  #askAgain(raw: BodyLine, condition: ConditionWord, key: string, call: MacroCall | undefined): void {
    const template = raw.template!;
    const watched = this.#watched;
    const span = spanOf(raw.tokens[0]!, raw.tokens[0]!, raw.origin);
    const ask = (): boolean => {
      const known = template.answer(key, watched.version);
      if (known !== undefined) return known;
      const { version, watching } = watched;
      const { impurities } = this.#macros;
      const { said } = this.#diagnostics;
      watched.watching = true;
      const line = call === undefined ? raw : this.#withParameters(raw, call);
      const asked = { word: template.word, rest: line.tokens.slice(1), origin: raw.origin, span };
      const given = testCondition(condition.kind, asked, this.#directing);
      watched.watching = watching;
      const answer = given === !condition.negated;
      const isSilent = given !== undefined && this.#diagnostics.said === said;
      const isPure = this.#macros.impurities === impurities && REPEATABLE_TESTS.has(condition.kind);
      if (isSilent && isPure) template.keepAnswer(key, version, answer);
      return answer;
    };
    this.#condition(condition, { word: template.word, span }, ask);
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
    this.#call(chosen, tokens, at, origin);
    // A label in front of the call stands on its own, unless the body places it with %00.
    if (label === undefined || chosen.macro.placesLabel) return undefined;
    if (!chosen.macro.standard) this.observer?.label(label, this.#sources.depth - 1);
    return label;
  }

  #call({ macro, given }: Chosen, tokens: readonly t.Token[], at: number, origin: Origin): void {
    const name = tokens[at]!;
    const span = spanOf(name, name, origin);
    if (this.#sources.depth >= MAX_SOURCES) {
      this.#diagnostics.fatal(span, `macro \`${macro.name}\` nests more than ${MAX_SOURCES} deep`);
    }
    const label = at > 0 ? tokens[0] : undefined;
    const place = { serial: this.#serial++, label, invoked: name.image, span, from: origin };
    const call = beginCall(macro, given, place);
    const depth = (origin.expansion?.depth ?? 0) + 1;
    this.#sources.push({ kind: 'macro', lines: new MacroLines(call, depth), call });
  }

  /** `__?SECT?__`: the section directive that a structure goes back to. The primitive form does not count. */
  #noteSection({ tokens, origin }: SourceLine): void {
    const first = tokens[0]!;
    if (!SECTION.test(first.image)) return;
    if (this.#rehearsal !== undefined) throw new Unrepeatable();
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

  #collect(line: BodyLine, word: string): void {
    const collecting = this.#collecting!;
    const { open, body } = collecting;
    if (open.opens.has(word)) collecting.nested++;
    if (open.closes.has(word) && collecting.nested-- === 0) {
      this.#collecting = undefined;
      open.finish(body);
      return;
    }
    body.push(line);
  }

  #directive(word: string, { tokens, origin }: SourceLine): void {
    const span = spanOf(tokens[0]!, tokens[0]!, origin);
    const line: DirectiveLine = { word, rest: tokens.slice(1), origin, span };
    const condition = conditionWord(word);
    const rehearsal = this.#rehearsal;
    if (
      rehearsal !== undefined &&
      condition === undefined &&
      !(REPEATABLE_WORDS.has(word) && holesOf(tokens).length === 0)
    ) {
      throw new Unrepeatable();
    }
    if (condition !== undefined) {
      const test = () =>
        rehearsal === undefined
          ? testCondition(condition.kind, line, this.#directing) === !condition.negated
          : this.#askInRehearsal(rehearsal, condition, line);
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
    const number = (tokens: readonly t.Token[], { origin }: Span) => this.#evaluate(tokens, origin) ?? 0n;
    return {
      number,
      local: (image, span) => {
        const symbol = this.#contexts.symbol(image);
        if (symbol === undefined) throw new ExpansionFault(span, `\`${image}\` needs a context: \`%push\``);
        return symbol;
      },
      environment: (image, span) => {
        const name = image
          .replace(/^%\{?!/, '')
          .replace(/\}$/, '')
          .replace(/^(['"`])(.*)\1$/, '$2');
        const value = this.#options.environment?.(name);
        if (value === undefined) throw new ExpansionFault(span, `the environment variable \`${name}\` is not set`);
        return value;
      },
      call: (name, inside, place, expand) =>
        callFunction(name, inside, place, {
          number,
          expand,
          test: (kind, rest, span) =>
            testCondition(kind, { word: `%is${kind}()`, rest, origin: span.origin, span }, this.#directing) === true,
        }),
    };
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
      serial: () => this.#serial++,
      collect: (open) => {
        this.#collecting = { open, nested: 0, body: [], source: this.#sources.depth };
      },
      enter: (name, text) => this.open(new SourceFile(name, text)),
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
