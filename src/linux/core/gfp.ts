/** What an allocation may do for its memory (include/linux/gfp_types.h): the flags that something here depends on. */

/** __GFP_HIGHMEM: a page for user space. */
export const GFP_HIGHMEM_BIT = 0x02;
/** __GFP_DIRECT_RECLAIM: it may sleep until there is memory. */
export const GFP_DIRECT_RECLAIM_BIT = 0x400;

export const GFP_KERNEL = 0xcc0;
/** For who may not sleep: an interrupt handler, a timer. */
export const GFP_ATOMIC = 0xa20;
export const GFP_HIGHUSER_MOVABLE = 0x100cca;
