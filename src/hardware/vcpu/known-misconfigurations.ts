/**
 * The last walks of the nested tables that ended in a misconfigured entry, as each access to a register without a memory slot does. No
 * translation comes of them that a processor could keep, so each is a walk; but while the entries on its way are the same, its end is. As with the
 * guest's own (guest-walks.ts), whoever writes the tables need not tell.
 */

import { EPT_LEVELS, type EptWalker } from '../ept.ts';
import type { PhysicalMemory } from '../physical-memory.ts';

const PLACES = 16;
/** Of each entry read: the index of its low half in RAM, and that. The high half tells of nothing: tables lie below 4 GiB, and a leaf's is not looked at. */
const ENTRY_WORDS = 2;
const WALK_WORDS = EPT_LEVELS * ENTRY_WORDS;

/** The walks of one vCPU, a place by the page's number. */
export class KnownMisconfigurations {
  readonly #words: Int32Array;
  readonly #pages = new Float64Array(PLACES).fill(Number.NaN);
  readonly #entries = new Int32Array(PLACES * WALK_WORDS);

  constructor(memory: PhysicalMemory) {
    this.#words = memory.words;
  }

  /** Whether a walk for the guest physical page would end so now. Hot, and without a loop. */
  holds(page: number): boolean {
    const place = (page >>> 12) & (PLACES - 1);
    if (this.#pages[place] !== page) return false;
    const entries = this.#entries;
    const words = this.#words;
    const at = place * WALK_WORDS;
    return (
      words[entries[at + 6]!] === entries[at + 7] &&
      words[entries[at + 4]!] === entries[at + 5] &&
      words[entries[at + 2]!] === entries[at + 3] &&
      words[entries[at]!] === entries[at + 1]
    );
  }

  /** The last walk of `walker`, for the page, has ended so. */
  keep(page: number, { depth, places }: EptWalker): void {
    // Only of the last level are there many.
    if (depth < EPT_LEVELS) return;
    const place = (page >>> 12) & (PLACES - 1);
    this.#pages[place] = page;
    let at = place * WALK_WORDS;
    for (const entry of places) {
      const word = entry >> 2;
      this.#entries[at++] = word;
      this.#entries[at++] = this.#words[word]!;
    }
  }

  /** The tables are others. */
  forget(): void {
    this.#pages.fill(Number.NaN);
  }
}
