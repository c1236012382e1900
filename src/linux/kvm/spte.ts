/**
 * The words KVM writes into EPT (arch/x86/kvm/mmu/spte.[ch] of Linux 6.1; what the CPU makes of them: hardware/ept.ts).
 * KVM keeps notes in the bits that the CPU ignores.
 */

import { type Gpa, type Hpa, PAGE_SIZE } from '../../address.ts';
import { EPT, EPTP } from '../../hardware/ept.ts';

/** Software: the entry is KVM's and maps something. */
const SPTE_MMU_PRESENT = 1n << 11n;
/** Software: KVM does without accessed and dirty bits in this entry. */
const SPTE_AD_DISABLED = 1n << 52n;
/** Software: read and execute of an access-tracked entry, while it has no permissions. */
const SAVED_SHIFT = 54n;
const SAVED_MASK = (EPT.READ | EPT.EXECUTE) << SAVED_SHIFT;
/** Software: the host page may be written. */
const SPTE_HOST_WRITABLE = 1n << 57n;
/** Software: the guest may write once dirty logging is satisfied. */
const SPTE_MMU_WRITABLE = 1n << 58n;

/** EPTP: write-back, page-walk length 4, accessed and dirty flags if the CPU has them (construct_eptp). */
export const eptPointer = (root: Hpa, accessedDirty: boolean): number =>
  root + (EPTP.MEMORY_TYPE_WB | EPTP.WALK_LENGTH_4 | (accessedDirty ? EPTP.ACCESSED_DIRTY : 0));

/** make_nonleaf_spte: entry of an upper level that refers to the table at `table`. */
export const tableSpte = (table: Hpa, accessedDirty: boolean): bigint =>
  BigInt(table) | EPT.RWX | SPTE_MMU_PRESENT | (accessedDirty ? EPT.ACCESSED : SPTE_AD_DISABLED);

/** What a leaf entry is made from. */
export interface LeafRights {
  /** The user mapping allows writes. */
  readonly hostWritable: boolean;
  /** The page is tracked: KVM has to see every write. */
  readonly writeTracked: boolean;
  /** EPT accessed and dirty bits are in use. */
  readonly accessedDirty: boolean;
  /** The page is a device's (kvm_is_mmio_pfn): its memory type is uncachable, whatever the guest's PAT says of it. */
  readonly device: boolean;
}

/** vmx_get_mt_mask, for a VM without devices whose DMA bypasses the caches. */
const memoryType = (device: boolean): bigint =>
  device ? EPT.MEMORY_TYPE_UC << EPT.MEMORY_TYPE_SHIFT : (EPT.MEMORY_TYPE_WB << EPT.MEMORY_TYPE_SHIFT) | EPT.IGNORE_PAT;

/** make_spte: leaf of `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB) for the memory at `page`. */
export const leafSpte = (page: Hpa, level: number, rights: LeafRights): bigint =>
  BigInt(page) |
  leafBits[
    Number(rights.device) * 16 +
      Number(level > 1) * 8 +
      Number(rights.hostWritable) * 4 +
      Number(rights.writeTracked) * 2 +
      Number(rights.accessedDirty)
  ]!;

/** All of a leaf but its address, by the five things it depends on: made once, because a page fault makes a leaf each. */
const leafBits = Array.from({ length: 32 }, (_, index) =>
  bitsOfLeaf((index & 8) !== 0, {
    hostWritable: (index & 4) !== 0,
    writeTracked: (index & 2) !== 0,
    accessedDirty: (index & 1) !== 0,
    device: (index & 16) !== 0,
  }),
);

function bitsOfLeaf(large: boolean, rights: LeafRights): bigint {
  let entry = EPT.READ | EPT.EXECUTE | memoryType(rights.device);
  entry |= SPTE_MMU_PRESENT | (rights.accessedDirty ? EPT.ACCESSED : SPTE_AD_DISABLED);
  if (large) entry |= EPT.LARGE_PAGE;
  if (rights.hostWritable) {
    entry |= SPTE_HOST_WRITABLE;
    if (!rights.writeTracked) entry |= EPT.WRITE | SPTE_MMU_WRITABLE | (rights.accessedDirty ? EPT.DIRTY : 0n);
  }
  return entry;
}

/** make_huge_page_split_spte: the leaf of `level` that is part number `index` of the large leaf `huge`. */
export function partOfHugeSpte(huge: bigint, level: number, index: number): bigint {
  const part = huge | (BigInt(index) << BigInt(12 + 9 * (level - 1)));
  return level === 1 ? part & ~EPT.LARGE_PAGE : part;
}

export const isPresent = (spte: bigint): boolean => (spte & SPTE_MMU_PRESENT) !== 0n;
/** is_last_spte of a present entry. */
export const isLeaf = (spte: bigint, level: number): boolean => level === 1 || (spte & EPT.LARGE_PAGE) !== 0n;

const PRESENT_LOW = Number(SPTE_MMU_PRESENT);
const LARGE_PAGE_LOW = Number(EPT.LARGE_PAGE);
const ADDRESS_LOW = 0x7fff_f000;
/**
 * An entry of `level`, given by its low 32 bits, refers to a table, which stands at {@link tableOf}. Walks go by these: a
 * bigint of each entry would be most of a page fault's time. Tables are in RAM, below 2 GiB.
 */
export const refersToTable = (low: number, level: number): boolean =>
  level > 1 && (low & (PRESENT_LOW | LARGE_PAGE_LOW)) === PRESENT_LOW;
export const tableOf = (low: number): Hpa => (low & ADDRESS_LOW) as Hpa;

export const isReadable = (spte: bigint): boolean => (spte & EPT.READ) !== 0n;
export const isWritable = (spte: bigint): boolean => (spte & EPT.WRITE) !== 0n;
export const isExecutable = (spte: bigint): boolean => (spte & EPT.EXECUTE) !== 0n;
/** is_mmu_writable_spte: a write fault may give the permission back without asking anybody. */
export const isMmuWritable = (spte: bigint): boolean => (spte & SPTE_MMU_WRITABLE) !== 0n;
/** The page or table an entry refers to. */
export const spteAddress = (spte: bigint): Hpa => Number(spte & EPT.ADDRESS_MASK) as Hpa;
/** Take the write permission away so that a write faults; {@link allowWrite} gives it back. */
export const forbidWrite = (spte: bigint): bigint => spte & ~EPT.WRITE;
export const allowWrite = (spte: bigint): bigint => spte | EPT.WRITE;
/** spte_write_protect with pt_protect: no fault gives the permission back by itself. */
export const forbidWriteForGood = (spte: bigint): bigint => spte & ~(EPT.WRITE | SPTE_MMU_WRITABLE);
export const clearDirty = (spte: bigint): bigint => spte & ~EPT.DIRTY;

const usesAccessedDirty = (spte: bigint) => (spte & SPTE_AD_DISABLED) === 0n;
/** is_access_track_spte: without permissions, until the guest's next access tells that the page is in use. */
export const isAccessTracked = (spte: bigint): boolean =>
  isPresent(spte) && !usesAccessedDirty(spte) && (spte & EPT.RWX) === 0n;
/** is_accessed_spte. */
export const isAccessed = (spte: bigint): boolean =>
  usesAccessedDirty(spte) ? (spte & EPT.ACCESSED) !== 0n : !isAccessTracked(spte);
/** age_gfn_range and mark_spte_for_access_track: make the next access visible. */
export function makeOld(spte: bigint): bigint {
  if (usesAccessedDirty(spte)) return spte & ~EPT.ACCESSED;
  if (isAccessTracked(spte)) return spte;
  return (spte & ~EPT.RWX) | ((spte & (EPT.READ | EPT.EXECUTE)) << SAVED_SHIFT);
}
/** restore_acc_track_spte. */
export const restoreAccess = (spte: bigint): bigint =>
  (spte & ~(SAVED_MASK | EPT.RWX)) | ((spte & SAVED_MASK) >> SAVED_SHIFT);

/** Neither present nor an MMIO entry: a table's entry, or a large leaf's, on its way out. */
export const REMOVED_SPTE = 0x5a0n;

/** Write and execute without read: a misconfiguration that KVM provokes on purpose (VMX_EPT_MISCONFIG_WX_VALUE). */
const MMIO_VALUE = EPT.WRITE | EPT.EXECUTE;
/** The generation's low 8 bits stand in bits 10:3, the next 11 in bits 62:52. */
const MMIO_GENERATION_LOW_SHIFT = 3n;
const MMIO_GENERATION_HIGH_SHIFT = 52n;
export const MMIO_GENERATION_MASK = 0x7ffff;

/** make_mmio_spte: `gpa`'s page has no memory behind it in `generation`. */
export function mmioSpte(gpa: Gpa, generation: number): bigint {
  const kept = BigInt(generation % (MMIO_GENERATION_MASK + 1));
  const low = (kept & 0xffn) << MMIO_GENERATION_LOW_SHIFT;
  const high = (kept >> 8n) << MMIO_GENERATION_HIGH_SHIFT;
  return BigInt(gpa - (gpa % PAGE_SIZE)) | MMIO_VALUE | low | high;
}

export const isMmioSpte = (spte: bigint): boolean => (spte & EPT.RWX) === MMIO_VALUE;
/** get_mmio_spte_generation. */
export const mmioSpteGeneration = (spte: bigint): number =>
  Number(((spte >> MMIO_GENERATION_LOW_SHIFT) & 0xffn) | (((spte >> MMIO_GENERATION_HIGH_SHIFT) & 0x7ffn) << 8n));
