/**
 * What translated code and its runtime share in linear memory, beside the vCPU's state page: behind the modeled RAM, in the
 * processor's own storage.
 */

/** Byte offsets in that storage. */
export const STORAGE = {
  /** Software TLBs for reads, writes and fetches, entry by entry as {@link TLB_ENTRY} says. */
  READ_TLB: 0x0_0000,
  WRITE_TLB: 0x0_4000,
  FETCH_TLB: 0x0_8000,
  /** Regions by linear address: entries as {@link JUMP_ENTRY} says. */
  JUMPS: 0x0_c000,
  /** 4 bytes: what is left of the instruction budget when a region returns. */
  LEFT: 0x1_c000,
  /** 4 bytes: length of the instruction that faulted or exited. */
  LENGTH: 0x1_c004,
  /** 8 bytes: where the guest goes on after an instruction that the interpreter carried out. */
  NEXT: 0x1_c008,
  /** 4 bytes: exit qualification of the port access that a region ended at. */
  PORT: 0x1_c010,
  /** A byte a region, by its index in the table of functions: not 0 once it has been entered. */
  ENTERED: 0x1_d000,
} as const;
export const ENTERED_BYTES = 0x1000;
/** The size of it all. */
export const STORAGE_BYTES = STORAGE.ENTERED + ENTERED_BYTES;

/** One page of the TLB. The tag is its linear address (-1, which no page has, if empty); a host offset is low address bits + addend. */
export const TLB_ENTRY = { SHIFT: 4, TAG: 0, ADDEND: 8 } as const;
/** One known region: tag is its linear address (-1: none), then its host offset and its index in the table of functions. */
export const JUMP_ENTRY = { SHIFT: 4, TAG: 0, HOST: 8, INDEX: 12 } as const;
export const JUMP_ENTRIES = 4096;
export const EMPTY_TAG = -1n;
