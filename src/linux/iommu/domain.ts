/**
 * A domain of the VT-d driver: a second-level page table in host RAM (drivers/iommu/intel/iommu.c: __domain_mapping,
 * dma_pte_clear_range; drivers/iommu/iommu.c: iommu_map, iommu_pgsize). A run of memory is mapped with the largest pages that
 * its size and alignment admit.
 */

import { strict as assert } from 'node:assert';
import { type Hpa, hpa, PAGE_SIZE } from '../../address.ts';
import { entryAddress, IOVA_BITS, SECOND_LEVEL, secondLevelBytes, secondLevelIndex } from '../../hardware/iommu.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { IOMMU_READ, IOMMU_WRITE, type IommuDomain } from '../core/iommu.ts';
import type { PageAllocator } from '../core/page-allocator.ts';
import { EEXIST, ENOMEM } from '../uapi/errno.ts';

const TOP_LEVEL = 4;
const LARGEST_LEAF = 3;
const ENTRIES = 512;

export class SecondLevelDomain implements IommuDomain {
  readonly id: number;
  readonly root: Hpa;
  /** 4 KiB, 2 MiB, 1 GiB. */
  readonly pageSizes = 0x4020_1000n;
  readonly apertureEnd = (1n << IOVA_BITS) - 1n;
  readonly enforcesCoherency = true;
  readonly #memory: PhysicalMemory;
  readonly #pages: PageAllocator;

  private constructor(memory: PhysicalMemory, pages: PageAllocator, id: number, root: Hpa) {
    this.#memory = memory;
    this.#pages = pages;
    this.id = id;
    this.root = root;
  }

  /** An empty domain, or undefined when no page is left for its root. */
  static allocate(memory: PhysicalMemory, pages: PageAllocator, id: number): SecondLevelDomain | undefined {
    const root = pages.allocate();
    return root === undefined ? undefined : new SecondLevelDomain(memory, pages, id, root);
  }

  map(iova: bigint, host: Hpa, size: bigint, rights: number): number {
    const bits = (rights & IOMMU_READ ? SECOND_LEVEL.READ : 0n) | (rights & IOMMU_WRITE ? SECOND_LEVEL.WRITE : 0n);
    for (let done = 0n; done < size; ) {
      const [at, to] = [iova + done, BigInt(host) + done];
      const level = leafLevel(at | to, size - done);
      const error = this.#setLeaf(at, level, to | bits | (level > 1 ? SECOND_LEVEL.SUPERPAGE : 0n));
      if (error < 0) {
        this.unmap(iova, done);
        return error;
      }
      done += secondLevelBytes(level);
    }
    return 0;
  }

  unmap(iova: bigint, size: bigint): bigint {
    let done = 0n;
    while (done < size) {
      const leaf = this.#leaf(iova + done);
      if (leaf === undefined) break;
      const bytes = secondLevelBytes(leaf.level);
      assert((iova + done) % bytes === 0n && bytes <= size - done, 'a large page is unmapped as it was mapped, whole');
      this.#memory.writeEntry(leaf.at, 0n);
      done += bytes;
    }
    this.#freeEmpty(this.root, TOP_LEVEL, 0n, iova, iova + done);
    return done;
  }

  toHost(iova: bigint): Hpa | undefined {
    const leaf = this.#leaf(iova);
    if (leaf === undefined) return undefined;
    return hpa(entryAddress(leaf.entry) + Number(iova % secondLevelBytes(leaf.level)));
  }

  free(): void {
    this.#freeTable(this.root, TOP_LEVEL);
  }

  /** The entry that maps `iova`, if one does. */
  #leaf(iova: bigint): { readonly at: Hpa; readonly entry: bigint; readonly level: number } | undefined {
    let table = this.root;
    for (let level = TOP_LEVEL; level > 0; level--) {
      const at = hpa(table + secondLevelIndex(iova, level) * 8);
      const entry = this.#memory.readEntry(at);
      if (entry === 0n) return undefined;
      if (level === 1 || (entry & SECOND_LEVEL.SUPERPAGE) !== 0n) return { at, entry, level };
      table = entryAddress(entry);
    }
    return undefined;
  }

  #setLeaf(iova: bigint, level: number, value: bigint): number {
    let table = this.root;
    for (let above = TOP_LEVEL; above > level; above--) {
      const at = hpa(table + secondLevelIndex(iova, above) * 8);
      const entry = this.#memory.readEntry(at);
      if ((entry & SECOND_LEVEL.SUPERPAGE) !== 0n) return -EEXIST;
      if (entry !== 0n) {
        table = entryAddress(entry);
        continue;
      }
      const made = this.#pages.allocate();
      if (made === undefined) return -ENOMEM;
      // A table gives every right; the leaf below it says which there are.
      this.#memory.writeEntry(at, BigInt(made) | SECOND_LEVEL.READ | SECOND_LEVEL.WRITE);
      table = made;
    }
    const at = hpa(table + secondLevelIndex(iova, level) * 8);
    if (this.#memory.readEntry(at) !== 0n) return -EEXIST;
    this.#memory.writeEntry(at, value);
    return 0;
  }

  /** Free the tables that have nothing left and touch [from, to); true if the table itself is empty. */
  #freeEmpty(table: Hpa, level: number, base: bigint, from: bigint, to: bigint): boolean {
    const bytes = secondLevelBytes(level);
    if (level > 1) {
      for (let index = 0; index < ENTRIES; index++) {
        const start = base + BigInt(index) * bytes;
        const entry = this.#memory.readEntry(hpa(table + index * 8));
        if (entry === 0n || (entry & SECOND_LEVEL.SUPERPAGE) !== 0n || start >= to || start + bytes <= from) continue;
        if (!this.#freeEmpty(entryAddress(entry), level - 1, start, from, to)) continue;
        this.#pages.free(entryAddress(entry));
        this.#memory.writeEntry(hpa(table + index * 8), 0n);
      }
    }
    return this.#memory.page(table).every((byte) => byte === 0);
  }

  #freeTable(table: Hpa, level: number): void {
    for (let at = table; level > 1 && at < table + PAGE_SIZE; at = hpa(at + 8)) {
      const entry = this.#memory.readEntry(at);
      if (entry !== 0n && (entry & SECOND_LEVEL.SUPERPAGE) === 0n) this.#freeTable(entryAddress(entry), level - 1);
    }
    this.#pages.free(table);
  }
}

/** iommu_pgsize: level of the largest page that addresses with these bits and so many bytes admit. */
function leafLevel(addresses: bigint, size: bigint): number {
  let level = LARGEST_LEAF;
  while (level > 1 && (addresses % secondLevelBytes(level) !== 0n || size < secondLevelBytes(level))) level--;
  return level;
}
