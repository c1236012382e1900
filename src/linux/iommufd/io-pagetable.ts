/**
 * The mappings of one I/O address space: `struct io_pagetable` (drivers/iommu/iommufd/io_pagetable.c of Linux 6.6). What is mapped
 * is entered in the page table of every IOMMU domain that belongs to it, and can be reached by every driver that has access.
 */

import type { Hpa } from '../../address.ts';
import { PAGE_SIZE } from '../../address.ts';
import type { IommuDomain, ReservedRegion } from '../core/iommu.ts';
import type { Kernel } from '../core/kernel.ts';
import { IovaList } from '../iommu/iova-list.ts';
import { EADDRINUSE, EDEADLOCK, EEXIST, EINVAL, ENOENT, EOVERFLOW, EPERM } from '../uapi/errno.ts';
import { chooseIova, type IovaSpan, within } from './allocate-iova.ts';
import { IoptArea, type PageSpan } from './area.ts';
import { iommufdMap, iommufdUnmap } from './events.ts';

export const LAST_IOVA = 0xffff_ffff_ffff_ffffn;
const PAGE = BigInt(PAGE_SIZE);
/** A driver that keeps pages although its unmap is called is told this often. */
const UNMAP_REQUESTS = 100;
/** Where the kernel warns. */
const [DEVICE, IO_PAGETABLE, PAGES] = ['device.c', 'io_pagetable.c', 'pages.c'].map(
  (file) => `drivers/iommu/iommufd/${file}`,
) as [string, string, string];

/** A driver that reaches memory through the space: `struct iommufd_access`, as the space sees it. */
export interface AreaUser {
  /** What [iova, iova + length) of it has pinned has to go. */
  unmap(iova: bigint, length: bigint): void;
}

/** What a mapping is asked to be; without `iova` the space chooses. */
export interface MapRequest {
  readonly iova: bigint | undefined;
  readonly readable: boolean;
  readonly writable: boolean;
}

interface Reservation extends IovaSpan {
  readonly owner: object;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const range = (start: bigint, last: bigint): string => `[${hex(start)}, ${hex(last)}]`;

export class IoPagetable {
  readonly #kernel: Kernel;
  readonly #areas = new IovaList<IoptArea>();
  readonly #domains = new Set<IommuDomain>();
  readonly #users = new Set<AreaUser>();
  #reserved: readonly Reservation[] = [];
  #allowed: readonly IovaSpan[] = [];
  #largePages = true;
  /** Every address and length is a multiple of it. Bytes, until a page table or a driver wants pages. */
  #alignment = 1n;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get alignment(): bigint {
    return this.#alignment;
  }

  get largePages(): boolean {
    return this.#largePages;
  }

  get mappings(): number {
    return this.#areas.size;
  }

  /** What of [0, 2^64) is not reserved, in order. */
  ranges(): readonly IovaSpan[] {
    return within([{ start: 0n, last: LAST_IOVA }], this.#reserved);
  }

  /** iopt_set_allow_iova: from now on addresses are chosen in `allowed`. -EADDRINUSE if part of it is reserved. */
  allow(allowed: readonly IovaSpan[]): number {
    const taken = allowed.find((span) => this.#reservation(span.start, span.last) !== undefined);
    if (taken !== undefined) {
      return this.#kernel.refuse(EADDRINUSE, `${range(taken.start, taken.last)} holds addresses that are reserved`);
    }
    this.#allowed = allowed;
    return 0;
  }

  /** iopt_enable_large_pages, iopt_disable_large_pages: -EINVAL where pages are mapped already, -EADDRINUSE by what is mapped. */
  setLargePages(largePages: boolean): number {
    if (largePages === this.#largePages) return 0;
    if (!largePages && this.#domains.size > 0 && this.mappings > 0) {
      return this.#kernel.refuse(
        EINVAL,
        'a page table may have large pages already: HUGE_PAGES goes off before one is filled',
      );
    }
    const error = this.#align(this.#required({ largePages }));
    if (error === 0) this.#largePages = largePages;
    return error;
  }

  /**
   * iopt_map_pages: map the `spans`, one behind the other. The I/O address; -EINVAL (alignment, reserved addresses), -EOVERFLOW,
   * -EEXIST, -ENOSPC, -EPERM (the memory may not be written), or what stood against pinning. All or nothing.
   */
  map(spans: readonly PageSpan[], request: MapRequest): bigint | number {
    const kernel = this.#kernel;
    const length = spans.reduce((sum, span) => sum + span.length, 0n);
    const at = this.#place(spans[0] as PageSpan, length, request.iova);
    if (typeof at === 'number') return at;
    const added: IoptArea[] = [];
    let iova = at;
    for (const span of spans) {
      const area = new IoptArea(iova, span, request.readable, request.writable);
      const error = this.#add(area);
      if (error < 0) {
        for (const each of added) this.#remove(each);
        return error;
      }
      added.push(area);
      iova += span.length;
    }
    const { readable, writable } = request;
    if (iommufdMap.on) iommufdMap(kernel.stream, { iova: at, size: length, readable, writable });
    return at;
  }

  /** iopt_get_pages: what is mapped at [iova, iova + length), to be mapped elsewhere. -EINVAL, -EOVERFLOW, -ENOENT for a hole. */
  spansOf(iova: bigint, length: bigint): readonly PageSpan[] | number {
    const areas = this.#contiguous(iova, length);
    if (typeof areas === 'number') return areas;
    return areas.map((area) => {
      const from = iova > area.iova ? iova : area.iova;
      const last = iova + length - 1n < area.last ? iova + length - 1n : area.last;
      return { pages: area.pages, start: area.byteOf(from), length: last - from + 1n };
    });
  }

  /** iopt_unmap_iova: the bytes unmapped. -ENOENT for a hole, and for a mapping that would be cut; -EDEADLOCK if a driver does not let go. */
  unmap(iova: bigint, last: bigint): bigint | number {
    const kernel = this.#kernel;
    let unmapped = 0n;
    for (;;) {
      const area = this.#areas.find(iova, last + 1n);
      if (area === undefined) break;
      if (area.iova < iova || area.last > last) {
        const mapped = range(area.iova, area.last);
        return kernel.refuse(ENOENT, `${range(iova, last)} would cut the mapping ${mapped}: mappings go whole`);
      }
      const error = this.#evict(area);
      if (error < 0) return error;
      this.#remove(area);
      unmapped += area.size;
      if (iommufdUnmap.on) iommufdUnmap(kernel.stream, { iova: area.iova, size: area.size });
    }
    return unmapped > 0n ? unmapped : kernel.refuse(ENOENT, `nothing is mapped at ${range(iova, last)}`);
  }

  /** iopt_unmap_all; nothing to unmap is no error for a space that goes. */
  unmapAll(): void {
    for (const area of this.#areas.all()) this.#remove(area);
  }

  /**
   * iopt_table_add_domain: `domain` translates by the mappings from now on. -EADDRINUSE if a mapping lies beyond its last address
   * or is not made of its pages, or what stood against pinning.
   */
  addDomain(domain: IommuDomain): number {
    const smallest = domain.pageSizes & -domain.pageSizes;
    const error = this.#align(smallest > this.#alignment ? smallest : this.#alignment, () =>
      domain.apertureEnd === LAST_IOVA ? 0 : this.#reserve(domain.apertureEnd + 1n, LAST_IOVA, domain),
    );
    if (error < 0) return error;
    const filled: IoptArea[] = [];
    for (const area of this.#areas.all()) {
      const failed = area.fill(this.#kernel, domain, this.#largePages);
      if (failed === 0) {
        filled.push(area);
        continue;
      }
      for (const each of filled) each.unfill(domain);
      this.unreserve(domain);
      this.#alignment = this.#required({});
      return failed;
    }
    this.#domains.add(domain);
    return 0;
  }

  /** iopt_table_remove_domain. */
  removeDomain(domain: IommuDomain): void {
    for (const area of this.#areas.all()) area.unfill(domain);
    this.#domains.delete(domain);
    this.unreserve(domain);
    this.#alignment = this.#required({});
  }

  /** iopt_table_enforce_dev_resv_regions: what the device behind `owner` cannot reach is not mapped. -EADDRINUSE if it is. */
  reserveFor(owner: object, regions: readonly ReservedRegion[]): number {
    for (const { start, end } of regions) {
      const error = this.#reserve(start, end, owner);
      if (error === 0) continue;
      this.unreserve(owner);
      return error;
    }
    return 0;
  }

  /** iopt_remove_reserved_iova. */
  unreserve(owner: object): void {
    this.#reserved = this.#reserved.filter((each) => each.owner !== owner);
  }

  /** iopt_add_access: the driver needs whole pages. -EADDRINUSE if a mapping is not made of them. */
  addUser(user: AreaUser): number {
    const error = this.#align(PAGE > this.#alignment ? PAGE : this.#alignment);
    if (error === 0) this.#users.add(user);
    return error;
  }

  /** iopt_remove_access. */
  removeUser(user: AreaUser): void {
    this.#users.delete(user);
    this.#alignment = this.#required({});
  }

  /** iommufd_access_pin_pages: the frames behind [iova, iova + length); -EINVAL, -EOVERFLOW, -ENOENT, -EPERM, -EFAULT, -ENOMEM. All or none. */
  pin(iova: bigint, length: bigint, write: boolean): readonly Hpa[] | number {
    const frames: Hpa[] = [];
    const done: IoptArea[] = [];
    const error = this.#eachArea(iova, length, (area, from, last) => {
      const pinned =
        this.#accessError(area, write, wholePages(area, from, last, iova + length - 1n)) ||
        area.pin(this.#kernel, from, last, write);
      if (typeof pinned === 'number') return pinned;
      frames.push(...pinned);
      done.push(area);
      return 0;
    });
    if (error === 0) return frames;
    for (const area of done) area.unpin(...part(area, iova, length));
    return error;
  }

  /** iommufd_access_unpin_pages: only what was pinned by one call can be unpinned by one. */
  unpin(iova: bigint, length: bigint): void {
    for (const area of this.#areas.overlapping(iova, iova + length)) {
      if (!area.unpin(...part(area, iova, length))) this.#kernel.warn(PAGES, 'iopt_area_remove_access', 'iommufd');
    }
    if (typeof this.#contiguous(iova, length) === 'number') {
      this.#kernel.warn(DEVICE, 'iommufd_access_unpin_pages', 'iommufd');
    }
  }

  /** iommufd_access_rw: 0, or -EINVAL, -EOVERFLOW, -ENOENT, -EPERM, -EFAULT. On an error the first bytes may have been copied. */
  transfer(iova: bigint, data: Uint8Array, write: boolean): number {
    return this.#eachArea(iova, BigInt(data.length), (area, from, last) => {
      const bytes = data.subarray(Number(from - iova), Number(last - iova) + 1);
      return this.#accessError(area, write, true) || area.transfer(this.#kernel, from, bytes, write);
    });
  }

  /** Where a mapping goes: iopt_alloc_iova or iopt_check_iova. */
  #place(first: PageSpan, length: bigint, iova: bigint | undefined): bigint | number {
    const kernel = this.#kernel;
    if (length % this.#alignment !== 0n) {
      return kernel.refuse(EINVAL, `length ${hex(length)} is not a multiple of ${this.#alignment}`);
    }
    if (iova === undefined) {
      const memory = BigInt(first.pages.start) + first.start;
      const used = [...this.#reserved, ...this.#areas.all().map((area) => ({ start: area.iova, last: area.last }))];
      return chooseIova(kernel, { memory, length, alignment: this.#alignment, allowed: this.#allowed, used });
    }
    if (iova % this.#alignment !== 0n) {
      return kernel.refuse(EINVAL, `iova ${hex(iova)} is not a multiple of ${this.#alignment}`);
    }
    const last = iova + length - 1n;
    if (last > LAST_IOVA) return kernel.refuse(EOVERFLOW, `${hex(length)} bytes at iova ${hex(iova)} wrap past 2^64`);
    const reserved = this.#reservation(iova, last);
    if (reserved !== undefined) {
      const where = range(reserved.start, reserved.last);
      return kernel.refuse(EINVAL, `${range(iova, last)} is partly reserved: no device reaches memory at ${where}`);
    }
    const existing = this.#areas.find(iova, last + 1n);
    if (existing !== undefined) {
      const mapped = range(existing.iova, existing.last);
      return kernel.refuse(EEXIST, `${range(iova, last)} overlaps the mapping ${mapped}`);
    }
    return iova;
  }

  /** iopt_insert_area, and the page tables. */
  #add(area: IoptArea): number {
    const kernel = this.#kernel;
    if (area.writable && !area.pages.writable) {
      return kernel.refuse(EPERM, 'the memory was mapped for reading; a copy cannot write it');
    }
    if (!area.isAligned(this.#alignment)) {
      return kernel.refuse(EINVAL, `the memory does not begin at a multiple of ${this.#alignment}`);
    }
    const filled: IommuDomain[] = [];
    for (const domain of this.#domains) {
      const error = area.fill(kernel, domain, this.#largePages);
      if (error < 0) {
        for (const each of filled) area.unfill(each);
        return error;
      }
      filled.push(domain);
    }
    this.#areas.insert(area);
    return 0;
  }

  #remove(area: IoptArea): void {
    for (const domain of this.#domains) area.unfill(domain);
    this.#areas.remove(area);
  }

  /** iommufd_access_notify_unmap: have the drivers unpin what they hold of an area. */
  #evict(area: IoptArea): number {
    for (let request = 0; area.accessed; request++) {
      area.preventAccess = true;
      if (request > UNMAP_REQUESTS) {
        this.#kernel.warn(IO_PAGETABLE, 'iopt_unmap_iova_range', 'iommufd');
        const what = range(area.iova, area.last);
        return this.#kernel.refuse(EDEADLOCK, `a driver keeps pages of ${what} although it was told to unpin them`);
      }
      for (const user of [...this.#users]) user.unmap(area.iova, area.size);
    }
    return 0;
  }

  /** Why a driver may not use an area now. */
  #accessError(area: IoptArea, write: boolean, aligned: boolean): number {
    const kernel = this.#kernel;
    const mapping = `the mapping ${range(area.iova, area.last)}`;
    if (area.preventAccess) return kernel.refuse(EINVAL, `${mapping} is being unmapped`);
    if (!aligned) return kernel.refuse(EINVAL, `${mapping} is not made of whole pages of its memory`);
    if (write ? area.writable : area.readable) return 0;
    return kernel.refuse(EPERM, `${mapping} does not allow it`);
  }

  /** iopt_for_each_contig_area: what of [iova, iova + length) lies in each area, until `step` fails, or at a hole -ENOENT. */
  #eachArea(iova: bigint, length: bigint, step: (area: IoptArea, from: bigint, last: bigint) => number): number {
    const kernel = this.#kernel;
    if (length === 0n) return kernel.refuse(EINVAL, 'an access to no bytes');
    if (iova + length - 1n > LAST_IOVA) {
      return kernel.refuse(EOVERFLOW, `${hex(length)} bytes at iova ${hex(iova)} wrap past 2^64`);
    }
    let next = iova;
    for (const area of this.#areas.overlapping(iova, iova + length)) {
      if (area.iova > next) break;
      const error = step(area, ...part(area, iova, length));
      if (error < 0) return error;
      next = area.last + 1n;
    }
    return next < iova + length ? kernel.refuse(ENOENT, `iova ${hex(next)} is not mapped`) : 0;
  }

  /** The areas that hold [iova, iova + length), which have no hole between them. */
  #contiguous(iova: bigint, length: bigint): readonly IoptArea[] | number {
    const areas: IoptArea[] = [];
    const error = this.#eachArea(iova, length, (area) => {
      areas.push(area);
      return 0;
    });
    return error < 0 ? error : areas;
  }

  #reservation(start: bigint, last: bigint): Reservation | undefined {
    return this.#reserved.find((each) => each.start <= last && start <= each.last);
  }

  /** iopt_reserve_iova. */
  #reserve(start: bigint, last: bigint, owner: object): number {
    const kernel = this.#kernel;
    const mapped = this.#areas.find(start, last + 1n);
    if (mapped !== undefined) {
      const what = range(mapped.iova, mapped.last);
      return kernel.refuse(EADDRINUSE, `the mapping ${what} lies where the device cannot reach memory`);
    }
    const allowed = this.#allowed.find((each) => each.start <= last && start <= each.last);
    if (allowed !== undefined) {
      const what = range(allowed.start, allowed.last);
      return kernel.refuse(
        EADDRINUSE,
        `${what}, which ALLOW_IOVAS named, has addresses where the device reaches no memory`,
      );
    }
    this.#reserved = [...this.#reserved, { start, last, owner }];
    return 0;
  }

  /** iopt_calculate_iova_alignment. */
  #required({ largePages = this.#largePages }: { readonly largePages?: boolean }): bigint {
    const needs = [...this.#domains].map(({ pageSizes }) => pageSizes & -pageSizes);
    if (!largePages || this.#users.size > 0) needs.push(PAGE);
    return needs.reduce((most, each) => (each > most ? each : most), 1n);
  }

  /** iopt_check_iova_alignment, then `step`; the alignment changes if both succeed. */
  #align(alignment: bigint, step: () => number = () => 0): number {
    const odd = alignment > this.#alignment ? this.#areas.all().find((area) => !area.isAligned(alignment)) : undefined;
    if (odd !== undefined) {
      const what = range(odd.iova, odd.last);
      return this.#kernel.refuse(EADDRINUSE, `the mapping ${what} is not made of whole pages of ${alignment} bytes`);
    }
    const error = step();
    if (error === 0) this.#alignment = alignment;
    return error;
  }
}

/** iopt_area_contig_is_aligned: what is taken of an area begins with a page of its memory, and ends with one unless it ends all. */
function wholePages(area: IoptArea, from: bigint, last: bigint, end: bigint): boolean {
  return area.byteOf(from) % PAGE === 0n && (last === end || area.byteOf(area.last) % PAGE === PAGE - 1n);
}

/** What of [iova, iova + length) lies in the area, both ends included. */
function part(area: IoptArea, iova: bigint, length: bigint): readonly [from: bigint, last: bigint] {
  const last = iova + length - 1n;
  return [iova > area.iova ? iova : area.iova, last < area.last ? last : area.last];
}
