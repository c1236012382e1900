/**
 * Extended page tables: what an entry means, and the walk that the processor makes (SDM vol. 3C ch. 28.3). The tables are
 * 64-bit words in host RAM; this file only reads them, apart from accessed and dirty bits.
 */

import { strict as assert } from 'node:assert';
import type { Gpa, Hpa } from '../address.ts';
import type { PhysicalMemory } from './physical-memory.ts';

/** Bits of an EPT entry. */
export const EPT = {
  READ: 1n << 0n,
  WRITE: 1n << 1n,
  EXECUTE: 1n << 2n,
  RWX: 7n,
  /** Memory type of a leaf, bits 5:3. */
  MEMORY_TYPE_SHIFT: 3n,
  MEMORY_TYPE_UC: 0n,
  MEMORY_TYPE_WB: 6n,
  IGNORE_PAT: 1n << 6n,
  /** A leaf at level 2 (2 MiB) or 3 (1 GiB). */
  LARGE_PAGE: 1n << 7n,
  ACCESSED: 1n << 8n,
  DIRTY: 1n << 9n,
  ADDRESS_MASK: 0x000f_ffff_ffff_f000n,
} as const;

/** Fields of the EPT pointer in the VMCS. */
export const EPTP = {
  MEMORY_TYPE_WB: 6,
  WALK_LENGTH_4: 3 << 3,
  ACCESSED_DIRTY: 1 << 6,
} as const;

/** Of a walk. */
export const EPT_LEVELS = 4;
/** 2⁻³². */
const PER_4_GIB = 1 / 2 ** 32;
/** By level; a power is too slow for the walk. */
const SPANS = [0, 2 ** 12, 2 ** 21, 2 ** 30, 2 ** 39] as const;

/** One table entry that a walk read. Level 4 is the root's, 1 maps a 4 KiB page. */
export interface EptStep {
  readonly level: number;
  readonly at: Hpa;
  readonly entry: bigint;
}

/** Where a walk ended. `rights` is the AND of the R, W and X bits on the way. */
export type EptWalk =
  | {
      readonly outcome: 'mapped';
      readonly steps: readonly EptStep[];
      readonly host: Hpa;
      readonly pageBytes: number;
      readonly rights: number;
    }
  | { readonly outcome: 'not-present' | 'misconfigured'; readonly steps: readonly EptStep[]; readonly rights: number };

/** The 32-bit halves of an address, signed: small integers for the engine, which divides doubles longer than all else that a walk does. */
const lowOf = (address: number): number => address | 0;
const highOf = (address: number): number => Math.floor(address * PER_4_GIB) | 0;

function indexAt(low: number, high: number, level: number): number {
  if (level === 1) return (low >>> 12) & 511;
  if (level === 2) return (low >>> 21) & 511;
  if (level === 3) return ((low >>> 30) | (high << 2)) & 511;
  return (high >> 7) & 511;
}

/** Index of `address` in the table of `level`. */
export const tableIndex = (address: number, level: number): number => indexAt(lowOf(address), highOf(address), level);
/** Bytes that one entry of `level` spans. */
export const levelBytes = (level: number): number => SPANS[level]!;

/** An EPT pointer to no tables: what KVM leaves a processor with between a root that is gone and the next entry. */
export const EPTP_NONE = -1;

/** Where a walk ended. */
export const EPT_OUTCOME = { MAPPED: 0, NOT_PRESENT: 1, MISCONFIGURED: 2 } as const;
export type EptOutcome = (typeof EPT_OUTCOME)[keyof typeof EPT_OUTCOME];

const ENTRY_BYTES_SHIFT = 3;
/** The bits that a walk looks at, all in the low half of an entry. */
const READ = Number(EPT.READ);
const WRITE = Number(EPT.WRITE);
const EXECUTE = Number(EPT.EXECUTE);
const RWX = Number(EPT.RWX);
const LARGE_PAGE = Number(EPT.LARGE_PAGE);
const ACCESSED = Number(EPT.ACCESSED);
const DIRTY = Number(EPT.DIRTY);
const LOW_ADDRESS = 0xffff_f000;
const HIGH_ADDRESS = 0xf_ffff;
const TWO_TO_32 = 2 ** 32;
/** Bits 6:3 of an entry that refers to a table. */
const TABLE_RESERVED = 0x78;

/**
 * Reserved combinations: write without read; execute-only, which this processor has not; a reserved memory type; reserved
 * bits. `low` is the entry's low half: the reserved ones are all there.
 */
function isMisconfigured(low: number, level: number): boolean {
  if ((low & READ) === 0 && (low & (WRITE | EXECUTE)) !== 0) return true;
  const leaf = level === 1 || (low & LARGE_PAGE) !== 0;
  if (!leaf) return (low & TABLE_RESERVED) !== 0;
  if (level === EPT_LEVELS) return true;
  const type = (low >> Number(EPT.MEMORY_TYPE_SHIFT)) & 7;
  if (type === 2 || type === 3 || type === 7) return true;
  return level > 1 && (low & LOW_ADDRESS & (SPANS[level]! - 1)) !== 0;
}

/**
 * The processor's walk: presence first, then misconfiguration, rights ANDed. Hot: the result stands in the walker's fields
 * until the next walk, and entries are read as two halves, because a bigint of each would be four or more allocations a walk.
 */
export class EptWalker {
  readonly #memory: PhysicalMemory;
  /** Where the entries that the last walk read stand, the root's first; {@link depth} of them count. */
  readonly places = new Int32Array(EPT_LEVELS);
  depth = 0;
  /** AND of the R, W and X bits on the way; 0 unless the walk ended in a page. */
  rights = 0;
  /** Host address of the walked guest address, and the size of its page; only for EPT_OUTCOME.MAPPED. */
  host = 0;
  pageBytes = 0;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Walk the tables of `eptp` for `address`. */
  walk(eptp: number, address: number): EptOutcome {
    const { words } = this.#memory;
    const low = lowOf(address);
    const high = highOf(address);
    // Tables are offsets in RAM, of which there is less than an int32 holds.
    let table = eptp & ~4095;
    let rights = RWX;
    this.rights = 0;
    if (eptp === EPTP_NONE) return this.#ended(EPT_LEVELS + 1, EPT_OUTCOME.NOT_PRESENT);
    for (let level = EPT_LEVELS; ; level--) {
      const at = table + (indexAt(low, high, level) << ENTRY_BYTES_SHIFT);
      const entry = words[at >> 2]!;
      this.places[EPT_LEVELS - level] = at;
      if ((entry & RWX) === 0) return this.#ended(level, EPT_OUTCOME.NOT_PRESENT);
      if (isMisconfigured(entry, level)) return this.#ended(level, EPT_OUTCOME.MISCONFIGURED);
      rights &= entry;
      const above = words[(at >> 2) + 1]! & HIGH_ADDRESS;
      if (level === 1 || (entry & LARGE_PAGE) !== 0) {
        this.pageBytes = SPANS[level]!;
        this.host = above * TWO_TO_32 + ((entry & LOW_ADDRESS) >>> 0) + (low & (this.pageBytes - 1));
        this.rights = rights;
        return this.#ended(level, EPT_OUTCOME.MAPPED);
      }
      table = entry & LOW_ADDRESS;
      assert(above === 0 && table > 0, 'a table of the EPT lies beyond the host’s RAM');
    }
  }

  #ended(level: number, outcome: EptOutcome): EptOutcome {
    this.depth = EPT_LEVELS - level + 1;
    return outcome;
  }

  /** The leaf of the last walk, which ended in a page, has its dirty bit set. */
  get dirty(): boolean {
    return (this.#memory.words[this.places[this.depth - 1]! >> 2]! & DIRTY) !== 0;
  }

  /** Set the accessed bits along the last walk, which ended in a page, and the leaf's dirty bit for a write. */
  markAccessed(write: boolean): void {
    const { words } = this.#memory;
    const leaf = this.depth - 1;
    for (let step = 0; step <= leaf; step++) {
      const at = this.places[step]! >> 2;
      words[at] = words[at]! | (step === leaf && write ? ACCESSED | DIRTY : ACCESSED);
    }
  }
}

/** The walk of {@link EptWalker} with every entry on the way, for reports. */
export function walkEpt(memory: PhysicalMemory, eptp: number, address: Gpa): EptWalk {
  const walker = new EptWalker(memory);
  const outcome = walker.walk(eptp, address);
  const steps = [...walker.places.subarray(0, walker.depth)].map((at, step) => ({
    level: EPT_LEVELS - step,
    at: at as Hpa,
    entry: memory.readEntry(at as Hpa),
  }));
  const { rights, host, pageBytes } = walker;
  if (outcome === EPT_OUTCOME.MAPPED) return { outcome: 'mapped', steps, host: host as Hpa, pageBytes, rights };
  return { outcome: outcome === EPT_OUTCOME.NOT_PRESENT ? 'not-present' : 'misconfigured', steps, rights };
}
