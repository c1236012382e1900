/**
 * A process's address space: `struct mm_struct`, mmap and munmap (mm/mmap.c), demand paging (mm/memory.c), and
 * get_user_pages (mm/gup.c). New mappings go to the highest gap below the mmap base, as Linux places them; without
 * address randomisation, so that runs are repeatable.
 */

import { type Hpa, type Hva, hva, PAGE_SHIFT, PAGE_SIZE, pageStart } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { EFAULT, EINVAL, ENODEV, ENOMEM } from '../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_HUGE_SHIFT,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '../uapi/syscalls.ts';
import type { OpenFile } from './file.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import type { HugePages } from './hugetlb.ts';
import type { PageAllocator } from './page-allocator.ts';
import type { MappedFile, Vma } from './vma.ts';

export type { Vma } from './vma.ts';

/** One past the last user address: 47 bits less a guard page (TASK_SIZE_MAX). */
export const TASK_SIZE = 0x7fff_ffff_f000;
/** Mappings grow down from here; above it lies the stack. */
export const MMAP_BASE = 0x7fff_f7ff_f000;
/** vm.mmap_min_addr. */
const MMAP_MIN_ADDRESS = 0x10000;

/** Entries of the look-aside cache in front of the mappings; direct mapped by page number. */
const CACHED_PAGES = 64;
/** The page of an entry that holds none: equal to no number. */
const EMPTY = Number.NaN;

/** Level of the page-table entry that maps a page of 2^order small ones: a table is 512 of those below it. */
const levelOf = (order: number) => 1 + order / 9;
const endOf = (vma: Vma) => vma.start + vma.length;
/** Whether `address` lies inside the mapping, but not between two of its pages. */
const cutsPage = (vma: Vma, address: number) =>
  address > vma.start && address < endOf(vma) && (address - vma.start) % (PAGE_SIZE << vma.order) !== 0;

/** mm_struct: the mappings of one process, sorted by address. */
export class AddressSpace {
  readonly memory: PhysicalMemory;
  /** locked_vm: pages that count against RLIMIT_MEMLOCK. */
  lockedPages = 0;
  readonly #pages: PageAllocator;
  readonly #hugePages: HugePages;
  #vmas: Vma[] = [];
  readonly #listeners = new Set<(start: Hva, length: number) => void>();
  readonly #ageListeners = new Set<(start: Hva, length: number) => boolean>();
  // Hot: every user access asks here first, and only a miss searches the mappings.
  readonly #readPage = new Float64Array(CACHED_PAGES).fill(EMPTY);
  readonly #writtenPage = new Float64Array(CACHED_PAGES).fill(EMPTY);
  readonly #cachedFrame = new Int32Array(CACHED_PAGES);

  constructor(memory: PhysicalMemory, pages: PageAllocator, hugePages: HugePages) {
    this.memory = memory;
    this.#pages = pages;
    this.#hugePages = hugePages;
  }

  /** The mappings, lowest first. */
  get mappings(): readonly Vma[] {
    return this.#vmas;
  }

  /**
   * Map `length` bytes (rounded up to pages). Returns the address, or -EINVAL (length 0, unaligned offset, not exactly
   * one of MAP_SHARED and MAP_PRIVATE, no such size of pages), -ENOMEM (no gap, or too few large pages in their pool),
   * -ENODEV (the file cannot be mapped), or the file's errno.
   */
  mmap(length: number, protection: number, flags: number, file: OpenFile | undefined, offset: number): Hva | number {
    const shared = (flags & MAP_SHARED) !== 0;
    if (length <= 0 || offset % PAGE_SIZE !== 0 || offset < 0) return -EINVAL;
    if (shared === ((flags & MAP_PRIVATE) !== 0)) return -EINVAL;
    const backing = (flags & MAP_ANONYMOUS) === 0 ? file : undefined;
    const huge = (flags & (MAP_HUGETLB | MAP_ANONYMOUS)) === (MAP_HUGETLB | MAP_ANONYMOUS);
    const pool = huge ? this.#hugePages.ofSize((flags >>> MAP_HUGE_SHIFT) & 0x3f) : undefined;
    if (huge && pool === undefined) return -EINVAL;
    const order = pool?.order ?? backing?.operations.pageOrder?.(backing) ?? 0;
    const pageBytes = PAGE_SIZE << order;
    if (offset % pageBytes !== 0) return -EINVAL;
    const rounded = Math.ceil(length / pageBytes) * pageBytes;
    const start = this.#gap(rounded, pageBytes);
    if (start === undefined) return -ENOMEM;
    const vma: Vma = {
      start,
      length: rounded,
      protection,
      shared,
      file: backing,
      offset,
      order,
      pages: [],
      held: false,
      fault: undefined,
    };
    if (pool !== undefined && !pool.reserve(rounded / pageBytes)) return -ENOMEM;
    if (backing !== undefined) {
      if (backing.operations.mmap === undefined) return -ENODEV;
      const error = backing.operations.mmap(backing, vma);
      if (error < 0) {
        this.#freeFrames(vma);
        return error;
      }
      backing.get();
    }
    this.#vmas.splice(this.#firstEndingAfter(start), 0, vma);
    return start;
  }

  /** Unmap every page of `[start, start + length)`, splitting mappings that stick out. -EINVAL for a bad range. */
  munmap(start: number, length: number): number {
    if (start % PAGE_SIZE !== 0 || length <= 0 || !this.accessOk(start, length)) return -EINVAL;
    const end = start + Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    const from = this.#firstEndingAfter(start);
    let to = from;
    while (to < this.#vmas.length && (this.#vmas[to] as Vma).start < end) to++;
    if (from === to) return 0;
    // hugetlb_vm_op_split: a large page goes as a whole.
    const cuts = this.#vmas.slice(from, to).flatMap((vma) => [start, end].filter((at) => cutsPage(vma, at)));
    if (cuts.length > 0) return -EINVAL;
    this.#invalidate(hva(start), end - start);
    const removed = this.#vmas.slice(from, to);
    const kept: Vma[] = [];
    const gone: Vma[] = [];
    for (const vma of removed) {
      const low = Math.max(vma.start, start);
      const high = Math.min(endOf(vma), end);
      if (vma.start < low) kept.push(part(vma, vma.start, low));
      if (high < endOf(vma)) kept.push(part(vma, high, endOf(vma)));
      gone.push(low === vma.start && high === endOf(vma) ? vma : part(vma, low, high));
    }
    // Each piece that stays holds its own reference to the file; the old mapping's is dropped last.
    for (const vma of kept) vma.file?.get();
    this.#vmas.splice(from, to - from, ...kept);
    for (const vma of gone) this.#freeFrames(vma);
    for (const vma of removed) vma.file?.put();
    return 0;
  }

  /**
   * get_user_pages: the frame behind the page of `address`, brought in if need be. -EFAULT if it is not mapped or the
   * protection forbids the access, -ENOMEM if no frame is left.
   */
  frame(address: number, write: boolean): Hpa | number {
    // Hot: an address has 47 bits, but its low 32 survive the conversion that >>> makes.
    const start = pageStart(address);
    const slot = (address >>> PAGE_SHIFT) & (CACHED_PAGES - 1);
    if ((write ? this.#writtenPage : this.#readPage)[slot] === start) return this.#cachedFrame[slot]!;
    return this.#fault(Math.floor(start), slot, write);
  }

  /**
   * pin_user_pages: {@link frame}, held until {@link unpin} even if it is unmapped before. A device's page behind the address
   * is returned without a hold: it is nobody's memory.
   */
  pin(address: number, write: boolean): Hpa | number {
    const frame = this.frame(address, write);
    if (frame >= 0 && this.memory.contains(frame as Hpa)) this.#pages.get(frame as Hpa);
    return frame;
  }

  /** unpin_user_page. */
  unpin(frame: Hpa): void {
    if (this.memory.contains(frame)) this.#pages.put(frame);
  }

  /**
   * What an observer sees at `address`, without bringing a page in: an untouched page reads as zeros. False if part of it is
   * not mapped.
   */
  peek(into: Uint8Array, address: number): boolean {
    if (!this.accessOk(address, into.length)) return false;
    for (let done = 0; done < into.length; ) {
      const at = address + done;
      const vma = this.#vmas[this.#firstEndingAfter(at)];
      if (vma === undefined || at < vma.start) return false;
      const offset = at % PAGE_SIZE;
      const count = Math.min(into.length - done, PAGE_SIZE - offset);
      const frame = vma.pages[Math.floor((at - vma.start) / PAGE_SIZE)];
      if (frame === undefined) into.fill(0, done, done + count);
      else into.set(this.memory.bytes.subarray(frame + offset, frame + offset + count), done);
      done += count;
    }
    return true;
  }

  /** access_ok: whether `[address, address + length)` is user space at all. */
  accessOk(address: number, length: number): boolean {
    return Math.floor(address) === address && address >= 0 && length >= 0 && address + length <= TASK_SIZE;
  }

  /** Call `listener(start, length)` before pages go away (mmu_notifier invalidate_range). Returns how to stop. */
  onInvalidate(listener: (start: Hva, length: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Call `listener(start, length)` when the host asks whether pages were used (clear_flush_young). Returns how to stop. */
  onAge(listener: (start: Hva, length: number) => boolean): () => void {
    this.#ageListeners.add(listener);
    return () => this.#ageListeners.delete(listener);
  }

  /** mmu_notifier_clear_flush_young: have those who use `[start, start + length)` used it since the last call? */
  age(start: Hva, length: number): boolean {
    let young = false;
    for (const listener of this.#ageListeners) if (listener(start, length)) young = true;
    return young;
  }

  /** host_pfn_mapping_level: level of the page-table entry that maps `address`: 1 for a page of 4 KiB, 2 of 2 MiB, 3 of 1 GiB. */
  mappingLevel(address: Hva): number {
    const vma = this.#vmas[this.#firstEndingAfter(address)];
    return vma !== undefined && vma.start <= address ? levelOf(vma.order) : 1;
  }

  /** unmap_mapping_range: the pages of a file go from every mapping of it, and come back when they are touched. */
  zap(file: MappedFile): void {
    for (const vma of this.#vmas) {
      if (vma.file !== file) continue;
      this.#invalidate(vma.start, vma.length);
      this.#freeFrames(vma);
      vma.pages = [];
    }
  }

  /** exit_mmap: every mapping goes. */
  release(): void {
    for (const vma of [...this.#vmas]) this.munmap(vma.start, vma.length);
  }

  #fault(address: number, slot: number, write: boolean): Hpa | number {
    const vma = this.#vmas[this.#firstEndingAfter(address)];
    if (vma === undefined || address < vma.start) return -EFAULT;
    const writable = (vma.protection & PROT_WRITE) !== 0;
    // A page that may be written may be read as well: the x86 page table has no write-only.
    const readable = writable || (vma.protection & PROT_READ) !== 0;
    if (write ? !writable : !readable) return -EFAULT;
    const index = (address - vma.start) / PAGE_SIZE;
    let frame: Hpa | number | undefined = vma.pages[index];
    if (frame === undefined) {
      if (vma.file === undefined) frame = this.#anonymous(vma, index);
      else frame = vma.fault === undefined ? -EFAULT : vma.fault(vma.offset / PAGE_SIZE + index);
      if (frame < 0) return frame;
      vma.pages[index] = frame as Hpa;
    }
    // Frames of RAM fit 31 bits (PhysicalMemory), so that a hit makes no heap number; a device's frame may not.
    if (frame > 0x7fff_ffff) return frame;
    this.#readPage[slot] = address;
    this.#writtenPage[slot] = writable ? address : EMPTY;
    this.#cachedFrame[slot] = frame;
    return frame;
  }

  /** do_anonymous_page, or hugetlb_no_page: the block of frames that page `index` belongs to; its own frame, or -ENOMEM. */
  #anonymous(vma: Vma, index: number): Hpa | number {
    const block =
      vma.order === 0 ? this.#pages.allocate(0, GFP_HIGHUSER_MOVABLE) : this.#hugePages.ofOrder(vma.order)!.take();
    if (block === undefined) return -ENOMEM;
    const first = index - (index % (1 << vma.order));
    for (let page = 0; page < 1 << vma.order; page++) vma.pages[first + page] = (block + page * PAGE_SIZE) as Hpa;
    return vma.pages[index] as Hpa;
  }

  /** The highest gap of `length` bytes below the mmap base that starts at a multiple of `alignment` (vm_unmapped_area). */
  #gap(length: number, alignment: number): Hva | undefined {
    const below = (address: number) => address - (address % alignment);
    let top = below(MMAP_BASE);
    for (let i = this.#vmas.length - 1; i >= 0; i--) {
      const vma = this.#vmas[i] as Vma;
      if (top - endOf(vma) >= length) break;
      top = below(vma.start);
    }
    return top - length >= MMAP_MIN_ADDRESS ? hva(top - length) : undefined;
  }

  /** find_vma: index of the lowest mapping whose end lies above `address`; the number of mappings if there is none. */
  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#vmas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(this.#vmas[middle] as Vma) > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #invalidate(start: Hva, length: number): void {
    for (const listener of [...this.#listeners]) listener(start, length);
    this.#readPage.fill(EMPTY);
    this.#writtenPage.fill(EMPTY);
  }

  #freeFrames(vma: Vma): void {
    if (vma.file !== undefined) {
      if (vma.held) for (const [, frame] of touched(vma)) this.#pages.put(frame);
      return;
    }
    const pool = vma.order === 0 ? undefined : this.#hugePages.ofOrder(vma.order);
    let blocks = 0;
    for (const [index, frame] of touched(vma)) {
      if (index % (1 << vma.order) !== 0) continue;
      this.#pages.free(frame, vma.order);
      blocks++;
    }
    pool?.unreserve(vma.length / (PAGE_SIZE << vma.order) - blocks);
  }
}

/** Pages of a mapping up to which it is looked through as a list. A larger one may have a few pages, far apart. */
const DENSE = 2 ** 21;

/** The pages that are in, by their index. */
function* touched({ pages, length }: Vma): Generator<[index: number, frame: Hpa]> {
  if (length <= DENSE * PAGE_SIZE) {
    for (let index = 0; index < pages.length; index++) {
      const frame = pages[index];
      if (frame !== undefined) yield [index, frame];
    }
    return;
  }
  for (const key of Object.keys(pages)) yield [Number(key), pages[Number(key)]!];
}

/** The piece `[start, end)` of a mapping, with its share of the frames (__split_vma). */
function part(vma: Vma, start: number, end: number): Vma {
  const skipped = (start - vma.start) / PAGE_SIZE;
  const count = (end - start) / PAGE_SIZE;
  const pages: (Hpa | undefined)[] = [];
  for (const [index, frame] of touched(vma))
    if (index >= skipped && index < skipped + count) pages[index - skipped] = frame;
  return {
    ...vma,
    start: hva(start),
    length: end - start,
    offset: vma.offset + skipped * PAGE_SIZE,
    pages,
  };
}
