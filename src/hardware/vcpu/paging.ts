/** Entries of the guest's 4-level page tables and the page-fault error code (SDM vol. 3A ch. 4.5, 4.7). */

/** Bits 0–11 of an entry; NX is bit 63, in the upper half. */
export const PTE = {
  PRESENT: 1 << 0,
  WRITABLE: 1 << 1,
  USER: 1 << 2,
  ACCESSED: 1 << 5,
  DIRTY: 1 << 6,
  /** A leaf at level 2 or 3. */
  LARGE_PAGE: 1 << 7,
  GLOBAL: 1 << 8,
  NO_EXECUTE_HIGH: 0x80000000,
} as const;

/** Bits of a page fault's error code. */
export const PAGE_FAULT = {
  PRESENT: 1 << 0,
  WRITE: 1 << 1,
  USER: 1 << 2,
  RESERVED: 1 << 3,
  FETCH: 1 << 4,
} as const;

/** MAXPHYADDR: what CPUID leaf 0x80000008 says. Address bits from here to 51 are reserved in every entry and in CR3. */
export const PHYSICAL_ADDRESS_BITS = 46;

/** How an access uses an address. */
export type Access = 'read' | 'write' | 'fetch';

export const CR0_PE = 1n << 0n;
export const CR0_MP = 1n << 1n;
export const CR0_EM = 1n << 2n;
export const CR0_TS = 1n << 3n;
export const CR0_ET = 1n << 4n;
export const CR0_NE = 1n << 5n;
export const CR0_WP = 1n << 16n;
export const CR0_AM = 1n << 18n;
export const CR0_NW = 1n << 29n;
export const CR0_CD = 1n << 30n;
export const CR0_PG = 1n << 31n;
export const CR4_TSD = 1n << 2n;
export const CR4_DE = 1n << 3n;
export const CR4_PAE = 1n << 5n;
export const CR4_PGE = 1n << 7n;
export const CR4_UMIP = 1n << 11n;
export const CR4_FSGSBASE = 1n << 16n;
export const CR4_PCIDE = 1n << 17n;
export const CR4_SMEP = 1n << 20n;
export const CR4_SMAP = 1n << 21n;
export const EFER_SCE = 1n << 0n;
export const EFER_LME = 1n << 8n;
export const EFER_LMA = 1n << 10n;
export const EFER_NXE = 1n << 11n;

const CANONICAL_LIMIT = 2 ** 47;
/** Whether a linear address, as a signed double, has bits 63:47 all equal. */
export const isCanonical = (address: number): boolean => address >= -CANONICAL_LIMIT && address < CANONICAL_LIMIT;

/** Offset in the page of a signed linear address. */
export const pageOffset = (address: number): number => (address | 0) & 4095;
