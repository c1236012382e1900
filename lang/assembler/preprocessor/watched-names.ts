/**
 * Which macro names the lines kept for reuse depend on. A line was looked at with the macros of its time; it may be used again as long as
 * none of the names that were looked up for it has got another meaning.
 */

import { isRegisterWord } from './call-words.ts';

export class WatchedNames {
  /** False once a macro has the name of a register: then that is no word like any other of its kind. */
  areRegistersPlain = true;
  /** Changes whenever a watched name changes its meaning. */
  version = 0;
  /** While true, every name that is looked up is watched from then on. */
  watching = false;
  /** As they were written; in lower case. */
  readonly #spellings = new Set<string>();
  readonly #names = new Set<string>();

  lookedUp(name: string): void {
    if (!this.watching || this.#spellings.has(name)) return;
    this.#spellings.add(name);
    this.#names.add(name.toLowerCase());
  }

  changed(name: string): void {
    const lower = name.toLowerCase();
    const isRegister = this.areRegistersPlain && isRegisterWord(lower);
    if (isRegister) this.areRegistersPlain = false;
    if (isRegister || this.#names.has(lower)) this.version++;
  }
}
