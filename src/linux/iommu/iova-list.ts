/**
 * The mappings of one I/O address space: `iommu->dma_list` of drivers/vfio/vfio_iommu_type1.c, `area_itree` of
 * drivers/iommu/iommufd/io_pagetable.c. Ranges of I/O virtual addresses that never overlap, in order. IOVAs are full 64-bit
 * values here (a mapping may end at 2^64 - 1), so bigints.
 */

/** What is kept in order: a run of I/O addresses. */
export interface IovaRun {
  readonly iova: bigint;
  readonly size: bigint;
}

/** Mappings sorted by IOVA; every look-up is a binary search. */
export class IovaList<M extends IovaRun> {
  readonly #mappings: M[] = [];

  get size(): number {
    return this.#mappings.length;
  }

  /** The first mapping that has a byte in [start, end); vfio_find_dma. */
  find(start: bigint, end: bigint): M | undefined {
    const candidate = this.#mappings[this.#firstEndingAfter(start)];
    return candidate !== undefined && candidate.iova < end ? candidate : undefined;
  }

  /** Every mapping that has a byte in [start, end), in order. */
  overlapping(start: bigint, end: bigint): M[] {
    const first = this.#firstEndingAfter(start);
    let last = first;
    while (last < this.#mappings.length && this.#mappings[last]!.iova < end) last++;
    return this.#mappings.slice(first, last);
  }

  /** Add a mapping; the caller has made sure that it overlaps none. */
  insert(mapping: M): void {
    this.#mappings.splice(this.#firstEndingAfter(mapping.iova), 0, mapping);
  }

  remove(mapping: M): void {
    const index = this.#firstEndingAfter(mapping.iova);
    if (this.#mappings[index] === mapping) this.#mappings.splice(index, 1);
  }

  /** All, in order. */
  all(): readonly M[] {
    return [...this.#mappings];
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
