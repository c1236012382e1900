/**
 * The last walks of the guest's tables: while no entry that a walk has read has changed, the same walk finds the same. Unlike the
 * TLB this keeps nothing that a processor would not see, so it also serves pages that the TLB must not hold: those of devices,
 * each access to which is a walk.
 */

import type { PhysicalMemory } from '../physical-memory.ts';

const PLACES = 16;
const LEVELS = 4;
/** Of each entry read: the index of its low word in RAM, its low and its high half. */
const ENTRY_WORDS = 3;

/** One walk that ended in a page. */
export interface GuestWalk {
  /** Linear address of the page (4 KiB of a larger one); NaN if this is none. */
  page: number;
  /** Guest physical address of it. */
  physical: number;
  /** The entries' bits ANDed, and whether one of them forbids to execute. */
  flags: number;
  noExecute: boolean;
  large: boolean;
  /** The leaf has its dirty bit. */
  dirty: boolean;
  /** What must be the same of the nested tables: their entries are not looked at. */
  generation: number;
  /** Level 4 first; a walk that ended above level 1 has its last one in the place of those below. */
  readonly entries: Int32Array;
}

/** The walks of one vCPU, a place by the page's number. */
export class GuestWalks {
  readonly #words: Int32Array;
  readonly #walks: readonly GuestWalk[] = Array.from({ length: PLACES }, () => ({
    page: Number.NaN,
    physical: 0,
    flags: 0,
    noExecute: false,
    large: false,
    dirty: false,
    generation: 0,
    entries: new Int32Array(LEVELS * ENTRY_WORDS),
  }));

  constructor(memory: PhysicalMemory) {
    this.#words = memory.words;
  }

  /** The walk for the linear page, if it would go the same way now. Hot, and without a loop. */
  find(page: number, generation: number): GuestWalk | undefined {
    const walk = this.#walks[(page >>> 12) & (PLACES - 1)]!;
    if (walk.page !== page || walk.generation !== generation) return undefined;
    const { entries } = walk;
    const words = this.#words;
    const one = entries[0]!;
    const two = entries[3]!;
    const three = entries[6]!;
    const four = entries[9]!;
    const same =
      words[four] === entries[10] &&
      words[four + 1] === entries[11] &&
      words[three] === entries[7] &&
      words[three + 1] === entries[8] &&
      words[two] === entries[4] &&
      words[two + 1] === entries[5] &&
      words[one] === entries[1] &&
      words[one + 1] === entries[2];
    return same ? walk : undefined;
  }

  /** The place of a walk for `page` that read the entries at host offsets `hosts`, from level 4 down to `leaf`: for the caller to fill in. */
  place(page: number, hosts: Int32Array, leaf: number): GuestWalk {
    const walk = this.#walks[(page >>> 12) & (PLACES - 1)]!;
    const { entries } = walk;
    const words = this.#words;
    let at = 0;
    for (let level = LEVELS; level > 0; level--) {
      const word = hosts[Math.max(level, leaf)]! >> 2;
      entries[at++] = word;
      entries[at++] = words[word]!;
      entries[at++] = words[word + 1]!;
    }
    walk.page = page;
    return walk;
  }

  /** Something that no entry tells is about to change. */
  forget(): void {
    for (const walk of this.#walks) walk.page = Number.NaN;
  }
}
