/**
 * Single-line macros: expansion of `%define` and its kin (NASM manual §4.1–4.2). It works on tokens: a macro's name is replaced by its
 * body, and the result is looked at again, except for macros whose expansion it comes from.
 */

import { placed, spaced, spanOf, textOf, tokensOf, touches } from '../../syntax/lexer.ts';
import { quoteBytes } from '../../syntax/literals.ts';
import type { Origin, Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { ExpansionFault, MAX_TOKENS } from './expansion-fault.ts';
import { MacroNames, type Parameter, type SingleLineMacro } from './macro-names.ts';
import { isName, TokenRun } from './token-run.ts';
import type { WatchedNames } from './watched-names.ts';

/** Expansion as it goes on inside a macro: without the macros that are being expanded. */
export type Expand = (tokens: readonly t.Token[]) => readonly t.Token[];

/** What macro bodies may name besides macros. Each may throw {@link ExpansionFault}. */
export interface Surroundings {
  /** `%$name` → the symbol it stands for. */
  local(image: string, span: Span): string;
  /** `%!NAME` → the text of an environment variable. */
  environment(image: string, span: Span): string;
  /** `%name(…)` → the result of a preprocessor function, given its arguments unexpanded; undefined where there is no such function. */
  call(name: string, inside: readonly t.Token[], place: Span, expand: Expand): readonly t.Token[] | undefined;
  /** A number that must be known now. */
  number(tokens: readonly t.Token[], span: Span): bigint;
}

/** How deep macros may call each other. */
const MAX_DEPTH = 256;

/** A call found in a line: the macro, its arguments, and the index of the call's last token. */
interface Call {
  readonly macro: SingleLineMacro;
  readonly arguments: readonly (readonly t.Token[])[];
  readonly last: number;
}

export class SingleLineMacros {
  readonly names: MacroNames;
  /** Counts expansions that looked at more than their tokens and the macros: at a line number, a context, an environment variable. */
  impurities = 0;
  readonly #around: Surroundings;
  #budget = 0;
  /** Where the line begins that is being expanded; undefined where its first word came from elsewhere. */
  #line: Span | undefined;

  constructor(around: Surroundings, watched: WatchedNames) {
    this.names = new MacroNames(watched);
    this.#around = around;
  }

  /** The line with every macro call and every `%` form replaced; the same array where there is none. */
  expand(tokens: readonly t.Token[], origin: Origin): readonly t.Token[] {
    if (!this.#hasCalls(tokens)) return tokens;
    this.#budget = MAX_TOKENS;
    const first = tokens[0]!;
    this.#line = first.origin === undefined ? spanOf(first, first, origin) : undefined;
    return this.#expand(tokens, origin, NO_MACROS, 0);
  }

  /** True where a token is a form or has a macro's name. */
  #hasCalls(tokens: readonly t.Token[]): boolean {
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (isForm(token) || (isName(token) && this.names.defined(token.image))) return true;
    }
    return false;
  }

  #expand(line: readonly t.Token[], origin: Origin, active: ReadonlySet<string>, depth: number): readonly t.Token[] {
    // Most bodies and arguments.
    if (depth > 0 && !this.#hasCalls(line)) return line;
    const run = new TokenRun(origin);
    let tokens = line;
    for (let i = 0; i < tokens.length; i++) {
      const token = this.#localMacro(tokens[i]!, tokens[i + 1], origin) ?? tokens[i]!;
      const glued = i > 0 && touches(tokens[i - 1]!, tokens[i]!);
      if (isForm(token)) {
        i = this.#form(tokens, i, glued, run, { origin, active, depth });
        continue;
      }
      const call = isName(token) && !active.has(token.image) ? this.#call(token, tokens, i, origin) : undefined;
      if (call === undefined) {
        run.push(token, glued);
        continue;
      }
      const body = this.#body(call, token, spanOf(token, tokens[call.last]!, origin), active, depth);
      const end = body.at(-1);
      i = call.last;
      // A name that comes out last may be a call together with the parenthesis behind it.
      if (end !== undefined && isName(end) && tokens[i + 1]?.tokenType === t.LeftParen && !active.has(end.image)) {
        run.append(body.slice(0, -1), glued);
        tokens = [end, ...tokens.slice(i + 1)];
        active = new Set(active).add(token.image);
        i = -1;
      } else {
        run.append(body, glued);
      }
    }
    return run.joined && depth < MAX_DEPTH ? this.#expand(run.tokens, origin, active, depth + 1) : run.tokens;
  }

  /** The expansion of one call, expanded again. */
  #body(call: Call, name: t.Token, span: Span, active: ReadonlySet<string>, depth: number): readonly t.Token[] {
    const { origin } = span;
    if (depth >= MAX_DEPTH) throw new ExpansionFault(span, `macro \`${name.image}\` nests more than ${MAX_DEPTH} deep`);
    const { macro } = call;
    if (macro.computed !== undefined) this.impurities++;
    if (macro.computed !== undefined) return tokensOf(macro.computed(this.#line ?? span), span);
    // NASM 2.16 does not expand a macro in its own arguments either.
    const inner = new Set(active).add(name.image).add(macro.name);
    const actual = call.arguments.map((argument, i) => {
      const expanded = this.#expand(argument, origin, inner, depth + 1);
      const parameter = macro.parameters?.[Math.min(i, macro.parameters.length - 1)];
      if (parameter?.evaluated) this.impurities++;
      if (parameter?.evaluated) return tokensOf(`${this.#around.number(expanded, span)}`, span);
      return parameter?.quoted ? tokensOf(quoteBytes(new TextEncoder().encode(textOf(expanded))), span) : expanded;
    });
    const body = substitute(macro, actual, name.image, span);
    this.#budget -= body.length;
    if (this.#budget < 0) throw new ExpansionFault(span, `macro \`${name.image}\` makes this line too long`);
    return this.#expand(body, origin, inner, depth + 1);
  }

  /** Replaces what begins with `%`; returns the index of its last token. */
  #form(
    tokens: readonly t.Token[],
    at: number,
    glued: boolean,
    run: TokenRun,
    { origin, active, depth }: { origin: Origin; active: ReadonlySet<string>; depth: number },
  ): number {
    const token = tokens[at]!;
    const span = spanOf(token, token, origin);
    if (token.tokenType === t.Paste) {
      run.paste();
      return at;
    }
    this.impurities++;
    if (token.tokenType === t.MacroIndirect) {
      const end = closingBracket(tokens, at);
      if (end === undefined) throw new ExpansionFault(span, '`%[` has no closing `]`');
      run.insert(this.#expand(tokens.slice(at + 1, end), origin, active, depth + 1), glued);
      return end;
    }
    const { image } = token;
    const kind = image.charCodeAt(token.tokenType === t.MacroBrace ? 2 : 1);
    if (kind === DOLLAR) {
      const name = placed(tokensOf(this.#around.local(image, span), span)[0]!, span, glued);
      run.insert(this.names.defined(name.image) ? this.#expand([name], origin, active, depth + 1) : [name], glued);
      return at;
    }
    if (kind === BANG) {
      run.insert(tokensOf(this.#around.environment(image, span), span), glued);
      return at;
    }
    const next = tokens[at + 1];
    if (next?.tokenType === t.LeftParen && touches(token, next) && token.tokenType === t.MacroName) {
      const inside = parenthesized(tokens, at + 1);
      if (inside === undefined) throw new ExpansionFault(span, `the call of \`${image}\` has no closing \`)\``);
      const place = spanOf(token, tokens[inside.last]!, origin);
      const expand = (list: readonly t.Token[]) => this.#expand(list, origin, active, depth + 1);
      const result = this.#around.call(image.slice(1).toLowerCase(), inside.tokens, place, expand);
      if (result !== undefined) {
        run.append(result, glued);
        return inside.last;
      }
    }
    run.push(token, glued);
    return at;
  }

  /** `%$f(…)` where f is a macro with parameters, as the name that is called. */
  #localMacro(token: t.Token, next: t.Token | undefined, origin: Origin): t.Token | undefined {
    if (next?.tokenType !== t.LeftParen || !LOCAL.test(token.image)) return undefined;
    const span = spanOf(token, token, origin);
    const [name] = tokensOf(this.#around.local(token.image, span), span);
    return this.names.find(name!.image)[0]?.parameters === undefined ? undefined : name;
  }

  /** The macro that a name at `at` calls. */
  #call(name: t.Token, tokens: readonly t.Token[], at: number, origin: Origin): Call | undefined {
    const macros = this.names.find(name.image);
    if (macros.length === 0) return undefined;
    const plain = macros.find((macro) => macro.parameters === undefined);
    if (plain !== undefined) return { macro: plain, arguments: [], last: at };
    if (tokens[at + 1]?.tokenType !== t.LeftParen) return undefined;
    const inside = parenthesized(tokens, at + 1);
    if (inside === undefined) {
      throw new ExpansionFault(
        spanOf(name, tokens[at + 1]!, origin),
        `the call of macro \`${name.image}\` has no closing \`)\``,
      );
    }
    const list = callArguments(inside.tokens);
    const macro = macros.find((each) => each.parameters!.length === list.length);
    if (macro !== undefined && macro.parameters!.length > 0) return { macro, arguments: list, last: inside.last };
    if (list.length === 1 && list[0]!.length === 0) {
      const empty = macros.find((each) => each.parameters!.length === 0);
      if (empty !== undefined) return { macro: empty, arguments: [], last: inside.last };
    }
    const greedy = macros.find((each) => each.parameters!.at(-1)?.greedy && each.parameters!.length <= list.length);
    if (greedy === undefined) return undefined;
    return { macro: greedy, arguments: callArguments(inside.tokens, greedy.parameters!.length), last: inside.last };
  }
}

const NO_MACROS: ReadonlySet<string> = new Set();
const LOCAL = /^%\{?\$/;
const DOLLAR = 0x24;
const BANG = 0x21;

/** True of what begins with `%` and is not left to a multi-line macro or to the parser. */
function isForm(token: t.Token): boolean {
  const type = token.tokenType;
  return type === t.MacroName || type === t.MacroBrace || type === t.Paste || type === t.MacroIndirect;
}

/** What stands between the parenthesis at `open` and its partner, and the partner's index. */
function parenthesized(tokens: readonly t.Token[], open: number): { tokens: t.Token[]; last: number } | undefined {
  let [depth, braces] = [0, 0];
  for (let i = open; i < tokens.length; i++) {
    const type = tokens[i]!.tokenType;
    if (type === t.LeftBrace) braces++;
    else if (type === t.RightBrace) braces--;
    else if (type === t.LeftParen && braces === 0) depth++;
    else if (type === t.RightParen && braces === 0 && --depth === 0)
      return { tokens: tokens.slice(open + 1, i), last: i };
  }
  return undefined;
}

/** Token lists between the commas, at most `most`; braces protect commas and are taken off. */
export function callArguments(tokens: readonly t.Token[], most = Number.POSITIVE_INFINITY): t.Token[][] {
  const list: t.Token[][] = [[]];
  let [depth, braces] = [0, 0];
  for (const token of tokens) {
    const type = token.tokenType;
    if (type === t.LeftBrace && braces++ === 0) continue;
    if (type === t.RightBrace && --braces === 0) continue;
    if (braces === 0) {
      if (type === t.LeftParen) depth++;
      if (type === t.RightParen) depth--;
      if (type === t.Comma && depth === 0 && list.length < most) {
        list.push([]);
        continue;
      }
    }
    list.at(-1)!.push(token);
  }
  return list;
}

function closingBracket(tokens: readonly t.Token[], open: number): number | undefined {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const type = tokens[i]!.tokenType;
    if (type === t.MacroIndirect || type === t.LeftBracket) depth++;
    else if (type === t.RightBracket && --depth === 0) return i;
  }
  return undefined;
}

/** The body with arguments in place of parameters. Body tokens stand where the call stands; arguments keep their own places. */
function substitute(
  macro: SingleLineMacro,
  actual: readonly (readonly t.Token[])[],
  called: string,
  span: Span,
): readonly t.Token[] {
  const result: t.Token[] = [];
  for (let i = 0; i < macro.body.length; i++) {
    const token = macro.body[i]!;
    const glued = i > 0 && touches(macro.body[i - 1]!, token);
    const parameter =
      macro.parameters !== undefined && isName(token) ? parameterNamed(macro.parameters, token.image) : -1;
    if (parameter >= 0) {
      const argument = actual[parameter]!;
      for (let j = 0; j < argument.length; j++) result.push(j === 0 ? spaced(argument[0]!, glued) : argument[j]!);
    } else {
      const name = selfName(token, macro, called);
      const text = name === undefined ? token : tokensOf(name, span)[0]!;
      result.push(placed(text, span, glued));
    }
  }
  return result;
}

function parameterNamed(parameters: readonly Parameter[], name: string): number {
  for (let i = 0; i < parameters.length; i++) if (parameters[i]!.name === name) return i;
  return -1;
}

/** `%?` is the macro's name as called, `%??` as defined; with a star they mean it inside a multi-line macro, too. */
function selfName(token: t.Token, macro: SingleLineMacro, called: string): string | undefined {
  if (token.image === '%?' || token.image === '%*?') return called;
  return token.image === '%??' || token.image === '%*??' ? macro.name : undefined;
}
