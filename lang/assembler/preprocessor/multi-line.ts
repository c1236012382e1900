/** Multi-line macros: `%macro` (NASM manual §4.3). A call becomes the body's lines with parameters put in. */

import { carried, endOf, type SourceLine, spanOf, tokensOf } from '../../syntax/lexer.ts';
import type { Expansion, Origin, Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { isName } from './single-line.ts';

export interface MultiLineMacro {
  readonly name: string;
  readonly minimum: number;
  /** Infinity for `1-*`. */
  readonly maximum: number;
  /** `+`: the last parameter takes the rest of the line, commas included. */
  readonly greedy: boolean;
  readonly defaults: readonly (readonly t.Token[])[];
  readonly body: readonly SourceLine[];
  readonly ignoreCase: boolean;
}

/** A call in progress: what `%1`, `%0`, `%%label` and `%00` mean in it. */
export interface MacroCall {
  readonly macro: MultiLineMacro;
  /** Number that makes `%%label` unique: `..@4.label`. */
  readonly serial: number;
  arguments: readonly (readonly t.Token[])[];
  readonly label: t.Token | undefined;
  readonly span: Span;
  /** Origin of the calling line: where the arguments stand. */
  readonly from: Origin;
}

/** Splits what follows a macro's name at commas; `{…}` protects commas and is taken off. */
export function splitArguments(tokens: readonly t.Token[], maximum: number, greedy: boolean): t.Token[][] {
  if (tokens.length === 0) return [];
  const list: t.Token[][] = [[]];
  let braces = 0;
  for (const token of tokens) {
    const type = token.tokenType;
    if (type === t.LeftBrace && braces++ === 0) continue;
    if (type === t.RightBrace && braces > 0 && --braces === 0) continue;
    if (type === t.Comma && braces === 0 && !(greedy && list.length >= maximum)) list.push([]);
    else list.at(-1)!.push(token);
  }
  return list;
}

/** A call with what follows the macro's name as arguments, and defaults where those end. */
export function beginCall(
  macro: MultiLineMacro,
  rest: readonly t.Token[],
  place: Pick<MacroCall, 'serial' | 'label' | 'span' | 'from'>,
): MacroCall {
  const values: (readonly t.Token[])[] = splitArguments(rest, macro.maximum, macro.greedy);
  for (let i = values.length; i < macro.minimum + macro.defaults.length; i++) {
    values.push(macro.defaults[i - macro.minimum] ?? []);
  }
  return { macro, arguments: values, ...place };
}

/** The body's lines as the call sees them. */
export function* macroLines(call: MacroCall, depth: number): Generator<SourceLine> {
  const expansion: Expansion = { macro: call.macro.name, call: call.span, depth };
  const origins = new Map<Origin, Origin>();
  for (const line of call.macro.body) {
    let origin = origins.get(line.origin);
    if (origin === undefined) {
      origin = { file: line.origin.file, expansion };
      origins.set(line.origin, origin);
    }
    yield { tokens: line.tokens, origin };
  }
}

/** One line with the call's parameters put in. Words that touch a parameter become one with it: `label_%1`. */
export function substituteParameters(
  line: SourceLine,
  call: MacroCall,
  fault: (at: t.Token, text: string) => void,
): SourceLine {
  if (!line.tokens.some(isParameter)) return line;
  const result: t.Token[] = [];
  let previous: t.Token | undefined;
  let touches = false;
  for (const token of line.tokens) {
    const glued = previous !== undefined && endOf(previous) === token.startOffset;
    const parameter = isParameter(token);
    const replacement = parameter ? parameterValue(token, call, line.origin, fault) : [token];
    const left = result.at(-1);
    const right = replacement[0];
    if (glued && (touches || parameter) && left !== undefined && right !== undefined && pastes(left) && pastes(right)) {
      result.pop();
      result.push(...tokensOf(left.image + right.image, spanOf(left, right, line.origin)), ...replacement.slice(1));
    } else {
      for (const each of replacement) result.push(each);
    }
    touches = parameter;
    previous = token;
  }
  return { tokens: result, origin: line.origin };
}

function isParameter(token: t.Token): boolean {
  return (
    token.tokenType === t.MacroArgument ||
    token.tokenType === t.MacroBrace ||
    (token.tokenType === t.MacroName && token.image.startsWith('%%'))
  );
}

function pastes(token: t.Token): boolean {
  return isName(token) || token.tokenType === t.Numeral || token.tokenType === t.MacroName;
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
  if (word === '%0') return tokensOf(`${call.arguments.length}`, span);
  if (word === '%00') return call.label === undefined ? [] : [carried(call.label, call.from)];
  const range = /^%(-?\d+):(-?\d+)$/.exec(word);
  if (range !== null) return argumentRange(call, Number(range[1]), Number(range[2]), span);
  const single = /^%([-+]?)(\d+)$/.exec(word);
  if (single === null) return [token];
  const argument = call.arguments[Number(single[2]) - 1] ?? [];
  if (single[1] === '') return argument.map((each) => carried(each, call.from));
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
    result.push(...call.arguments[i]!.map((each) => carried(each, call.from)));
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
