/**
 * NASM's preprocessor (manual chapter 4): a file with its includes → the lines that the parser sees. Lines are pulled one at a time
 * from a stack of sources (files, macro bodies, repetitions), so that nesting costs no recursion and has a limit.
 */

import { type SourceLine, spanOf, tokensOf } from '../../syntax/lexer.ts';
import { stringBytes } from '../../syntax/literals.ts';
import { type Origin, SourceFile, type Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import type { Diagnostics } from '../diagnostics.ts';
import { didYouMean } from '../suggest.ts';
import { Conditions, conditionWord, testTokens } from './conditions.ts';
import { DIRECTIVES, MACRO_CLOSES, MACRO_OPENS, REP_CLOSES, REP_OPENS, STRUCTURAL } from './directive-words.ts';
import { linesOfFile } from './file-lines.ts';
import { choose, MacroTable, macroHeader } from './macro-table.ts';
import { beginCall, type MacroCall, type MultiLineMacro, macroLines, substituteParameters } from './multi-line.ts';
import { ExpansionFault, isName, readDefinition, SingleLineMacros } from './single-line.ts';

/** Finds an include file: `name` as written, `from` the file that asks. */
export type IncludePath = (name: string, from: string) => { name: string; text: string } | undefined;

/** Is told what is read, before anything is done with it. `level` counts the files, macros and repetitions around it. */
export interface SourceObserver {
  opened(file: SourceFile, level: number): void;
  /** A line with tokens. */
  read(line: SourceLine, level: number, fromFile: boolean): void;
}

/** Value of tokens that must be a number now; reports and gives undefined where they are not. */
export type EvaluateNow = (tokens: readonly t.Token[], origin: Origin) => bigint | undefined;

/** Bounds on what a source may ask for; each has its own message. */
const MAX_SOURCES = 256;
const MAX_INCLUDES = 64;
const MAX_REPETITIONS = 1_000_000n;
const MAX_LINES = 1_000_000;

interface Source {
  readonly kind: 'file' | 'macro' | 'rep';
  readonly lines: Iterator<SourceLine>;
  /** The macro call whose parameters apply here; a repetition inherits it. */
  readonly call: MacroCall | undefined;
}

/** A body that is being read up to its end word. */
interface Collecting {
  readonly opens: ReadonlySet<string>;
  readonly closes: ReadonlySet<string>;
  readonly span: Span;
  readonly word: string;
  depth: number;
  readonly body: SourceLine[];
  readonly source: number;
  finish(body: SourceLine[]): void;
}

export class Preprocessor {
  readonly #includePath: IncludePath;
  readonly #diagnostics: Diagnostics;
  readonly #evaluate: EvaluateNow;
  readonly #single = new SingleLineMacros();
  readonly #multi = new MacroTable();
  readonly #sources: Source[] = [];
  readonly #conditions = new Conditions();
  /** For a listing. */
  observer: SourceObserver | undefined;
  #collecting: Collecting | undefined;
  #serial = 0;
  #produced = 0;

  constructor(includePath: IncludePath, diagnostics: Diagnostics, evaluateNow: EvaluateNow) {
    this.#includePath = includePath;
    this.#diagnostics = diagnostics;
    this.#evaluate = evaluateNow;
  }

  /** `-U NAME`. */
  undefine(name: string): void {
    this.#single.undefine(name);
  }

  /** `-D NAME=VALUE`. */
  define(name: string, value: string): void {
    const origin: Origin = { file: new SourceFile('command line', `%define ${name} ${value}`), expansion: undefined };
    this.#single.define({
      name,
      parameters: undefined,
      body: tokensOf(value, { origin, start: 8, end: 8 + name.length }),
      ignoreCase: false,
    });
  }

  /** Lines ready to be parsed. */
  *lines(file: SourceFile): Generator<SourceLine> {
    this.#open(file);
    while (this.#sources.length > 0) {
      const source = this.#sources.at(-1)!;
      const next = source.lines.next();
      if (next.done) {
        this.#close();
        continue;
      }
      this.observer?.read(next.value, this.#sources.length - 1, source.kind === 'file');
      const line = this.#process(next.value, source);
      if (line !== undefined && line.tokens.length > 0) yield line;
    }
  }

  #open(file: SourceFile): void {
    this.observer?.opened(file, this.#sources.length);
    this.#push({ kind: 'file', lines: linesOfFile(file, this.#diagnostics), call: undefined });
  }

  #push(source: Source): void {
    this.#sources.push(source);
  }

  /** Ends the innermost source: what it opened must be closed. */
  #close(): void {
    const depth = this.#sources.length;
    const open = this.#collecting;
    if (open !== undefined && open.source === depth) {
      this.#diagnostics.error(open.span, `\`${open.word}\` has no \`${[...open.closes][0]}\``);
      this.#collecting = undefined;
    }
    for (const span of this.#conditions.unclosed(depth)) this.#diagnostics.error(span, '`%if` has no `%endif`');
    this.#sources.pop();
  }

  #process(raw: SourceLine, source: Source): SourceLine | undefined {
    const first = raw.tokens[0]!;
    const word = first.tokenType === t.MacroName ? first.image.toLowerCase() : '';
    if (this.#collecting !== undefined) {
      this.#collect(this.#collecting, raw, word);
      return undefined;
    }
    if (source.kind !== 'file' && ++this.#produced > MAX_LINES) {
      this.#diagnostics.fatal(spanOf(first, first, raw.origin), `macros make more than ${MAX_LINES} lines`);
    }
    if (!this.#conditions.reading && !STRUCTURAL.has(word) && conditionWord(word) === undefined) return undefined;
    const line = source.call === undefined ? raw : this.#withParameters(raw, source.call);
    const start = line.tokens[0];
    if (start === undefined) return undefined;
    if (start.tokenType === t.MacroName && !start.image.startsWith('%%') && !start.image.startsWith('%$')) {
      this.#directive(start.image.toLowerCase(), line);
      return undefined;
    }
    return this.#expandLine(line);
  }

  #withParameters(line: SourceLine, call: MacroCall): SourceLine {
    return substituteParameters(line, call, (at, text) => {
      this.#diagnostics.error(spanOf(at, at, line.origin), text);
    });
  }

  /** Single-line macros, then a call of a multi-line macro, which replaces the line by a new source. */
  #expandLine(line: SourceLine): SourceLine | undefined {
    const tokens = this.#expand(line.tokens, line.origin);
    const expanded = tokens === line.tokens ? line : { tokens, origin: line.origin };
    if (this.#multi.size === 0) return expanded;
    let at = 0;
    let macros = this.#multi.find(tokens[0]);
    if (macros === undefined && tokens.length > 1 && isName(tokens[0]!)) {
      at = tokens[1]!.tokenType === t.Colon ? 2 : 1;
      macros = this.#multi.find(tokens[at]);
    }
    if (macros === undefined) return expanded;
    // A macro that is being expanded does not call itself: its name is what it would be without the macro.
    const active = this.#sources.filter((source) => source.kind === 'macro').map((source) => source.call!.macro);
    const usable = macros.filter((each) => !active.includes(each));
    if (usable.length === 0) return expanded;
    const macro = choose(usable, tokens.slice(at + 1));
    if (typeof macro === 'string') {
      this.#diagnostics.error(spanOf(tokens[at]!, tokens.at(-1)!, line.origin), macro);
      return at > 0 ? { tokens: tokens.slice(0, at), origin: line.origin } : undefined;
    }
    this.#call(macro, tokens, at, line.origin);
    // A label in front of the call stands on its own, unless the body places it with %00.
    const usesLabel = macro.body.some((each) => each.tokens.some((token) => token.image === '%00'));
    return at > 0 && !usesLabel ? { tokens: tokens.slice(0, at), origin: line.origin } : undefined;
  }

  #call(macro: MultiLineMacro, tokens: readonly t.Token[], at: number, origin: Origin): void {
    const span = spanOf(tokens[at]!, tokens[at]!, origin);
    if (this.#sources.length >= MAX_SOURCES) {
      this.#diagnostics.fatal(span, `macro \`${macro.name}\` nests more than ${MAX_SOURCES} deep`);
    }
    const label = at > 0 ? tokens[0] : undefined;
    const call = beginCall(macro, tokens.slice(at + 1), { serial: ++this.#serial, label, span, from: origin });
    const depth = (origin.expansion?.depth ?? 0) + 1;
    this.#push({ kind: 'macro', lines: macroLines(call, depth), call });
  }

  #expand(tokens: readonly t.Token[], origin: Origin): readonly t.Token[] {
    try {
      return this.#single.expand(tokens, origin);
    } catch (error) {
      if (!(error instanceof ExpansionFault)) throw error;
      this.#diagnostics.error(error.span, error.message);
      return [];
    }
  }

  #collect(open: Collecting, line: SourceLine, word: string): void {
    if (open.opens.has(word)) open.depth++;
    if (open.closes.has(word) && open.depth-- === 0) {
      this.#collecting = undefined;
      open.finish(open.body);
      return;
    }
    open.body.push(line);
  }

  #directive(word: string, line: SourceLine): void {
    const { tokens, origin } = line;
    const span = spanOf(tokens[0]!, tokens[0]!, origin);
    const rest = tokens.slice(1);
    const condition = conditionWord(word);
    if (condition !== undefined) {
      const test = () => this.#test(condition.kind, rest, origin, span) !== condition.negated;
      if (condition.branch === 'if') this.#conditions.open(span, this.#sources.length, test);
      else this.#branch(word, span, false, test);
      return;
    }
    switch (word) {
      case '%else':
        this.#branch(word, span, true, () => true);
        return;
      case '%endif':
        if (!this.#conditions.close(this.#sources.length)) this.#diagnostics.error(span, '`%endif` without `%if`');
        return;
      case '%include':
        this.#include(rest, origin, span);
        return;
      case '%define':
      case '%idefine':
      case '%xdefine':
      case '%ixdefine':
        this.#define(word, rest, origin, span);
        return;
      case '%undef':
        for (const token of rest) if (isName(token)) this.#single.undefine(token.image);
        return;
      case '%assign':
      case '%iassign':
        this.#assign(word, rest, origin, span);
        return;
      case '%macro':
      case '%imacro':
        this.#macro(word, rest, span);
        return;
      case '%unmacro':
        this.#multi.remove(rest[0]?.image ?? '');
        return;
      case '%rep':
        this.#repeat(rest, origin, span);
        return;
      case '%exitrep':
        this.#leave('rep', word, span);
        return;
      case '%exitmacro':
        this.#leave('macro', word, span);
        return;
      case '%rotate':
        this.#rotate(rest, origin, span);
        return;
      case '%error':
        this.#diagnostics.error(span, messageOf(rest));
        return;
      case '%fatal':
        this.#diagnostics.fatal(span, messageOf(rest));
        return;
      case '%warning':
        this.#diagnostics.warning(span, messageOf(rest), 'user');
        return;
      default:
        this.#diagnostics.error(span, `unknown preprocessor directive \`${word}\`${didYouMean(word, DIRECTIVES)}`);
    }
  }

  #branch(word: string, span: Span, last: boolean, test: () => boolean): void {
    const wrong = this.#conditions.branch(word, this.#sources.length, last, test);
    if (wrong !== undefined) this.#diagnostics.error(span, wrong);
  }

  #test(kind: string, rest: readonly t.Token[], origin: Origin, span: Span): boolean {
    if (kind === 'def') return rest.some((token) => isName(token) && this.#single.defined(token.image));
    if (kind === 'macro') return this.#multi.find(rest[0]) !== undefined;
    const tokens = this.#expand(rest, origin);
    if (kind !== '') {
      const answer = testTokens(kind, tokens);
      if (answer === undefined) this.#diagnostics.error(span, `\`%if${kind}\` compares two texts with a comma between`);
      return answer ?? false;
    }
    if (tokens.length === 0) this.#diagnostics.error(span, '`%if` needs an expression');
    return tokens.length > 0 && (this.#evaluate(tokens, origin) ?? 0n) !== 0n;
  }

  #include(rest: readonly t.Token[], origin: Origin, span: Span): void {
    const tokens = this.#expand(rest, origin);
    const [name] = tokens;
    if (name?.tokenType !== t.Text) {
      this.#diagnostics.error(span, '`%include` needs a file name in quotes');
      return;
    }
    const place = spanOf(name, name, origin);
    const wanted = new TextDecoder().decode(stringBytes(name.image));
    const files = this.#sources.filter((source) => source.kind === 'file').length;
    if (files >= MAX_INCLUDES) {
      this.#diagnostics.fatal(
        place,
        `files include each other more than ${MAX_INCLUDES} deep; does a file include itself?`,
      );
    }
    const found = this.#includePath(wanted, origin.file.name);
    if (found === undefined) this.#diagnostics.fatal(place, `cannot find the include file \`${wanted}\``);
    this.#open(new SourceFile(found.name, found.text));
  }

  #define(word: string, rest: readonly t.Token[], origin: Origin, span: Span): void {
    const definition = readDefinition(rest);
    if (definition === undefined) {
      this.#diagnostics.error(span, `\`${word}\` needs a name, and parameters end with \`)\``);
      return;
    }
    const body = word.includes('xdefine') ? this.#expand(definition.body, origin) : definition.body;
    this.#single.define({ ...definition, body, ignoreCase: word.startsWith('%i') });
  }

  #assign(word: string, rest: readonly t.Token[], origin: Origin, span: Span): void {
    const [name] = rest;
    if (name === undefined || !isName(name)) {
      this.#diagnostics.error(span, `\`${word}\` needs a name`);
      return;
    }
    const tokens = this.#expand(rest.slice(1), origin);
    if (tokens.length === 0) {
      this.#diagnostics.error(span, `\`${word}\` needs a value`);
      return;
    }
    const value = this.#evaluate(tokens, origin);
    if (value === undefined) return;
    const body = tokensOf(`${value}`, spanOf(name, name, origin));
    this.#single.define({ name: name.image, parameters: undefined, body, ignoreCase: word.startsWith('%i') });
  }

  #macro(word: string, rest: readonly t.Token[], span: Span): void {
    const [name, ...numbers] = rest;
    const header = name !== undefined && isName(name) ? macroHeader(numbers) : undefined;
    if (header === undefined) this.#diagnostics.error(span, `\`${word}\` needs a name and a number of parameters`);
    this.#collecting = {
      opens: MACRO_OPENS,
      closes: MACRO_CLOSES,
      span,
      word,
      depth: 0,
      body: [],
      source: this.#sources.length,
      finish: (body) => {
        if (header === undefined) return;
        this.#multi.define({ name: name!.image, ...header, body, ignoreCase: word === '%imacro' });
      },
    };
  }

  #repeat(rest: readonly t.Token[], origin: Origin, span: Span): void {
    const tokens = this.#expand(rest, origin);
    const count = tokens.length === 0 ? 0n : (this.#evaluate(tokens, origin) ?? 0n);
    if (tokens.length === 0) this.#diagnostics.error(span, '`%rep` needs a count');
    if (count > MAX_REPETITIONS) {
      this.#diagnostics.fatal(
        spanOf(rest[0]!, rest.at(-1)!, origin),
        `\`%rep ${count}\` is more than ${MAX_REPETITIONS}`,
      );
    }
    const call = this.#sources.at(-1)!.call;
    this.#collecting = {
      opens: REP_OPENS,
      closes: REP_CLOSES,
      span,
      word: '%rep',
      depth: 0,
      body: [],
      source: this.#sources.length,
      finish: (body) => this.#push({ kind: 'rep', lines: repeated(body, Number(count)), call }),
    };
  }

  /** `%exitrep`, `%exitmacro`: drops the sources up to the innermost one of that kind, with their conditions. */
  #leave(kind: 'rep' | 'macro', word: string, span: Span): void {
    const at = this.#sources.findLastIndex((source) => source.kind === kind);
    if (at < 0) {
      this.#diagnostics.error(span, `\`${word}\` stands in no \`%${kind}\``);
      return;
    }
    for (const unclosed of this.#conditions.unclosed(at + 1)) void unclosed;
    this.#sources.length = at;
  }

  #rotate(rest: readonly t.Token[], origin: Origin, span: Span): void {
    const call = this.#sources.at(-1)!.call;
    if (call === undefined) {
      this.#diagnostics.error(span, '`%rotate` stands in no macro');
      return;
    }
    const by = this.#evaluate(this.#expand(rest, origin), origin);
    const count = BigInt(call.arguments.length);
    if (by === undefined || count === 0n) return;
    const shift = Number(((by % count) + count) % count);
    call.arguments = [...call.arguments.slice(shift), ...call.arguments.slice(0, shift)];
  }
}

function* repeated(body: readonly SourceLine[], count: number): Generator<SourceLine> {
  for (let i = 0; i < count; i++) yield* body;
}

function messageOf(tokens: readonly t.Token[]): string {
  const text = tokens.map((token) =>
    token.tokenType === t.Text ? new TextDecoder().decode(stringBytes(token.image)) : token.image,
  );
  return text.join(' ') || 'stopped by the source';
}
