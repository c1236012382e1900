/** One MAP_DMA: `struct vfio_dma`, with the pages that drivers pinned through it and the dirty bits, while they are logged. */

import { type Hpa, type Hva, hva, PAGE_SIZE } from '../../address.ts';
import type { AddressSpace } from '../core/mm.ts';
import type { Process } from '../core/process.ts';

/** DIRTY_BITMAP_PAGES_MAX. */
export const MOST_DIRTY_PAGES = 0x7fff_ffff;

/** What a process asks for: `size` bytes at `iova` are the bytes at `vaddr`. The rights are the device's. */
export interface MappingRequest {
  readonly iova: bigint;
  readonly vaddr: bigint;
  readonly size: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
}

/** A page that drivers pinned: `struct vfio_pfn`. */
interface DriverPin {
  readonly frame: Hpa;
  count: number;
}

export class DmaMapping implements MappingRequest {
  readonly iova: bigint;
  readonly size: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  /** The process that mapped it: a DMA uses its memory whoever runs then, and its limit of locked memory counts. */
  readonly process: Process;
  /** CAP_IPC_LOCK as it was at the time of mapping. */
  readonly unlimited: boolean;
  vaddr: bigint;
  /** UNMAP_DMA with VADDR took the address away; MAP_DMA with VADDR gives a new one. */
  vaddrInvalid = false;
  /** An IOMMU translates it: all its pages are pinned. */
  iommuMapped = false;
  /** A bit for each page, while dirty pages are logged. */
  dirty: Uint8Array | undefined;
  /** By bytes from the mapping's start to the address that a driver pinned, which need not be a page's first. */
  readonly #pins = new Map<number, DriverPin>();

  constructor(request: MappingRequest, process: Process) {
    this.iova = request.iova;
    this.vaddr = request.vaddr;
    this.size = request.size;
    this.readable = request.readable;
    this.writable = request.writable;
    this.process = process;
    this.unlimited = process.mayLockMemory;
  }

  get mm(): AddressSpace {
    return this.process.mm;
  }

  /** Pages of 4 KiB. */
  get pages(): number {
    return Number(this.size / BigInt(PAGE_SIZE));
  }

  /** The page's number in the mapping of an I/O address in it. */
  pageOf(iova: bigint): number {
    return Math.floor(this.#offsetOf(iova) / PAGE_SIZE);
  }

  /** User address of a page of the mapping. */
  userPage(page: number): Hva {
    return hva(Number(this.vaddr) + page * PAGE_SIZE);
  }

  /** How many addresses drivers have pinned. */
  get pinned(): number {
    return this.#pins.size;
  }

  /** vfio_iova_get_vfio_pfn: one more pin of an address that is pinned already; its frame. */
  pinAgain(iova: bigint): Hpa | undefined {
    const pin = this.#pins.get(this.#offsetOf(iova));
    if (pin === undefined) return undefined;
    pin.count++;
    return pin.frame;
  }

  /** vfio_add_to_pfn_list. */
  addPin(iova: bigint, frame: Hpa): void {
    this.#pins.set(this.#offsetOf(iova), { frame, count: 1 });
  }

  /** vfio_find_vpfn, vfio_iova_put_vfio_pfn: the frame, once the last pin of the address is gone; undefined for one never pinned. */
  dropPin(iova: bigint): Hpa | undefined {
    const offset = this.#offsetOf(iova);
    const pin = this.#pins.get(offset);
    if (pin === undefined || --pin.count > 0) return undefined;
    this.#pins.delete(offset);
    return pin.frame;
  }

  /** vfio_find_vpfn of the first address of a page. */
  isPinned(page: number): boolean {
    return this.#pins.has(page * PAGE_SIZE);
  }

  /**
   * vfio_dma_bitmap_alloc: begin to log. What drivers hold pinned counts as dirty from the start. False for a mapping with more
   * pages than a bitmap may have.
   */
  startDirtyLog(): boolean {
    if (this.pages > MOST_DIRTY_PAGES) return false;
    this.dirty = new Uint8Array(Math.ceil(this.pages / 8));
    this.#markPinned();
    return true;
  }

  /** The bits were read: clean, but for what is pinned still. */
  clearDirtyLog(): void {
    this.dirty?.fill(0);
    this.#markPinned();
  }

  /** Bytes [iova, iova + length) were, or may have been, written. */
  markDirty(iova: bigint, length: number): void {
    const last = this.pageOf(iova + BigInt(length) - 1n);
    for (let page = this.pageOf(iova); page <= last; page++) this.#markPage(page);
  }

  isDirty(page: number): boolean {
    return ((this.dirty?.[page >> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  #markPinned(): void {
    for (const offset of this.#pins.keys()) this.#markPage(Math.floor(offset / PAGE_SIZE));
  }

  #offsetOf(iova: bigint): number {
    return Number(iova - this.iova);
  }

  #markPage(page: number): void {
    if (this.dirty !== undefined) this.dirty[page >> 3] = (this.dirty[page >> 3] ?? 0) | (1 << (page & 7));
  }
}
