/** What `%if…` tests (NASM manual §4.4). */

import * as t from '../../syntax/tokens.ts';
import type { Directing, DirectiveLine } from './directive.ts';
import { parameterNumbers } from './macro-table.ts';
import { PACKAGES } from './packages.ts';
import { packageName } from './surroundings.ts';
import { isName } from './token-run.ts';

/** A condition word taken apart: `%elifnidni` → kind `idni`, negated. */
export interface ConditionWord {
  readonly branch: 'if' | 'elif';
  readonly kind: string;
  readonly negated: boolean;
}

/** What `%if` tests behind its name; '' is an expression. */
const KINDS = new Set([
  '',
  'def',
  'defalias',
  'macro',
  'ctx',
  'env',
  'usable',
  'using',
  'idn',
  'idni',
  'id',
  'num',
  'str',
  'empty',
  'token',
]);

/** All condition directives, to suggest from. */
export const CONDITION_NAMES: readonly string[] = ['if', 'elif'].flatMap((branch) =>
  [...KINDS].flatMap((kind) => [`%${branch}${kind}`, `%${branch}n${kind}`]),
);

/** The parts of a condition's name (with its `%`), or undefined where it is none. */
export function conditionWord(word: string): ConditionWord | undefined {
  let found = known.get(word);
  if (found === undefined) {
    found = readConditionWord(word) ?? 'none';
    known.set(word, found);
  }
  return found === 'none' ? undefined : found;
}

const known = new Map<string, ConditionWord | 'none'>();

function readConditionWord(word: string): ConditionWord | undefined {
  const match = /^%(if|elif)(.*)$/.exec(word.toLowerCase());
  if (match === null) return undefined;
  const branch = match[1] as 'if' | 'elif';
  const rest = match[2]!;
  if (KINDS.has(rest)) return { branch, kind: rest, negated: false };
  if (rest.startsWith('n') && KINDS.has(rest.slice(1))) return { branch, kind: rest.slice(1), negated: true };
  return undefined;
}

/** Tests that look at their tokens and at single-line macros alone. */
export const REPEATABLE_TESTS: ReadonlySet<string> = new Set(
  'def idn idni id num str empty token'.split(' ').concat(''),
);

/** The answer of a test on the tokens behind it; undefined where a fault was reported. */
export function testCondition(kind: string, line: DirectiveLine, to: Directing): boolean | undefined {
  const { rest, origin } = line;
  switch (kind) {
    case 'def':
      return names(line, to)?.some((name) => to.macros.names.defined(name));
    case 'defalias':
      return names(line, to)?.some((name) => to.macros.names.aliasOf(name) !== undefined);
    case 'ctx':
      return names(line, to)?.some((name) => to.contexts.isInnermost(name));
    case 'macro':
      return testMacro(line, to);
    case 'env':
      return testVariable(line, to);
  }
  const tokens = to.expand(rest, origin);
  if (kind === 'usable' || kind === 'using') {
    const name = tokens[0] === undefined ? '' : packageName(tokens[0]);
    return kind === 'usable' ? PACKAGES.has(name) : to.packages.has(name);
  }
  if (kind !== '') {
    const answer = testTokens(kind, tokens);
    if (answer === undefined) return fault(line, to, 'compares two texts with a comma between');
    return answer;
  }
  if (tokens.length === 0) return fault(line, to, 'needs an expression');
  const value = to.number(tokens, origin);
  return value === undefined ? undefined : value !== 0n;
}

function fault(line: DirectiveLine, to: Directing, text: string): undefined {
  to.diagnostics.error(line.span, `\`${line.word}\` ${text}`);
}

function names(line: DirectiveLine, to: Directing): string[] | undefined {
  const found: string[] = [];
  for (const token of line.rest) {
    const name = to.name(token, line);
    if (name === undefined) return undefined;
    found.push(name);
  }
  return found.length === 0 ? fault(line, to, 'needs a name') : found;
}

/** `%ifmacro name`, `%ifmacro name 1-3`. */
function testMacro(line: DirectiveLine, to: Directing): boolean | undefined {
  const [name, ...numbers] = line.rest;
  if (name === undefined || !isName(name)) return fault(line, to, 'needs the name of a macro');
  const any = { minimum: 0, maximum: Number.POSITIVE_INFINITY, greedy: false };
  const range = numbers.length === 0 ? any : parameterNumbers(to.expand(numbers, line.origin));
  return range === undefined
    ? fault(line, to, 'takes a name and a number of parameters')
    : to.bodies.has(name.image, range);
}

/** `%ifenv NAME`, `%ifenv %!NAME`, `%ifenv 'NAME'`. */
function testVariable(line: DirectiveLine, to: Directing): boolean | undefined {
  const [token] = line.rest;
  if (token === undefined) return fault(line, to, 'needs the name of an environment variable');
  return to.isSet(token.image.replace(/^%!/, '').replace(/^(['"`])(.*)\1$/, '$2'));
}

/** `%ifidn a, b`: equal token for token, blanks aside. Strings compare by contents. */
function identical(tokens: readonly t.Token[], ignoreCase: boolean): boolean | undefined {
  const comma = tokens.findIndex((token) => token.tokenType === t.Comma);
  if (comma < 0) return undefined;
  const text = (list: readonly t.Token[]) =>
    list.map((token) => (token.tokenType === t.Text ? `"${token.image.slice(1, -1)}"` : token.image)).join('\n');
  const [a, b] = [text(tokens.slice(0, comma)), text(tokens.slice(comma + 1))];
  return ignoreCase ? a.toLowerCase() === b.toLowerCase() : a === b;
}

/** Tests that look at expanded tokens alone; undefined where `%ifidn` has nothing to compare. */
function testTokens(kind: string, tokens: readonly t.Token[]): boolean | undefined {
  switch (kind) {
    case 'idn':
      return identical(tokens, false);
    case 'idni':
      return identical(tokens, true);
    case 'id':
      return tokens.length > 0 && isName(tokens[0]!);
    case 'num':
      return tokens.find((token) => token.tokenType !== t.Minus && token.tokenType !== t.Plus)?.tokenType === t.Numeral;
    case 'str':
      return tokens[0]?.tokenType === t.Text;
    case 'empty':
      return tokens.length === 0;
    case 'token':
      return tokens.length === 1;
    default:
      throw new Error(`the condition ${kind} is listed but not tested`);
  }
}
