/**
 * Large pages that are set aside for those who map them by name: MAP_HUGETLB and memfd_create(MFD_HUGETLB) (mm/hugetlb.c). There
 * is a pool for each size; /sys/kernel/mm/hugepages says how many pages it has, and none comes from elsewhere
 * (nr_overcommit_hugepages is 0). A mapping reserves its pages when it is made, so that no touch of it fails.
 */

import { strict as assert } from 'node:assert';
import type { Hpa } from '../../address.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import { GIGANTIC_ORDER, type PageAllocator } from './page-allocator.ts';

/** Pages of 2 MiB. */
const LARGE_ORDER = 9;

/** `struct hstate`: the pages of one size. */
export class HugePool {
  readonly order: number;
  readonly #pages: PageAllocator;
  /** Last in, first out, as the lists of free pages are in Linux. */
  readonly #free: Hpa[] = [];
  /** Pages that nobody has touched yet: zeros. */
  readonly #pristine = new Set<Hpa>();
  #total = 0;
  #reserved = 0;
  #surplus = 0;

  constructor(pages: PageAllocator, order: number) {
    this.#pages = pages;
    this.order = order;
  }

  /** nr_hugepages: all of them, those in use too. */
  get total(): number {
    return this.#total;
  }

  get free(): number {
    return this.#free.length;
  }

  /** Free ones that mappings have a right to. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Pages in use that leave the pool when they are given back. */
  get surplus(): number {
    return this.#surplus;
  }

  /** set_max_huge_pages: make the pool `count` pages large, as far as RAM is left and its pages are free. */
  resize(count: number): void {
    while (this.#surplus > 0 && count > this.#persistent) this.#surplus--;
    while (count > this.#persistent && this.#grow());
    const inUse = this.#reserved + this.#total - this.free;
    while (this.#persistent > Math.max(count, inUse)) this.#leave(this.#free.pop()!);
    while (this.#persistent > count) this.#surplus++;
  }

  get #persistent(): number {
    return this.#total - this.#surplus;
  }

  #grow(): boolean {
    const page = this.#pages.allocate(this.order, GFP_HIGHUSER_MOVABLE);
    if (page === undefined) return false;
    this.#pages.onFree(page, this.#returned);
    this.#total++;
    this.#free.push(page);
    this.#pristine.add(page);
    return true;
  }

  /** hugetlb_reserve_pages: whether `count` more pages are there for a new mapping; they are its own from now on. */
  reserve(count: number): boolean {
    if (count > this.free - this.#reserved) return false;
    this.#reserved += count;
    return true;
  }

  /** hugetlb_unreserve_pages: of those that were reserved, `count` have not been used. */
  unreserve(count: number): void {
    this.#reserved -= count;
  }

  /** alloc_huge_page: a page of zeros, one of those reserved. */
  take(): Hpa {
    const page = this.#free.pop();
    if (page === undefined) assert.fail('a huge page is taken that was not reserved');
    this.#reserved--;
    if (!this.#pristine.delete(page)) this.#pages.clear(page, this.order);
    return page;
  }

  /** free_huge_page. */
  readonly #returned = (page: Hpa): void => {
    if (this.#surplus > 0) {
      this.#surplus--;
      this.#leave(page);
    } else this.#free.push(page);
  };

  /** __free_huge_page of a surplus page: back to the rest of RAM. */
  #leave(page: Hpa): void {
    this.#total--;
    this.#pristine.delete(page);
    this.#pages.onFree(page, undefined);
    this.#pages.free(page, this.order);
  }
}

/** The pools of one host. */
export class HugePages {
  readonly pools: readonly HugePool[];

  constructor(pages: PageAllocator) {
    this.pools = [LARGE_ORDER, GIGANTIC_ORDER].map((order) => new HugePool(pages, order));
  }

  /** size_to_hstate: the pool of pages of 2^`logarithm` bytes, of 2 MiB for 0; undefined if x86 has no such page. */
  ofSize(logarithm: number): HugePool | undefined {
    return this.ofOrder((logarithm === 0 ? LARGE_ORDER + 12 : logarithm) - 12);
  }

  /** The pool of pages of 2^`order` small ones. */
  ofOrder(order: number): HugePool | undefined {
    return this.pools.find((pool) => pool.order === order);
  }
}
