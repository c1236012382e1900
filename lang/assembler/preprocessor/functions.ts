/** Preprocessor functions (NASM manual §4.4): `%eval(1+2)`, `%sel(2, a, b)`, `%str(text)` … */

import { spaced, textOf, tokensOf } from '../../syntax/lexer.ts';
import { quoteBytes, stringBytes } from '../../syntax/literals.ts';
import type { Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { conditionWord } from './conditions.ts';
import { ExpansionFault, MAX_STRING } from './expansion-fault.ts';
import { callArguments, type Expand } from './single-line.ts';
import { part } from './strings.ts';

/** What a function may ask of the preprocessor; faults are thrown as {@link ExpansionFault}. */
export interface Functioning {
  expand: Expand;
  number(tokens: readonly t.Token[], place: Span): bigint;
  /** The test behind `%if…` on unexpanded tokens. */
  test(kind: string, tokens: readonly t.Token[], place: Span): boolean;
}

type Arguments = readonly (readonly t.Token[])[];
type Meaning = (args: Arguments, place: Span, to: Functioning) => readonly t.Token[];

/** The result of `%name(inside)`, or undefined where there is no such function. */
export function callFunction(
  name: string,
  inside: readonly t.Token[],
  place: Span,
  to: Functioning,
): readonly t.Token[] | undefined {
  if (name.startsWith('is')) {
    const condition = conditionWord(`%if${name.slice(2)}`);
    if (condition === undefined) return undefined;
    return tokensOf(to.test(condition.kind, inside, place) === condition.negated ? '0' : '1', place);
  }
  const meaning = FUNCTIONS.get(name);
  if (meaning === undefined) return undefined;
  const expanded = to.expand(inside);
  return meaning(name === 'str' ? [expanded] : callArguments(expanded), place, to);
}

const number = (value: bigint | number, place: Span) => tokensOf(`${value}`, place);
const text = (bytes: Uint8Array, place: Span) => {
  if (bytes.length > MAX_STRING) throw new ExpansionFault(place, `a string of more than ${MAX_STRING} bytes`);
  return tokensOf(quoteBytes(bytes), place);
};

/** `%sel` and `%cond` give one of their arguments, or nothing. */
const chosen = (argument: readonly t.Token[] | undefined) =>
  argument === undefined ? [] : argument.map((token, i) => (i === 0 ? spaced(token, false) : token));

const FUNCTIONS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['abs', (args, place, to) => number(absolute(value(args, 0, place, to)), place)],
  ['eval', (args, place, to) => number(value(args, 0, place, to), place)],
  ['count', (args, place) => number(args.length, place)],
  ['cond', (args, place, to) => chosen(value(args, 0, place, to) !== 0n ? args[1] : args[2])],
  ['sel', select],
  ['num', numeral],
  ['str', (args, place) => text(new TextEncoder().encode(textOf(args[0] ?? [])), place)],
  ['tok', (args, place) => tokensOf(new TextDecoder().decode(string(args[0])), place)],
  ['strlen', (args, place) => number(string(args[0]).length, place)],
  ['strcat', (args, place) => text(Uint8Array.from(args.flatMap((each) => [...string(each)])), place)],
  [
    'substr',
    (args, place, to) => {
      const count = args[2] === undefined ? -1n : value(args, 2, place, to);
      return text(part(string(args[0]), value(args, 1, place, to), count), place);
    },
  ],
]);

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function value(args: Arguments, index: number, place: Span, to: Functioning): bigint {
  const tokens = args[index] ?? [];
  if (tokens.length === 0) throw new ExpansionFault(place, `this function needs a number as argument ${index + 1}`);
  return to.number(tokens, place);
}

/** The bytes of a string argument; anything else counts as its text. */
function string(argument: readonly t.Token[] = []): Uint8Array {
  const [only] = argument;
  if (argument.length === 1 && only!.tokenType === t.Text) return stringBytes(only!.image);
  return new TextEncoder().encode(textOf(argument));
}

function select(args: Arguments, place: Span, to: Functioning): readonly t.Token[] {
  const index = value(args, 0, place, to);
  if (index < 1n || index >= BigInt(args.length)) {
    throw new ExpansionFault(place, `\`%sel(${index}, …)\` has ${args.length - 1} values to choose from`);
  }
  return chosen(args[Number(index)]);
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@_';

/** `%num(value, digits, base)`: the value without sign as a string; `digits` is exact where positive, else a minimum. */
function numeral(args: Arguments, place: Span, to: Functioning): readonly t.Token[] {
  const digits = args[1] === undefined ? -1n : value(args, 1, place, to);
  const base = args[2] === undefined ? 10n : value(args, 2, place, to);
  if (base < 2n || base > 64n) throw new ExpansionFault(place, `\`%num()\` knows the bases 2 to 64, not ${base}`);
  if (absolute(digits) > 64n) throw new ExpansionFault(place, '`%num()` gives at most 64 digits');
  let rest = BigInt.asUintN(64, value(args, 0, place, to));
  let result = '';
  while (rest > 0n) {
    result = DIGITS[Number(rest % base)]! + result;
    rest /= base;
  }
  result = result.padStart(Number(absolute(digits)), '0');
  return tokensOf(`'${digits > 0n ? result.slice(-Number(digits)) : result}'`, place);
}
