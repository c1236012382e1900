/**
 * The words KVM writes into EPT (arch/x86/kvm/mmu/spte.[ch] of Linux 6.1; entry layout: SDM vol. 3C, 29.3.2).
 * KVM keeps notes in the bits that the CPU ignores.
 */

import { type Gpa, type Hpa, PAGE_SIZE } from '../../address.ts';

const EPT_READ = 1n;
const EPT_WRITE = 2n;
const EPT_EXECUTE = 4n;
const EPT_RWX = EPT_READ | EPT_WRITE | EPT_EXECUTE;
const EPT_MEMORY_TYPE_WB = 6n << 3n;
const EPT_IGNORE_PAT = 1n << 6n;
const EPT_ACCESSED = 1n << 8n;
const EPT_DIRTY = 1n << 9n;
/** Software: the entry is KVM's and maps something. */
const SPTE_MMU_PRESENT = 1n << 11n;
/** Software: the host page may be written. */
const SPTE_HOST_WRITABLE = 1n << 57n;
/** Software: the guest may write once dirty logging is satisfied. */
const SPTE_MMU_WRITABLE = 1n << 58n;
const ADDRESS_MASK = 0x000ffffffffff000n;

/** EPTP: write-back, page-walk length 4, accessed and dirty flags on (construct_eptp). */
export const eptPointer = (root: Hpa): number => root + (6 | (3 << 3) | (1 << 6));

/** Entry of an upper level that refers to the table at `table`. */
export const tableSpte = (table: Hpa): bigint => BigInt(table) | EPT_RWX | EPT_ACCESSED | SPTE_MMU_PRESENT;

/**
 * Leaf for the 4 KiB page at `page`. `hostWritable`: the user mapping allows writes; `writable`: and so does everything
 * KVM wants to know about writes (dirty logging).
 */
export function leafSpte(page: Hpa, hostWritable: boolean, writable: boolean): bigint {
  let entry = BigInt(page) | EPT_READ | EPT_EXECUTE | EPT_MEMORY_TYPE_WB | EPT_IGNORE_PAT | EPT_ACCESSED;
  entry |= SPTE_MMU_PRESENT;
  if (hostWritable) entry |= SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
  if (hostWritable && writable) entry |= EPT_WRITE | EPT_DIRTY;
  return entry;
}

export const isPresent = (spte: bigint): boolean => (spte & SPTE_MMU_PRESENT) !== 0n;
export const isReadable = (spte: bigint): boolean => (spte & EPT_READ) !== 0n;
export const isWritable = (spte: bigint): boolean => (spte & EPT_WRITE) !== 0n;
export const isExecutable = (spte: bigint): boolean => (spte & EPT_EXECUTE) !== 0n;
export const isMmuWritable = (spte: bigint): boolean => (spte & SPTE_MMU_WRITABLE) !== 0n;
/** The page or table an entry refers to. */
export const spteAddress = (spte: bigint): Hpa => Number(spte & ADDRESS_MASK) as Hpa;
/** Take the write permission away; {@link allowWrite} gives it back. */
export const forbidWrite = (spte: bigint): bigint => spte & ~EPT_WRITE;
export const allowWrite = (spte: bigint): bigint => spte | EPT_WRITE | EPT_DIRTY;

/** Write and execute without read: a misconfiguration that KVM provokes on purpose (VMX_EPT_MISCONFIG_WX_VALUE). */
const MMIO_VALUE = EPT_WRITE | EPT_EXECUTE;
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

export const isMmioSpte = (spte: bigint): boolean => (spte & EPT_RWX) === MMIO_VALUE;
/** get_mmio_spte_generation. */
export const mmioSpteGeneration = (spte: bigint): number =>
  Number(((spte >> MMIO_GENERATION_LOW_SHIFT) & 0xffn) | (((spte >> MMIO_GENERATION_HIGH_SHIFT) & 0x7ffn) << 8n));
