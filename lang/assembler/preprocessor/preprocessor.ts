/**
 * NASM's preprocessor (manual chapter 4): a file with its includes → the lines that the parser sees. Lines are pulled one at a time
 * from a stack of sources (files, macro bodies, repetitions), so that nesting costs no recursion and has a limit.
 */

import { endOf, type SourceLine, sourceLines, spanOf, tokensOf } from '../../syntax/lexer.ts';
import { stringBytes } from '../../syntax/literals.ts';
import { type Origin, SourceFile, type Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import type { Diagnostics } from '../diagnostics.ts';
import { didYouMean } from '../suggest.ts';
import { Conditions, conditionWord, identical } from './conditions.ts';
import { type MacroCall, type MultiLineMacro, macroLines, splitArguments, substituteParameters } from './multi-line.ts';
import { ExpansionFault, isName, SingleLineMacros } from './single-line.ts';

/** Finds an include file: `name` as written, `from` the file that asks. */
export type IncludePath = (name: string, from: string) => { name: string; text: string } | undefined;

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
  readonly #multi = new Map<string, MultiLineMacro[]>();
  readonly #sources: Source[] = [];
  readonly #conditions = new Conditions();
  #collecting: Collecting | undefined;
  #serial = 0;
  #produced = 0;

  constructor(includePath: IncludePath, diagnostics: Diagnostics, evaluateNow: EvaluateNow) {
    this.#includePath = includePath;
    this.#diagnostics = diagnostics;
    this.#evaluate = evaluateNow;
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
    this.#push({ kind: 'file', lines: this.#readFile(file), call: undefined });
    while (this.#sources.length > 0) {
      const source = this.#sources.at(-1)!;
      const next = source.lines.next();
      if (next.done) {
        this.#close();
        continue;
      }
      const line = this.#process(next.value, source);
      if (line !== undefined && line.tokens.length > 0) yield line;
    }
  }

  /** Lines of a file. Bytes that are no UTF-8 come here as U+FFFD; outside comments they cannot be assembled as they were meant. */
  #readFile(file: SourceFile): Iterator<SourceLine> {
    const lines = sourceLines(file);
    return file.text.includes('\ufffd') ? this.#checkEncoding(lines) : lines;
  }

  *#checkEncoding(lines: Iterable<SourceLine>): Generator<SourceLine> {
    for (const line of lines) {
      const wrong = line.tokens.find((token) => token.image.includes('\ufffd'));
      if (wrong === undefined) {
        yield line;
        continue;
      }
      const at = wrong.startOffset + wrong.image.indexOf('\ufffd');
      this.#diagnostics.error({ origin: line.origin, start: at, end: at + 1 }, 'this is not UTF-8 text');
    }
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
    let macros = this.#multiLine(tokens[0]);
    if (macros === undefined && tokens.length > 1 && isName(tokens[0]!)) {
      at = tokens[1]!.tokenType === t.Colon ? 2 : 1;
      macros = this.#multiLine(tokens[at]);
    }
    if (macros === undefined) return expanded;
    const macro = this.#chooseMacro(macros, tokens, at, line.origin);
    if (macro === undefined) return expanded;
    this.#call(macro, tokens, at, line.origin);
    // A label in front of the call stands on its own, unless the body places it with %00.
    const usesLabel = macro.body.some((each) => each.tokens.some((token) => token.image === '%00'));
    return at > 0 && !usesLabel ? { tokens: tokens.slice(0, at), origin: line.origin } : undefined;
  }

  #multiLine(token: t.Token | undefined): readonly MultiLineMacro[] | undefined {
    if (token === undefined || !isName(token)) return undefined;
    return (
      this.#multi.get(token.image) ??
      this.#multi.get(token.image.toLowerCase())?.filter((macro) => macro.ignoreCase || macro.name === token.image)
    );
  }

  #chooseMacro(macros: readonly MultiLineMacro[], tokens: readonly t.Token[], at: number, origin: Origin) {
    const active = this.#sources.filter((source) => source.kind === 'macro').map((source) => source.call!.macro);
    const usable = macros.filter((macro) => !active.includes(macro));
    if (usable.length === 0) return undefined;
    const rest = tokens.slice(at + 1);
    const fits = usable.find((macro) => {
      const count = splitArguments(rest, macro.maximum, macro.greedy).length;
      return count >= macro.minimum && count <= macro.maximum;
    });
    if (fits === undefined) {
      const [macro] = usable;
      const wants = usable.map((each) => parameterCount(each)).join(' or ');
      const span = spanOf(tokens[at]!, tokens.at(-1)!, origin);
      this.#diagnostics.error(span, `macro \`${macro!.name}\` takes ${wants}`);
      return { ...macro!, body: [] };
    }
    return fits;
  }

  #call(macro: MultiLineMacro, tokens: readonly t.Token[], at: number, origin: Origin): void {
    const span = spanOf(tokens[at]!, tokens[at]!, origin);
    if (this.#sources.length >= MAX_SOURCES) {
      this.#diagnostics.fatal(span, `macro \`${macro.name}\` nests more than ${MAX_SOURCES} deep`);
    }
    const given = splitArguments(tokens.slice(at + 1), macro.maximum, macro.greedy);
    const values: (readonly t.Token[])[] = given;
    for (let i = values.length; i < macro.minimum + macro.defaults.length; i++) {
      values.push(macro.defaults[i - macro.minimum] ?? []);
    }
    const call: MacroCall = {
      macro,
      serial: ++this.#serial,
      arguments: values,
      label: at > 0 ? tokens[0] : undefined,
      span,
      from: origin,
    };
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
        this.#multi.delete(rest[0]?.image ?? '');
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
        this.#diagnostics.warning(span, messageOf(rest));
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
    if (kind === 'macro') return this.#multiLine(rest[0]) !== undefined;
    const tokens = this.#expand(rest, origin);
    switch (kind) {
      case 'idn':
      case 'idni': {
        const same = identical(tokens, kind === 'idni');
        if (same === undefined) this.#diagnostics.error(span, `\`%if${kind}\` compares two texts with a comma between`);
        return same ?? false;
      }
      case 'id':
        return tokens.length > 0 && isName(tokens[0]!);
      case 'num':
        return tokens.at(-1)?.tokenType === t.Numeral && (tokens.length === 1 || tokens[0]!.tokenType === t.Minus);
      case 'str':
        return tokens[0]?.tokenType === t.Text;
      case 'empty':
        return tokens.length === 0;
      case 'token':
        return tokens.length === 1;
      default:
        if (tokens.length === 0) this.#diagnostics.error(span, '`%if` needs an expression');
        return tokens.length > 0 && (this.#evaluate(tokens, origin) ?? 0n) !== 0n;
    }
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
    this.#push({ kind: 'file', lines: this.#readFile(new SourceFile(found.name, found.text)), call: undefined });
  }

  #define(word: string, rest: readonly t.Token[], origin: Origin, span: Span): void {
    const [name, open] = rest;
    if (name === undefined || !isName(name)) {
      this.#diagnostics.error(span, `\`${word}\` needs a name`);
      return;
    }
    let at = 1;
    let parameters: string[] | undefined;
    if (open?.tokenType === t.LeftParen && endOf(name) === open.startOffset) {
      const close = rest.findIndex((token) => token.tokenType === t.RightParen);
      if (close < 0) {
        this.#diagnostics.error(spanOf(open, open, origin), 'the parameters have no closing `)`');
        return;
      }
      parameters = rest
        .slice(2, close)
        .filter((token) => isName(token))
        .map((token) => token.image);
      at = close + 1;
    }
    const body = rest.slice(at);
    this.#single.define({
      name: name.image,
      parameters,
      body: word.includes('xdefine') ? this.#expand(body, origin) : body,
      ignoreCase: word.startsWith('%i'),
    });
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
        const ignoreCase = word === '%imacro';
        const key = ignoreCase ? name!.image.toLowerCase() : name!.image;
        const macro: MultiLineMacro = { name: name!.image, ...header, body, ignoreCase };
        const others = (this.#multi.get(key) ?? []).filter((other) => other.minimum !== macro.minimum);
        this.#multi.set(key, [macro, ...others]);
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

const MACRO_OPENS = new Set(['%macro', '%imacro']);
const MACRO_CLOSES = new Set(['%endmacro', '%endm']);
const REP_OPENS = new Set(['%rep']);
const REP_CLOSES = new Set(['%endrep']);
/** Read even where lines are skipped, to keep the nesting right. */
const STRUCTURAL = new Set(['%else', '%endif']);

const DIRECTIVES = (
  '%include %define %idefine %xdefine %ixdefine %undef %assign %iassign %if %ifdef %ifndef %ifmacro %ifidn %ifidni %ifid %ifnum ' +
  '%ifstr %ifempty %elif %elifdef %elifndef %else %endif %macro %imacro %endmacro %unmacro %rep %endrep %exitrep %exitmacro %rotate ' +
  '%error %warning %fatal'
).split(' ');

function* repeated(body: readonly SourceLine[], count: number): Generator<SourceLine> {
  for (let i = 0; i < count; i++) yield* body;
}

/** `2`, `1-3`, `1-*`, `0+`, `1-2 default, default`. */
function macroHeader(tokens: readonly t.Token[]): Omit<MultiLineMacro, 'name' | 'body' | 'ignoreCase'> | undefined {
  let at = 0;
  const number = () => (tokens[at]?.tokenType === t.Numeral ? Number(tokens[at++]!.image) : undefined);
  const minimum = number();
  if (minimum === undefined || !Number.isInteger(minimum)) return undefined;
  let maximum = minimum;
  if (tokens[at]?.tokenType === t.Minus) {
    at++;
    if (tokens[at]?.image === '*') {
      maximum = Number.POSITIVE_INFINITY;
      at++;
    } else {
      maximum = number() ?? Number.NaN;
      if (!(maximum >= minimum)) return undefined;
    }
  }
  const greedy = tokens[at]?.tokenType === t.Plus;
  if (greedy) at++;
  if (tokens[at]?.image === '.nolist') at++;
  return { minimum, maximum, greedy, defaults: splitArguments(tokens.slice(at), Number.POSITIVE_INFINITY, false) };
}

function parameterCount(macro: MultiLineMacro): string {
  const { minimum, maximum } = macro;
  if (minimum === maximum) return minimum === 1 ? '1 parameter' : `${minimum} parameters`;
  return maximum === Number.POSITIVE_INFINITY
    ? `at least ${minimum} parameters`
    : `${minimum} to ${maximum} parameters`;
}

function messageOf(tokens: readonly t.Token[]): string {
  const text = tokens.map((token) =>
    token.tokenType === t.Text ? new TextDecoder().decode(stringBytes(token.image)) : token.image,
  );
  return text.join(' ') || 'stopped by the source';
}
