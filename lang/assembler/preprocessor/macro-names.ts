/** The table of single-line macros by name: those that heed case, those that do not, and aliases (NASM manual §4.1.1–4.1.10). */

import type { Span } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { WatchedNames } from './watched-names.ts';

/** A parameter of `%define name(a, =b, &c, d+)`. */
export interface Parameter {
  readonly name: string;
  /** `=`: the argument is a number that is worked out at the call. */
  readonly evaluated: boolean;
  /** `&`: the argument's text as a string. */
  readonly quoted: boolean;
  /** `+`: takes the rest of the arguments, commas included. */
  readonly greedy: boolean;
}

export interface SingleLineMacro {
  readonly name: string;
  /** Undefined: defined without parentheses. Names are as written. */
  readonly parameters: readonly Parameter[] | undefined;
  readonly body: readonly Token[];
  readonly ignoreCase: boolean;
  /** Text that depends on the line of the call (`__?LINE?__`), instead of `body`. */
  readonly computed?: (line: Span) => string;
  /** `%defalias`: the name it stands for. */
  readonly alias?: string;
}

export class MacroNames {
  readonly #byName = new Map<string, readonly SingleLineMacro[]>();
  readonly #ignoringCase = new Map<string, readonly SingleLineMacro[]>();
  readonly #watched: WatchedNames;
  /** `%aliases off`: an alias is a name like any other, and one that is not defined. */
  #followsAliases = true;

  constructor(watched: WatchedNames) {
    this.#watched = watched;
  }

  /** Defines a macro; returns false where the name has a meaning with parentheses and this is without, or the reverse. */
  define(macro: SingleLineMacro): boolean {
    const name = macro.alias === undefined ? this.#target(macro.name) : macro.name;
    const [table, key] = macro.ignoreCase ? [this.#ignoringCase, name.toLowerCase()] : [this.#byName, name];
    // What takes an alias's place takes it whole.
    const before = (table.get(key) ?? NONE).filter((other) => other.alias === undefined || macro.alias !== undefined);
    // NASM keeps macros of different parameter counts side by side, but not with and without parentheses.
    const kept = before.filter(
      (other) => (other.parameters === undefined) === (macro.parameters === undefined) && !sameShape(other, macro),
    );
    table.set(key, [...kept, macro]);
    this.#watched.changed(key);
    return before.every((other) => (other.parameters === undefined) === (macro.parameters === undefined));
  }

  undefine(name: string): void {
    const target = this.#target(name);
    if (this.#byName.get(target)?.[0]?.alias === undefined) this.#byName.delete(target);
    this.#ignoringCase.delete(target.toLowerCase());
    this.#watched.changed(target);
  }

  /** Takes an alias away, not what it stands for. */
  undefineAlias(name: string): void {
    if (this.#byName.get(name)?.[0]?.alias === undefined) return;
    this.#byName.delete(name);
    this.#watched.changed(name);
  }

  /** The name that an alias stands for; undefined where `name` is no alias. */
  aliasOf(name: string): string | undefined {
    return this.#byName.get(name)?.[0]?.alias;
  }

  /** Forgets the names that begin with `prefix`: those of a context that has ended. */
  forget(prefix: string): void {
    for (const table of [this.#byName, this.#ignoringCase]) {
      for (const name of table.keys()) {
        if (!name.startsWith(prefix)) continue;
        table.delete(name);
        this.#watched.changed(name);
      }
    }
  }

  followAliases(on: boolean): void {
    if (this.#followsAliases !== on) this.#watched.version++;
    this.#followsAliases = on;
  }

  defined(name: string): boolean {
    return this.find(name).length > 0;
  }

  find(name: string): readonly SingleLineMacro[] {
    this.#watched.lookedUp(name);
    const exact = this.#byName.get(name);
    if (exact !== undefined) {
      const { alias } = exact[0]!;
      if (alias === undefined) return exact;
      return this.#followsAliases ? this.find(alias) : NONE;
    }
    if (this.#ignoringCase.size === 0) return NONE;
    return this.#ignoringCase.get(name.toLowerCase()) ?? NONE;
  }

  #target(name: string): string {
    const alias = this.#followsAliases ? this.#byName.get(name)?.[0]?.alias : undefined;
    return alias === undefined ? name : this.#target(alias);
  }
}

const NONE: readonly SingleLineMacro[] = [];

function sameShape(a: SingleLineMacro, b: SingleLineMacro): boolean {
  return a.parameters?.length === b.parameters?.length;
}
