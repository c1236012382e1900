/** Which objects take part in a link, and what each global name means: definitions win by strength, archives give what is missing. */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { didYouMean } from '../assembler/suggest.ts';
import { type Archive, memberObject } from './archive.ts';
import { withDebugSections } from './debug-sections.ts';
import type { ObjectFile, ObjectSymbol } from './object-file.ts';

/** Where a global name is defined. */
export interface Definition {
  readonly object: number;
  readonly symbol: ObjectSymbol;
}

export interface Resolution {
  readonly objects: readonly ObjectFile[];
  readonly definitions: ReadonlyMap<string, Definition>;
}

/** An undefined name and the first object that needs it. */
interface Wanted {
  readonly object: ObjectFile;
  readonly symbol: ObjectSymbol;
}

export class Resolver {
  readonly #archives: readonly Archive[];
  /** Names that the linker itself defines. */
  readonly #provided: (name: string) => boolean;
  readonly #objects: ObjectFile[] = [];
  readonly #definitions = new Map<string, Definition>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #loaded = new Set<string>();
  readonly diagnostics: Diagnostic[] = [];

  constructor(archives: readonly Archive[], provided: (name: string) => boolean) {
    this.#archives = archives;
    this.#provided = provided;
  }

  /** Takes the objects, then archive members as long as one defines something that is still missing. */
  resolve(objects: readonly ObjectFile[], entry: string): Resolution {
    for (const object of objects) this.#add(object);
    if (!this.#definitions.has(entry)) this.#load(entry);
    // The map grows while it is walked: members may want further names.
    for (const [name, { symbol }] of this.#wanted) {
      if (symbol.binding !== 'weak' && !this.#definitions.has(name)) this.#load(name);
    }
    for (const [name, wanted] of this.#wanted) {
      if (wanted.symbol.binding === 'weak' || this.#definitions.has(name) || this.#provided(name)) continue;
      this.#undefined(name, wanted);
    }
    return { objects: this.#objects, definitions: this.#definitions };
  }

  /** Every name that could be meant. */
  names(): string[] {
    return [...this.#definitions.keys(), ...this.#archives.flatMap((archive) => [...archive.index.keys()])];
  }

  #load(name: string): void {
    for (const archive of this.#archives) {
      const number = archive.index.get(name);
      const key = `${archive.name}:${number}`;
      if (number === undefined || this.#loaded.has(key)) continue;
      this.#loaded.add(key);
      this.#add(memberObject(archive, number));
      return;
    }
  }

  #add(source: ObjectFile): void {
    const object = withDebugSections(source);
    const number = this.#objects.length;
    this.#objects.push(object);
    for (const symbol of object.symbols) {
      if (symbol.binding === 'local') continue;
      if (symbol.section === 'undefined') this.#want(symbol, object);
      else this.#define(symbol, number);
    }
  }

  #want(symbol: ObjectSymbol, object: ObjectFile): void {
    const before = this.#wanted.get(symbol.name);
    if (before === undefined || (before.symbol.binding === 'weak' && symbol.binding !== 'weak')) {
      this.#wanted.set(symbol.name, { object, symbol });
    }
  }

  #define(symbol: ObjectSymbol, object: number): void {
    const before = this.#definitions.get(symbol.name);
    if (before === undefined || strength(symbol) > strength(before.symbol)) {
      this.#definitions.set(symbol.name, { object, symbol });
    } else if (strength(symbol) === STRONG && strength(before.symbol) === STRONG) {
      const where = `first defined in ${this.#objects[before.object]!.name}, again in ${this.#objects[object]!.name}`;
      this.#report(symbol, `symbol \`${symbol.name}\` is defined twice`, where);
    }
  }

  #undefined(name: string, { object, symbol }: Wanted): void {
    const hint = didYouMean(name, this.names());
    const where = symbol.reference === undefined ? [`referenced by ${object.name}`] : [];
    this.#report(symbol, `undefined symbol \`${name}\`${hint}`, ...where);
  }

  #report(symbol: ObjectSymbol, message: string, ...notes: string[]): void {
    this.diagnostics.push({ severity: 'error', message, span: symbol.reference, notes });
  }
}

const STRONG = 3;

function strength(symbol: ObjectSymbol): number {
  if (symbol.binding === 'weak') return 1;
  return symbol.section === 'common' ? 2 : STRONG;
}
