/** Multi-line macros: `%macro` (NASM manual §4.3). A call becomes the body's lines with parameters put in. */

import { carried, placed, type SourceLine, spanOf, tokensOf, touches } from '../../syntax/lexer.ts';
import type { Expansion, Origin, Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { type Actual, Argument } from './argument.ts';
import type { BodyLine, LineReader } from './body-line.ts';
import { TokenRun } from './token-run.ts';

export interface MultiLineMacro {
  readonly name: string;
  readonly minimum: number;
  /** Infinity for `1-*`. */
  readonly maximum: number;
  /** `+`: the last parameter takes the rest of the line, commas included. */
  readonly greedy: boolean;
  readonly defaults: readonly (readonly t.Token[])[];
  readonly body: readonly BodyLine[];
  /** True where the body says where a label in front of the call goes, by `%00`. */
  readonly placesLabel: boolean;
  readonly ignoreCase: boolean;
  /** `%rmacro`: its name means itself in its body. */
  readonly recursive: boolean;
  /** `.nolist`: its lines are in no listing, and what they make is beside the call. */
  readonly unlisted?: boolean;
  /** One of NASM's own: what goes wrong in it goes wrong at its call. */
  readonly standard?: boolean;
}

/** A call in progress: what `%1`, `%0`, `%%label` and `%00` mean in it. */
export interface MacroCall extends Actual {
  readonly macro: MultiLineMacro;
  arguments: readonly Argument[];
  readonly label: t.Token | undefined;
  /** The macro's name as written, and its place. */
  readonly invoked: string;
  readonly span: Span;
  /** Origin of the calling line: where the arguments stand. */
  readonly from: Origin;
}

/** Splits what follows a macro's name at commas; `{…}` protects commas and is taken off. */
export function splitArguments(tokens: readonly t.Token[], maximum: number, greedy: boolean): t.Token[][] {
  if (tokens.length === 0) return [];
  let last: t.Token[] = [];
  const list: t.Token[][] = [last];
  let braces = 0;
  // By index: this runs for every call, mostly before V8 compiles it, and an iterator costs an object a step there.
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const type = token.tokenType;
    if (type === t.LeftBrace && braces++ === 0) continue;
    if (type === t.RightBrace && braces > 0 && --braces === 0) continue;
    if (type === t.Comma && braces === 0 && !(greedy && list.length >= maximum)) {
      last = [];
      list.push(last);
    } else {
      last.push(token);
    }
  }
  return list;
}

/** A call with its arguments, and defaults where those end. */
export function beginCall(
  macro: MultiLineMacro,
  given: readonly (readonly t.Token[])[],
  place: Pick<MacroCall, 'serial' | 'label' | 'invoked' | 'span' | 'from'>,
): MacroCall {
  const values = given.map((tokens) => new Argument(tokens, place.from));
  for (let i = values.length; i < macro.minimum + macro.defaults.length; i++) {
    values.push(new Argument(macro.defaults[i - macro.minimum] ?? [], place.from));
  }
  return { macro, arguments: values, ...place };
}

/** The body's lines as the call sees them. */
export class MacroLines implements LineReader {
  readonly #call: MacroCall;
  readonly #expansion: Expansion;
  #next = 0;
  /** Origin of the body's lines, and what it is in this call. */
  #defined: Origin | undefined;
  #origin: Origin | undefined;

  constructor(call: MacroCall, depth: number) {
    this.#call = call;
    this.#expansion = { macro: call.macro.name, call: call.span, depth, serial: call.serial };
  }

  next(): BodyLine | undefined {
    const { macro, span } = this.#call;
    const line = macro.body[this.#next++];
    if (line === undefined) return undefined;
    const { tokens, template } = line;
    if (macro.standard) return { tokens: standing(tokens, span), origin: span.origin, template: undefined };
    if (this.#origin === undefined || this.#defined !== line.origin) {
      this.#defined = line.origin;
      this.#origin = { file: line.origin.file, expansion: this.#expansion };
    }
    return { tokens, origin: this.#origin, template };
  }
}

/** The body of a macro that no file of the user's holds: every token stands where the call does. */
function standing(tokens: readonly t.Token[], span: Span): readonly t.Token[] {
  return tokens.map((token, i) => placed(token, span, i > 0 && touches(tokens[i - 1]!, token)));
}

/** One line with the call's parameters put in. Words that touch a parameter become one with it: `label_%1`. */
export function substituteParameters(
  line: SourceLine,
  call: MacroCall,
  fault: (at: t.Token, text: string) => void,
): SourceLine {
  if (!line.tokens.some(isParameter)) return line;
  const run = new TokenRun(line.origin);
  let previous: t.Token | undefined;
  for (const token of line.tokens) {
    const glued = previous !== undefined && touches(previous, token);
    if (isParameter(token)) run.insert(parameterValue(token, call, line.origin, fault), glued);
    else run.push(token, glued);
    previous = token;
  }
  return { tokens: run.tokens, origin: line.origin };
}

function isParameter(token: t.Token): boolean {
  const type = token.tokenType;
  if (type === t.MacroArgument || type === t.MacroBrace) return true;
  return type === t.MacroName && (token.image.startsWith('%%') || token.image === '%?' || token.image === '%??');
}

function parameterValue(
  token: t.Token,
  call: MacroCall,
  origin: Origin,
  fault: (at: t.Token, text: string) => void,
): readonly t.Token[] {
  const span = spanOf(token, token, origin);
  const word = token.tokenType === t.MacroBrace ? `%${token.image.slice(2, -1)}` : token.image;
  if (word.startsWith('%%')) return tokensOf(`..@${call.serial}.${word.slice(2)}`, span);
  if (word === '%?') return tokensOf(call.invoked, span);
  if (word === '%??') return tokensOf(call.macro.name, span);
  if (word === '%0') return tokensOf(`${call.arguments.length}`, span);
  if (word === '%00') return call.label === undefined ? [] : [carried(call.label, call.from)];
  if (/^%[1-9]$/.test(word)) return call.arguments[word.charCodeAt(1) - 0x31]?.carried ?? [];
  const range = /^%(-?\d+):(-?\d+)$/.exec(word);
  if (range !== null) return argumentRange(call, Number(range[1]), Number(range[2]), span);
  const single = /^%([-+]?)(\d+)$/.exec(word);
  if (single === null) return [token];
  const argument = call.arguments[Number(single[2]) - 1]?.carried ?? [];
  if (single[1] === '') return argument;
  const condition = argument.length === 1 ? CONDITIONS.get(argument[0]!.image.toLowerCase()) : undefined;
  if (condition === undefined) {
    fault(token, `macro parameter ${single[2]} is not a condition code`);
    return [];
  }
  return tokensOf(single[1] === '-' ? condition : argument[0]!.image, span);
}

function argumentRange(call: MacroCall, from: number, to: number, span: Span): t.Token[] {
  const count = call.arguments.length;
  const index = (n: number) => (n < 0 ? count + n : n - 1);
  const step = index(from) <= index(to) ? 1 : -1;
  const comma = tokensOf(',', span);
  const result: t.Token[] = [];
  for (let i = index(from); i !== index(to) + step; i += step) {
    if (i < 0 || i >= count) continue;
    if (result.length > 0) result.push(...comma);
    result.push(...call.arguments[i]!.carried);
  }
  return result;
}

/** Condition codes and their opposites, for `%-1`. */
const CONDITIONS: ReadonlyMap<string, string> = new Map(
  'a:na ae:nae b:nb be:nbe c:nc e:ne g:ng ge:nge l:nl le:nle o:no p:np s:ns z:nz pe:po'
    .split(' ')
    .map((pair) => pair.split(':') as [string, string])
    .flatMap(([yes, no]): [string, string][] => [
      [yes, no],
      [no, yes],
    ]),
);
