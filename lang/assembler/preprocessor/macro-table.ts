/** The multi-line macros that are defined: several may share a name if they differ in their number of parameters. */

import * as t from '../../syntax/tokens.ts';
import { type MultiLineMacro, splitArguments } from './multi-line.ts';
import { isName } from './single-line.ts';

export class MacroTable {
  readonly #byName = new Map<string, MultiLineMacro[]>();

  get size(): number {
    return this.#byName.size;
  }

  define(macro: MultiLineMacro): void {
    const key = macro.ignoreCase ? macro.name.toLowerCase() : macro.name;
    const others = (this.#byName.get(key) ?? []).filter((other) => other.minimum !== macro.minimum);
    this.#byName.set(key, [macro, ...others]);
  }

  remove(name: string): void {
    this.#byName.delete(name);
  }

  /** Macros that a word may call, or undefined. */
  find(token: t.Token | undefined): readonly MultiLineMacro[] | undefined {
    if (token === undefined || !isName(token)) return undefined;
    const exact = this.#byName.get(token.image);
    if (exact !== undefined) return exact;
    const others = this.#byName.get(token.image.toLowerCase())?.filter((macro) => macro.ignoreCase);
    return others?.length === 0 ? undefined : others;
  }
}

/** The macro that takes these arguments, or what is wrong with them. */
export function choose(macros: readonly MultiLineMacro[], rest: readonly t.Token[]): MultiLineMacro | string {
  const fits = macros.find((macro) => {
    const count = splitArguments(rest, macro.maximum, macro.greedy).length;
    return count >= macro.minimum && count <= macro.maximum;
  });
  return fits ?? `macro \`${macros[0]!.name}\` takes ${macros.map(parameterCount).join(' or ')}`;
}

/** `2`, `1-3`, `1-*`, `0+`, `1-2 default, default`. */
export function macroHeader(
  tokens: readonly t.Token[],
): Omit<MultiLineMacro, 'name' | 'body' | 'ignoreCase'> | undefined {
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
