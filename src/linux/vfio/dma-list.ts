/**
 * The DMA mappings of one container: `iommu->dma_list` of drivers/vfio/vfio_iommu_type1.c, ranges of I/O virtual
 * addresses that never overlap, in order. IOVAs are full 64-bit values here (a mapping may end at 2^64 - 1), so bigints.
 */

import type { AddressSpace } from '../core/mm.ts';

/** One MAP_DMA: `size` bytes at `iova` are the bytes at `vaddr` of `mm`. `readable` and `writable` are the device's rights. */
export interface DmaMapping {
  readonly iova: bigint;
  readonly vaddr: bigint;
  readonly size: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  /** The address space of the process that mapped it; a DMA uses it whoever runs then. */
  readonly mm: AddressSpace;
}

/** Mappings sorted by IOVA; every look-up is a binary search. */
export class DmaList {
  readonly #mappings: DmaMapping[] = [];

  get size(): number {
    return this.#mappings.length;
  }

  /** The first mapping that has a byte in [start, end); vfio_find_dma. */
  find(start: bigint, end: bigint): DmaMapping | undefined {
    const candidate = this.#mappings[this.#firstEndingAfter(start)];
    return candidate !== undefined && candidate.iova < end ? candidate : undefined;
  }

  /** Every mapping that has a byte in [start, end), in order. */
  overlapping(start: bigint, end: bigint): DmaMapping[] {
    const first = this.#firstEndingAfter(start);
    let last = first;
    while (last < this.#mappings.length && this.#mappings[last]!.iova < end) last++;
    return this.#mappings.slice(first, last);
  }

  /** Add a mapping; the caller has made sure that it overlaps none. */
  insert(mapping: DmaMapping): void {
    this.#mappings.splice(this.#firstEndingAfter(mapping.iova), 0, mapping);
  }

  remove(mapping: DmaMapping): void {
    const index = this.#firstEndingAfter(mapping.iova);
    if (this.#mappings[index] === mapping) this.#mappings.splice(index, 1);
  }

  clear(): void {
    this.#mappings.length = 0;
  }

  /** Index of the first mapping whose last byte is at or after `address`. */
  #firstEndingAfter(address: bigint): number {
    let low = 0;
    let high = this.#mappings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const mapping = this.#mappings[middle]!;
      if (mapping.iova + mapping.size <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
