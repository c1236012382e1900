/**
 * One mapping of an I/O address space: `struct iopt_area` (drivers/iommu/iommufd/{io_pagetable.h,pages.c} of Linux 6.6). Page
 * tables that it is entered in and drivers that reach through it hold its pages pinned.
 */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import { IOMMU_READ, IOMMU_WRITE, type IommuDomain } from '../core/iommu.ts';
import type { Kernel } from '../core/kernel.ts';
import type { IovaRun } from '../iommu/iova-list.ts';
import { EFAULT, ENOMEM, EPERM } from '../uapi/errno.ts';
import type { IoptPages } from './pages.ts';

const PAGE = BigInt(PAGE_SIZE);

/** A stretch of pages; `start` counts from the page in which they begin. */
export interface PageSpan {
  readonly pages: IoptPages;
  readonly start: bigint;
  readonly length: bigint;
}

export class IoptArea implements IovaRun {
  readonly iova: bigint;
  readonly size: bigint;
  readonly pages: IoptPages;
  readonly start: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  /** It is being unmapped: no driver may begin to use it. */
  preventAccess = false;
  /** How often drivers have pinned a range of its pages, by `first-last`. */
  readonly #accesses = new Map<string, number>();

  constructor(iova: bigint, span: PageSpan, readable: boolean, writable: boolean) {
    this.iova = iova;
    this.size = span.length;
    this.pages = span.pages;
    this.start = span.start;
    this.readable = readable;
    this.writable = writable;
  }

  get last(): bigint {
    return this.iova + this.size - 1n;
  }

  /** Drivers have pages of it pinned. */
  get accessed(): boolean {
    return this.#accesses.size > 0;
  }

  /** Whether addresses and length are multiples of `alignment`. */
  isAligned(alignment: bigint): boolean {
    return (this.iova | this.size | (this.start % PAGE)) % alignment === 0n;
  }

  /** Where in its pages an I/O address lies, in bytes. */
  byteOf(iova: bigint): bigint {
    return this.start + (iova - this.iova);
  }

  /** iopt_area_fill_domain: pin all pages and enter them in `domain`. 0, -EFAULT or -ENOMEM, with nothing entered then. */
  fill(kernel: Kernel, domain: IommuDomain, largePages: boolean): number {
    const rights = (this.readable ? IOMMU_READ : 0) | (this.writable ? IOMMU_WRITE : 0);
    const first = this.#indexOf(this.iova);
    const end = this.#indexOf(this.last) + 1;
    for (let index = first; index < end; ) {
      const frame = this.pages.pin(index);
      let error = frame < 0 ? frame : 0;
      let run = 1;
      while (error === 0 && largePages && index + run < end) {
        const next = this.pages.pin(index + run);
        if (next < 0) error = next;
        else if (next === frame + run * PAGE_SIZE) run++;
        else {
          this.pages.unpin(index + run);
          break;
        }
      }
      const at = this.iova + BigInt(index - first) * PAGE;
      if (error === 0) {
        error = domain.map(at, frame as Hpa, BigInt(run) * PAGE, rights);
        if (error < 0) kernel.refuse(ENOMEM, 'the IOMMU has no page left for its tables');
      }
      if (error < 0) {
        for (let i = 0; frame >= 0 && i < run; i++) this.pages.unpin(index + i);
        this.#empty(domain, first, index);
        return error;
      }
      index += run;
    }
    return 0;
  }

  /** iopt_area_unfill_domain. */
  unfill(domain: IommuDomain): void {
    this.#empty(domain, this.#indexOf(this.iova), this.#indexOf(this.last) + 1);
  }

  /** iopt_area_add_access: a driver pins the pages of [from, last]. Their frames; -EPERM, -EFAULT or -ENOMEM. */
  pin(kernel: Kernel, from: bigint, last: bigint, write: boolean): readonly Hpa[] | number {
    if (write && !this.pages.writable) {
      return kernel.refuse(EPERM, `the memory behind iova 0x${from.toString(16)} was mapped for reading`);
    }
    const frames: Hpa[] = [];
    const [first, end] = [this.#indexOf(from), this.#indexOf(last) + 1];
    for (let index = first; index < end; index++) {
      const frame = this.pages.pin(index);
      if (frame < 0) {
        for (let pinned = first; pinned < index; pinned++) this.pages.unpin(pinned);
        return frame;
      }
      frames.push(frame as Hpa);
    }
    const key = `${first}-${end}`;
    this.#accesses.set(key, (this.#accesses.get(key) ?? 0) + 1);
    return frames;
  }

  /** iopt_area_remove_access: false if [from, last] was not pinned as a whole, at once. */
  unpin(from: bigint, last: bigint): boolean {
    const [first, end] = [this.#indexOf(from), this.#indexOf(last) + 1];
    const key = `${first}-${end}`;
    const count = this.#accesses.get(key);
    if (count === undefined) return false;
    if (count > 1) this.#accesses.set(key, count - 1);
    else this.#accesses.delete(key);
    for (let index = first; index < end; index++) this.pages.unpin(index);
    return true;
  }

  /** iopt_pages_rw_access: copy between `data` and the memory from `iova` on, all of it in this area. 0, -EPERM, -EFAULT. */
  transfer(kernel: Kernel, iova: bigint, data: Uint8Array, write: boolean): number {
    if (write && !this.pages.writable) {
      return kernel.refuse(EPERM, `the memory behind iova 0x${iova.toString(16)} was mapped for reading`);
    }
    const { mm, start } = this.pages;
    for (let done = 0; done < data.length; ) {
      const at = start + Number(this.byteOf(iova)) + done;
      const frame = mm.frame(at, write);
      if (frame < 0) return kernel.refuse(EFAULT, `no memory is behind iova 0x${(iova + BigInt(done)).toString(16)}`);
      const offset = at % PAGE_SIZE;
      const length = Math.min(data.length - done, PAGE_SIZE - offset);
      const memory = kernel.memory.bytes.subarray(frame + offset, frame + offset + length);
      if (write) memory.set(data.subarray(done, done + length));
      else data.set(memory, done);
      done += length;
    }
    return 0;
  }

  #empty(domain: IommuDomain, first: number, end: number): void {
    if (end > first) domain.unmap(this.iova, BigInt(end - first) * PAGE);
    for (let index = first; index < end; index++) this.pages.unpin(index);
  }

  #indexOf(iova: bigint): number {
    return Number(this.byteOf(iova) / PAGE);
  }
}
