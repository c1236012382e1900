/** Own labels of remembered calls: they are not among the symbols. Only a source that writes such a label by its full name, `..@4.out`, can tell. */

import { serialIn } from './shared-names.ts';

/** Thrown where it matters that the lines and labels of a remembered call are not there: the source has to be assembled without any. */
export class SeesIntoCalls extends Error {}

export class HiddenLabels {
  /** Numbers of calls, those that follow one another in pairs: the first, and how many. */
  readonly #calls: number[] = [];
  /** Numbers of calls whose labels were defined from elsewhere. */
  readonly #named = new Set<number>();

  /** A call is remembered that takes so many numbers. */
  hide(first: number, count: number): void {
    this.#calls.push(first, count);
    if (this.#named.size === 0) return;
    for (let serial = first; serial < first + count; serial++) if (this.#named.has(serial)) throw new SeesIntoCalls();
  }

  /** A label is defined by this name in the call numbered `own`. */
  define(name: string, own: number | undefined): void {
    const serial = serialIn(name);
    if (serial === undefined || serial === own) return;
    this.#named.add(serial);
    this.miss(name);
  }

  /** A symbol of this name is not defined. */
  miss(name: string): void {
    const serial = serialIn(name);
    if (serial === undefined) return;
    for (let i = 0; i < this.#calls.length; i += 2) {
      const first = this.#calls[i]!;
      if (serial >= first && serial < first + this.#calls[i + 1]!) throw new SeesIntoCalls();
    }
  }
}
