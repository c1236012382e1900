/**
 * The host kernel's page frames: a buddy allocator (mm/page_alloc.c). A block of 2^order pages is aligned to its size; a
 * freed block joins its buddy. Lowest address first, so that runs are repeatable. Frames are handed out zeroed.
 */

import { strict as assert } from 'node:assert';
import { type Hpa, hpa, PAGE_SHIFT, PAGE_SIZE, pageNumber } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { GFP_KERNEL } from './gfp.ts';

/** Largest block of the free lists: 2^10 pages, 4 MiB. */
export const MAX_ORDER = 10;
/** A page of 1 GiB: put together from blocks that happen to be neighbours. */
export const GIGANTIC_ORDER = 18;
const NOT_FREE = 0xff;
const NOT_ALLOCATED = 0xff;
const NONE = -1;

/** Free lists of page blocks over `[first, end of RAM)`. */
export class PageAllocator {
  readonly #memory: PhysicalMemory;
  /** Order of the free block that starts at a page; NOT_FREE for any other page. */
  readonly #freeOrder: Uint8Array;
  /** Pages that held data once and need zeroing; RAM starts as zeros. */
  readonly #written: Uint8Array;
  /** Doubly linked free lists, by page number. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads = new Int32Array(MAX_ORDER + 1).fill(NONE);
  /** Order of the block that was handed out at a page; NOT_ALLOCATED for any other page. */
  readonly #blockOrder: Uint8Array;
  /** References to a block beyond its owner's, by its first page's number. */
  readonly #pins: Uint32Array;
  /** Who gets a block when nobody holds it any more, where that is not the free lists; by its first page's number. */
  readonly #destructors = new Map<number, (block: Hpa) => void>();
  readonly #firstPage: number;
  readonly #endPage: number;
  /** should_fail_alloc_page: whether a request is to fail although there is memory. */
  readonly #shouldFail: (order: number, gfp: number) => boolean;
  /** Pages managed in all. */
  readonly total: number;
  #used = 0;
  #pinned = 0;

  /** Manages the RAM from `first` (rounded up to a page) to the end of `memory`. */
  constructor(memory: PhysicalMemory, first: Hpa, shouldFail: (order: number, gfp: number) => boolean = () => false) {
    this.#memory = memory;
    this.#shouldFail = shouldFail;
    this.#firstPage = Math.ceil(first / PAGE_SIZE);
    this.#endPage = Math.floor(memory.size / PAGE_SIZE);
    this.total = this.#endPage - this.#firstPage;
    this.#freeOrder = new Uint8Array(this.#endPage).fill(NOT_FREE);
    this.#written = new Uint8Array(this.#endPage);
    this.#blockOrder = new Uint8Array(this.#endPage).fill(NOT_ALLOCATED);
    this.#pins = new Uint32Array(this.#endPage);
    this.#next = new Int32Array(this.#endPage);
    this.#previous = new Int32Array(this.#endPage);
    // Pushed from the top down, so that each list starts at its lowest block.
    for (let end = this.#endPage; end > this.#firstPage; ) {
      let order = MAX_ORDER;
      while (end % (1 << order) !== 0 || end - (1 << order) < this.#firstPage) order--;
      end -= 1 << order;
      this.#push(end, order);
    }
  }

  /** Pages handed out and not yet freed. */
  get used(): number {
    return this.#used;
  }

  /** References that {@link get} took and {@link put} has not given back. */
  get pinned(): number {
    return this.#pinned;
  }

  /** Pages that can still be handed out. */
  get available(): number {
    return this.total - this.#used;
  }

  /** Zero every frame that was ever handed out, and those below the managed ones: RAM as it was at power-on. */
  scrub(): void {
    this.#memory.bytes.fill(0, 0, this.#firstPage * PAGE_SIZE);
    for (let page = this.#firstPage; page < this.#endPage; page++)
      if (this.#written[page] === 1) this.#memory.page(hpa(page * PAGE_SIZE)).fill(0);
  }

  /** 2^order zeroed pages, aligned to their size, for what `gfp` says; undefined when no block is left (Linux: -ENOMEM). */
  allocate(order = 0, gfp: number = GFP_KERNEL): Hpa | undefined {
    if (this.#shouldFail(order, gfp)) return undefined;
    if (order > MAX_ORDER) return this.#contiguous(order);
    let from = order;
    while (from <= MAX_ORDER && this.#heads[from] === NONE) from++;
    if (from > MAX_ORDER) return undefined;
    const page = this.#heads[from] as number;
    this.#unlink(page, from);
    // The upper halves go back to the lists of smaller blocks.
    while (from > order) {
      from--;
      this.#push(page + (1 << from), from);
    }
    return this.#handOut(page, order);
  }

  /** alloc_contig_pages: the lowest aligned run of free blocks of MAX_ORDER. */
  #contiguous(order: number): Hpa | undefined {
    const count = 1 << order;
    const step = 1 << MAX_ORDER;
    const first = Math.ceil(this.#firstPage / count) * count;
    for (let start = first; start + count <= this.#endPage; start += count) {
      let end = start;
      while (end < start + count && this.#freeOrder[end] === MAX_ORDER) end += step;
      if (end < start + count) continue;
      for (let block = start; block < end; block += step) this.#unlink(block, MAX_ORDER);
      return this.#handOut(start, order);
    }
    return undefined;
  }

  #handOut(page: number, order: number): Hpa {
    this.#used += 1 << order;
    this.#blockOrder[page] = order;
    const block = hpa(page << PAGE_SHIFT);
    this.clear(block, order);
    return block;
  }

  /** Make a block zeros. What nobody has had before is left alone: RAM starts as zeros. */
  clear(block: Hpa, order: number): void {
    const page = pageNumber(block);
    for (let i = page; i < page + (1 << order); i++) {
      if (this.#written[i] === 1) this.#memory.clear(hpa(i * PAGE_SIZE));
      else this.#written[i] = 1;
    }
  }

  /** set_compound_page_dtor: `destructor` gets the block at `address` instead of the free lists; undefined undoes it. */
  onFree(address: Hpa, destructor: ((block: Hpa) => void) | undefined): void {
    if (destructor === undefined) this.#destructors.delete(pageNumber(address));
    else this.#destructors.set(pageNumber(address), destructor);
  }

  /** get_page: hold the block that `address` lies in. It stays until {@link put} was called as often, and its owner freed it. */
  get(address: Hpa): void {
    const block = this.#blockOf(pageNumber(address));
    if (block === undefined) assert.fail(`page ${address.toString(16)} is held, but nobody allocated it`);
    this.#pins[block] = this.#pins[block]! + 1;
    this.#pinned++;
  }

  /** put_page: undo {@link get}. The last reference frees the block. */
  put(address: Hpa): void {
    const block = this.#blockOf(pageNumber(address));
    if (block === undefined) assert.fail(`page ${address.toString(16)} is let go, but nobody holds it`);
    this.free(hpa(block * PAGE_SIZE), this.#blockOrder[block]);
  }

  /** Give back a block that {@link allocate} returned for the same `order`; while others hold it, only the reference goes. */
  free(address: Hpa, order = 0): void {
    const page = pageNumber(address);
    if (this.#pins[page]! > 0) {
      this.#pins[page] = this.#pins[page]! - 1;
      this.#pinned--;
      return;
    }
    const destructor = this.#destructors.size > 0 ? this.#destructors.get(page) : undefined;
    if (destructor !== undefined) {
      destructor(address);
      return;
    }
    const inside = page >= this.#firstPage && page + (1 << order) <= this.#endPage;
    if (!inside || page % (1 << order) !== 0)
      assert.fail(`freed page ${address.toString(16)} of order ${order} is no block of this allocator`);
    if (this.#isFree(page)) assert.fail(`page ${address.toString(16)} was freed twice`);
    this.#used -= 1 << order;
    this.#blockOrder[page] = NOT_ALLOCATED;
    const size = Math.min(order, MAX_ORDER);
    // From the top down, so that the lowest is the next to be handed out.
    for (let end = page + (1 << order); end > page; end -= 1 << size) this.#join(end - (1 << size), size);
  }

  /** __free_one_page: into the free lists, together with the buddies that are there already. */
  #join(block: number, order: number): void {
    let page = block;
    let size = order;
    while (size < MAX_ORDER) {
      const buddy = page ^ (1 << size);
      if (buddy < this.#firstPage || buddy >= this.#endPage || this.#freeOrder[buddy] !== size) break;
      this.#unlink(buddy, size);
      page = Math.min(page, buddy);
      size++;
    }
    this.#push(page, size);
  }

  /** First page of the allocated block that holds `page`. */
  #blockOf(page: number): number | undefined {
    for (let order = 0; order <= MAX_ORDER; order++) {
      const start = page & ~((1 << order) - 1);
      if (this.#blockOrder[start] === order) return start;
    }
    const gigantic = page & ~((1 << GIGANTIC_ORDER) - 1);
    return this.#blockOrder[gigantic] === GIGANTIC_ORDER ? gigantic : undefined;
  }

  #isFree(page: number): boolean {
    for (let order = 0; order <= MAX_ORDER; order++) {
      const start = page & ~((1 << order) - 1);
      if (this.#freeOrder[start] === order) return true;
    }
    return false;
  }

  #push(page: number, order: number): void {
    const head = this.#heads[order] as number;
    this.#freeOrder[page] = order;
    this.#next[page] = head;
    this.#previous[page] = NONE;
    if (head !== NONE) this.#previous[head] = page;
    this.#heads[order] = page;
  }

  #unlink(page: number, order: number): void {
    const next = this.#next[page] as number;
    const previous = this.#previous[page] as number;
    if (previous === NONE) this.#heads[order] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#freeOrder[page] = NOT_FREE;
  }
}
