/** The multi-line macros that are defined: several may share a name if they differ in their number of parameters. */

import * as t from '../../syntax/tokens.ts';
import { type MultiLineMacro, splitArguments } from './multi-line.ts';
import { isName } from './token-run.ts';
import type { WatchedNames } from './watched-names.ts';

export class MacroTable {
  readonly #byName = new Map<string, MultiLineMacro[]>();
  /** Macros that were ever defined by `%imacro`; 0 spares the look-up in lower case. */
  #ignoringCase = 0;
  #standard = 0;
  readonly #watched: WatchedNames;

  constructor(watched: WatchedNames) {
    this.#watched = watched;
  }

  define(macro: MultiLineMacro): void {
    const key = macro.ignoreCase ? macro.name.toLowerCase() : macro.name;
    if (macro.ignoreCase) this.#ignoringCase++;
    const others = (this.#byName.get(key) ?? []).filter(
      (other) => other.minimum !== macro.minimum || other.ignoreCase !== macro.ignoreCase,
    );
    this.#byName.set(key, [macro, ...others]);
    this.#watched.changed(key);
  }

  /** `%unmacro`: the one macro with exactly these numbers of parameters. */
  remove(name: string, numbers: ParameterNumbers, ignoreCase: boolean): void {
    const key = ignoreCase ? name.toLowerCase() : name;
    const kept = (this.#byName.get(key) ?? []).filter(
      (macro) =>
        macro.minimum !== numbers.minimum || macro.maximum !== numbers.maximum || macro.greedy !== numbers.greedy,
    );
    if (kept.length === 0) this.#byName.delete(key);
    else this.#byName.set(key, kept);
    this.#watched.changed(key);
  }

  /** `%ifmacro`: a macro of exactly that name that takes a number of parameters in the range. */
  has(name: string, { minimum, maximum, greedy }: ParameterNumbers): boolean {
    const macros = [...(this.#byName.get(name) ?? []), ...(this.#byName.get(name.toLowerCase()) ?? [])];
    return macros.some(
      (macro) =>
        macro.name === name && (macro.minimum <= maximum || greedy) && (macro.maximum >= minimum || macro.greedy),
    );
  }

  /** Says that what is defined so far is NASM's own. */
  markStandard(): void {
    this.#standard = this.#byName.size;
    for (const [key, macros] of this.#byName) {
      this.#byName.set(
        key,
        macros.map((macro) => ({ ...macro, standard: true })),
      );
    }
  }

  /** False while there are none but NASM's. */
  get areOwn(): boolean {
    return this.#byName.size > this.#standard;
  }

  /** True of a word that a macro has as its name, in this spelling. */
  isNamed(word: string): boolean {
    return this.#byName.has(word);
  }

  /** Names for a suggestion. */
  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** Macros that a word may call, or undefined. */
  find(token: t.Token | undefined): readonly MultiLineMacro[] | undefined {
    if (token === undefined || !isName(token)) return undefined;
    this.#watched.lookedUp(token.image);
    const exact = this.#byName.get(token.image);
    if (exact !== undefined) return exact;
    if (this.#ignoringCase === 0) return undefined;
    const others = this.#byName.get(token.image.toLowerCase())?.filter((macro) => macro.ignoreCase);
    return others?.length === 0 ? undefined : others;
  }
}

/** A macro with what it is called with. */
export interface Chosen {
  readonly macro: MultiLineMacro;
  readonly given: readonly (readonly t.Token[])[];
}

/** The macro that takes these arguments, or what is wrong with them. */
export function choose(macros: readonly MultiLineMacro[], rest: readonly t.Token[]): Chosen | string {
  for (const macro of macros) {
    // `0+` takes whatever there is, and has none of it.
    const given = macro.greedy && macro.maximum === 0 ? [] : splitArguments(rest, macro.maximum, macro.greedy);
    if (given.length < macro.minimum || given.length > macro.maximum) continue;
    // NASM drops an empty one at the end (its warning pp-macro-params-legacy).
    if (given.length > 1 && given.at(-1)!.length === 0 && rest.at(-1)!.tokenType === t.Comma) given.pop();
    const isBraced = macro.greedy && macro.maximum > 0 && rest.some(({ tokenType }) => tokenType === t.LeftBrace);
    return isBraced ? withBraces(macro, rest, given) : { macro, given };
  }
  return `macro \`${macros[0]!.name}\` takes ${macros.map(parameterCount).join(' or ')}`;
}

/**
 * The last parameter of a greedy macro has its braces as they stand, unless it begins with one: then NASM takes what is in them, and drops
 * what follows.
 */
function withBraces(macro: MultiLineMacro, rest: readonly t.Token[], given: t.Token[][]): Chosen | string {
  if (given.length < macro.maximum) return { macro, given };
  let [depth, commas, start] = [0, 0, 0];
  for (let i = 0; commas < macro.maximum - 1; i++) {
    const { tokenType } = rest[i]!;
    if (tokenType === t.LeftBrace) depth++;
    else if (tokenType === t.RightBrace) depth--;
    else if (tokenType === t.Comma && depth === 0) [commas, start] = [commas + 1, i + 1];
  }
  const last = rest.slice(start);
  if (last[0]?.tokenType !== t.LeftBrace) return { macro, given: [...given.slice(0, -1), last] };
  const opened = last.map(({ tokenType }) => (tokenType === t.LeftBrace ? 1 : tokenType === t.RightBrace ? -1 : 0));
  const closing = opened.findIndex(
    (_, at) => opened.slice(0, at + 1).reduce<number>((sum, each) => sum + each, 0) === 0,
  );
  if (closing === last.length - 1) return { macro, given };
  return `NASM drops what follows the braces in the last parameter of \`${macro.name}\`: leave them away`;
}

/** How many parameters a macro takes. */
export type ParameterNumbers = Pick<MultiLineMacro, 'minimum' | 'maximum' | 'greedy'>;

/** `2`, `1-3`, `1-*`, `0+`, `1-2 default, default`. */
export function macroHeader(
  tokens: readonly t.Token[],
): (ParameterNumbers & Pick<MultiLineMacro, 'defaults' | 'unlisted'>) | undefined {
  const read = readNumbers(tokens);
  if (read === undefined) return undefined;
  let { length } = read;
  // `1.nolist` is one word to the lexer.
  const apart = tokens[length]?.image.toLowerCase() === '.nolist';
  const unlisted = apart || /\.nolist$/i.test(tokens[length - 1]!.image);
  if (apart) length++;
  const defaults = splitArguments(tokens.slice(length), Number.POSITIVE_INFINITY, false);
  return { ...read.numbers, defaults, unlisted };
}

/** `2`, `1-3` … and nothing behind it, as `%unmacro` and `%ifmacro` name a macro. */
export function parameterNumbers(tokens: readonly t.Token[]): ParameterNumbers | undefined {
  const read = readNumbers(tokens);
  return read?.length === tokens.length ? read.numbers : undefined;
}

function readNumbers(tokens: readonly t.Token[]): { numbers: ParameterNumbers; length: number } | undefined {
  let at = 0;
  // `1.nolist` is one word to the lexer.
  const number = () => {
    const word = tokens[at++];
    return word?.tokenType === t.Numeral ? Number(word.image.replace(/\.nolist$/i, '')) : Number.NaN;
  };
  const minimum = number();
  if (!Number.isInteger(minimum)) return undefined;
  let maximum = minimum;
  if (tokens[at]?.tokenType === t.Minus) {
    at++;
    if (tokens[at]?.image === '*') {
      maximum = Number.POSITIVE_INFINITY;
      at++;
    } else {
      maximum = number();
      if (!(maximum >= minimum)) return undefined;
    }
  }
  const greedy = tokens[at]?.tokenType === t.Plus;
  return { numbers: { minimum, maximum, greedy }, length: greedy ? at + 1 : at };
}

function parameterCount(macro: MultiLineMacro): string {
  const { minimum, maximum } = macro;
  if (minimum === maximum) return minimum === 1 ? '1 parameter' : `${minimum} parameters`;
  return maximum === Number.POSITIVE_INFINITY
    ? `at least ${minimum} parameters`
    : `${minimum} to ${maximum} parameters`;
}
