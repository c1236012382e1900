/**
 * Extended page tables: what an entry means, and the walk that the processor makes (SDM vol. 3C ch. 28.3). The tables are
 * 64-bit words in host RAM; this file only reads them, apart from accessed and dirty bits.
 */

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

const LEVELS = 4;
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

/** Index of `address` in the table of `level`. */
export const tableIndex = (address: number, level: number): number => Math.floor(address / SPANS[level]!) & 511;
/** Bytes that one entry of `level` spans. */
export const levelBytes = (level: number): number => SPANS[level]!;

/** Reserved combinations: write without read; execute-only, which this processor has not; a reserved memory type; reserved bits. */
function isMisconfigured(entry: bigint, level: number): boolean {
  const rwx = entry & EPT.RWX;
  if (rwx === EPT.WRITE || rwx === (EPT.WRITE | EPT.EXECUTE) || rwx === EPT.EXECUTE) return true;
  const leaf = level === 1 || (entry & EPT.LARGE_PAGE) !== 0n;
  if (!leaf) return (entry & 0x78n) !== 0n;
  if (level === 4) return true;
  const type = (entry >> EPT.MEMORY_TYPE_SHIFT) & 7n;
  if (type === 2n || type === 3n || type === 7n) return true;
  return level > 1 && (entry & EPT.ADDRESS_MASK & BigInt(levelBytes(level) - 1)) !== 0n;
}

/** Walk the tables of `eptp` for `address`, as the processor does: presence first, then misconfiguration, rights ANDed. */
export function walkEpt(memory: PhysicalMemory, eptp: number, address: Gpa): EptWalk {
  const steps: EptStep[] = [];
  let table = eptp - (eptp % 4096);
  let rights = 7;
  for (let level = LEVELS; ; level--) {
    const at = (table + tableIndex(address, level) * 8) as Hpa;
    const entry = memory.readEntry(at);
    steps.push({ level, at, entry });
    if ((entry & EPT.RWX) === 0n) return { outcome: 'not-present', steps, rights: 0 };
    if (isMisconfigured(entry, level)) return { outcome: 'misconfigured', steps, rights: 0 };
    rights &= Number(entry & EPT.RWX);
    const target = Number(entry & EPT.ADDRESS_MASK);
    if (level === 1 || (entry & EPT.LARGE_PAGE) !== 0n) {
      const pageBytes = levelBytes(level);
      return { outcome: 'mapped', steps, host: (target + (address % pageBytes)) as Hpa, pageBytes, rights };
    }
    table = target;
  }
}

/** Set the accessed bits along a successful walk, and the leaf's dirty bit for a write, if the EPTP enables them. */
export function markAccessed(memory: PhysicalMemory, eptp: number, walk: EptWalk, write: boolean): void {
  if ((eptp & EPTP.ACCESSED_DIRTY) === 0) return;
  walk.steps.forEach(({ at, entry }, index) => {
    const leaf = index === walk.steps.length - 1;
    const marked = entry | EPT.ACCESSED | (leaf && write ? EPT.DIRTY : 0n);
    if (marked !== entry) memory.writeEntry(at, marked);
  });
}
