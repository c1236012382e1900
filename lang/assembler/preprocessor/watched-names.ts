/**
 * Which macro names the lines kept for reuse depend on. A line was looked at with the macros of its time; it may be used again as long as
 * none of the names that were looked up for it has got another meaning.
 */

export class WatchedNames {
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
    if (this.#names.has(name.toLowerCase())) this.version++;
  }
}
