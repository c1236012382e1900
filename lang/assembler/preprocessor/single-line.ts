/**
 * Single-line macros: `%define` and its kin (NASM manual §4.1). Expansion works on tokens: a macro's name is replaced by its body, and
 * the result is looked at again, except for macros whose expansion it comes from.
 */

import { endOf, placed, spanOf, tokensOf } from '../../syntax/lexer.ts';
import type { Origin, Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';

export interface SingleLineMacro {
  readonly name: string;
  /** Undefined: defined without parentheses. Names are as written. */
  readonly parameters: readonly string[] | undefined;
  readonly body: readonly t.Token[];
  readonly ignoreCase: boolean;
}

/** Tokens one line may grow to, and how deep macros may call each other. */
const MAX_TOKENS = 200_000;
const MAX_DEPTH = 256;

/** A macro whose expansion does not end within bounds, or whose call has no closing parenthesis. */
export class ExpansionFault extends Error {
  readonly span: Span;
  constructor(span: Span, message: string) {
    super(message);
    this.span = span;
  }
}

/** Names whose tokens stand for a macro call: plain identifiers and, behind a second expansion, words the parser already typed. */
export function isName(token: t.Token): boolean {
  return token.tokenType === t.Identifier || NAMES.has(token.tokenType);
}

const NAMES = new Set([
  t.Register,
  t.Mnemonic,
  t.Prefix,
  t.Hint,
  t.Data,
  t.Reserve,
  t.Times,
  t.Equ,
  t.Incbin,
  t.Directive,
  t.Dup,
  t.Wrt,
  t.Seg,
]);

/** The table of single-line macros, and expansion with them. */
export class SingleLineMacros {
  readonly #byName = new Map<string, SingleLineMacro[]>();
  readonly #ignoringCase = new Map<string, SingleLineMacro[]>();
  #budget = 0;

  define(macro: SingleLineMacro): void {
    const [table, key] = macro.ignoreCase ? [this.#ignoringCase, macro.name.toLowerCase()] : [this.#byName, macro.name];
    const others = (table.get(key) ?? []).filter((other) => !sameShape(other, macro));
    // NASM keeps macros of different parameter counts side by side, but not with and without parentheses.
    table.set(key, [
      ...others.filter((other) => (other.parameters === undefined) === (macro.parameters === undefined)),
      macro,
    ]);
  }

  undefine(name: string): void {
    this.#byName.delete(name);
    this.#ignoringCase.delete(name.toLowerCase());
  }

  defined(name: string): boolean {
    return this.find(name).length > 0;
  }

  find(name: string): readonly SingleLineMacro[] {
    const exact = this.#byName.get(name);
    if (exact !== undefined) return exact;
    if (this.#ignoringCase.size === 0) return NONE;
    return this.#ignoringCase.get(name.toLowerCase()) ?? NONE;
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** The line with every macro call replaced; the same array where there is none. */
  expand(tokens: readonly t.Token[], origin: Origin): readonly t.Token[] {
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token.tokenType === t.Paste || (isName(token) && this.find(token.image).length > 0)) {
        this.#budget = MAX_TOKENS;
        return pasted(this.#expand(tokens, origin, NO_MACROS, 0), origin);
      }
    }
    return tokens;
  }

  #expand(tokens: readonly t.Token[], origin: Origin, active: ReadonlySet<string>, depth: number): t.Token[] {
    const result: t.Token[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      const macros = isName(token) && !active.has(token.image) ? this.find(token.image) : NONE;
      if (macros.length === 0) {
        result.push(token);
        continue;
      }
      const call = this.#call(tokens, i, macros, origin);
      if (call === undefined) {
        result.push(token);
        continue;
      }
      const span = spanOf(token, tokens[call.last]!, origin);
      if (depth >= MAX_DEPTH)
        throw new ExpansionFault(span, `macro \`${token.image}\` nests more than ${MAX_DEPTH} deep`);
      // NASM 2.16 does not expand a macro in its own arguments either.
      const inner = new Set(active).add(token.image);
      const actual = call.arguments.map((argument) => this.#expand(argument, origin, inner, depth + 1));
      const body = substitute(call.macro, actual, span);
      this.#budget -= body.length;
      if (this.#budget < 0) throw new ExpansionFault(span, `macro \`${token.image}\` makes this line too long`);
      for (const each of this.#expand(pasted(body, origin), origin, inner, depth + 1)) result.push(each);
      i = call.last;
    }
    return result;
  }

  /** The macro that a name at `at` calls, with its arguments and the index of the call's last token. */
  #call(tokens: readonly t.Token[], at: number, macros: readonly SingleLineMacro[], origin: Origin) {
    const plain = macros.find((macro) => macro.parameters === undefined);
    if (plain !== undefined) return { macro: plain, arguments: [] as t.Token[][], last: at };
    if (tokens[at + 1]?.tokenType !== t.LeftParen) return undefined;
    const found = callArguments(tokens, at + 1);
    if (found === undefined) {
      throw new ExpansionFault(
        spanOf(tokens[at]!, tokens[at + 1]!, origin),
        `the call of macro \`${tokens[at]!.image}\` has no closing \`)\``,
      );
    }
    const count = found.arguments.length;
    const macro = macros.find((each) => each.parameters!.length === count);
    if (macro !== undefined) return { macro, ...found };
    if (count === 1 && found.arguments[0]!.length === 0) {
      const empty = macros.find((each) => each.parameters!.length === 0);
      if (empty !== undefined) return { macro: empty, arguments: [] as t.Token[][], last: found.last };
    }
    return undefined;
  }
}

const NONE: readonly SingleLineMacro[] = [];
const NO_MACROS: ReadonlySet<string> = new Set();

function sameShape(a: SingleLineMacro, b: SingleLineMacro): boolean {
  return a.parameters?.length === b.parameters?.length;
}

/** Comma-separated token lists between the parenthesis at `open` and its partner; braces protect commas. */
function callArguments(tokens: readonly t.Token[], open: number): { arguments: t.Token[][]; last: number } | undefined {
  const list: t.Token[][] = [[]];
  let depth = 0;
  let braces = 0;
  for (let i = open + 1; i < tokens.length; i++) {
    const token = tokens[i]!;
    const type = token.tokenType;
    if (type === t.LeftBrace && braces++ === 0) continue;
    if (type === t.RightBrace && --braces === 0) continue;
    if (braces === 0) {
      if (type === t.LeftParen) depth++;
      if (type === t.RightParen && depth-- === 0) return { arguments: list, last: i };
      if (type === t.Comma && depth === 0) {
        list.push([]);
        continue;
      }
    }
    list.at(-1)!.push(token);
  }
  return undefined;
}

/** The body with arguments in place of parameters. Body tokens stand where the call stands; arguments keep their own places. */
function substitute(macro: SingleLineMacro, actual: readonly (readonly t.Token[])[], span: Span): t.Token[] {
  const result: t.Token[] = [];
  for (const token of macro.body) {
    const parameter = isName(token) ? (macro.parameters?.indexOf(token.image) ?? -1) : -1;
    if (parameter < 0) result.push(placed(token, span));
    else for (const each of actual[parameter]!) result.push(each);
  }
  return result;
}

/** What follows `%define`: `name body` or `name(parameters) body`; undefined where it is neither. */
export function readDefinition(tokens: readonly t.Token[]): Omit<SingleLineMacro, 'ignoreCase'> | undefined {
  const [name, open] = tokens;
  if (name === undefined || !isName(name)) return undefined;
  // A blank in front of the parenthesis makes it part of the body.
  if (open?.tokenType !== t.LeftParen || !adjacent(name, open)) {
    return { name: name.image, parameters: undefined, body: tokens.slice(1) };
  }
  const close = tokens.findIndex((token) => token.tokenType === t.RightParen);
  if (close < 0) return undefined;
  const parameters = tokens.slice(2, close).filter(isName);
  return { name: name.image, parameters: parameters.map((token) => token.image), body: tokens.slice(close + 1) };
}

/** Applies `%+`: joins the words on its two sides into one. */
function pasted(tokens: readonly t.Token[], origin: Origin): t.Token[] {
  if (!tokens.some((token) => token.tokenType === t.Paste)) return tokens as t.Token[];
  const result: t.Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const right = tokens[i + 1];
    const left = result.at(-1);
    if (token.tokenType !== t.Paste || left === undefined || right === undefined) {
      if (token.tokenType !== t.Paste) result.push(token);
      continue;
    }
    result.pop();
    result.push(...joined(left, right, origin));
    i++;
  }
  return result;
}

/** Two words as one, read again. */
export function joined(left: t.Token, right: t.Token, origin: Origin): t.Token[] {
  return tokensOf(left.image + right.image, spanOf(left, right, origin));
}

/** True where no blank stands between two tokens of one place. */
export function adjacent(left: t.Token, right: t.Token): boolean {
  return left.origin === right.origin && endOf(left) === right.startOffset;
}
