/** What is asked of the translator of a vCPU, and what it tells. */

/** When code is translated, and how much of it. */
export interface Eagerness {
  /** Entries of a block before it counts as hot. */
  readonly threshold: number;
  /** Entries before the first block does, for which the translator has to be loaded; the same if absent. */
  readonly first?: number;
  /** Whether to follow branches that have not been taken yet. */
  readonly eager: boolean;
}

/** What the translator of one vCPU has done. The times are the machine's, and tell nothing to the guest. */
export interface TranslationStatistics {
  regions: number;
  /** Guest instructions in them. */
  instructions: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Time spent translating, and the longest single translation. */
  milliseconds: number;
  longest: number;
  /** Regions dropped for room, and because their code was written. */
  evicted: number;
  invalidated: number;
}
