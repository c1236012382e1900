/**
 * The I/O address space of one container: its mappings, and the IOMMU domain that translates by them if a group has an IOMMU
 * (the heart of `struct vfio_iommu`, drivers/vfio/vfio_iommu_type1.c of Linux 6.1). With a domain every mapped page is pinned
 * and has its entry in the page table; without one, as for mdevs, a mapping is only a note of what an address stands for.
 */

import { strict as assert } from 'node:assert';
import { type Hpa, PAGE_SIZE } from '../../address.ts';
import { IOMMU_READ, IOMMU_WRITE, type IommuDomain } from '../core/iommu.ts';
import type { Kernel } from '../core/kernel.ts';
import { IovaList } from '../iommu/iova-list.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { DmaMapping } from './dma-mapping.ts';
import { vfioDmaMap, vfioDmaUnmap } from './events.ts';
import type { IovaRange } from './iova-ranges.ts';
import { pinRun, unpinPage } from './pinning.ts';

/** Page sizes of a container without hardware: any power of two from 4096 up (PAGE_MASK). */
const ANY_PAGE = 0xffff_ffff_ffff_f000n;
const PAGE = BigInt(PAGE_SIZE);
/** A driver that does not unpin when it is told to is told this often (vfio_dma_do_unmap). */
const UNMAP_REQUESTS = 10;

/** A driver that pins pages, and is told before a mapping with pinned pages goes: it must unpin them then. */
export interface UnmapListener {
  dmaUnmap(iova: bigint, size: bigint): void;
}

export class DmaSpace {
  readonly kernel: Kernel;
  /** Type1v2: an unmap may not cut a mapping. */
  readonly v2: boolean;
  readonly mappings = new IovaList<DmaMapping>();
  /** Open devices whose drivers pin pages. */
  readonly listeners = new Set<UnmapListener>();
  /** Where mappings may lie; empty: everywhere. */
  ranges: readonly IovaRange[] = [];
  /** Dirty pages are being logged. */
  logging = false;
  /** A group with an IOMMU has not shown that it pins what its device uses: the device may write anything that is mapped. */
  unknownWriters = false;
  #domain: IommuDomain | undefined;

  constructor(kernel: Kernel, v2: boolean) {
    this.kernel = kernel;
    this.v2 = v2;
  }

  get domain(): IommuDomain | undefined {
    return this.#domain;
  }

  /** vaddr_invalid_count: the address of a mapping was taken away, and none given yet. */
  get lacksAddress(): boolean {
    return this.mappings.all().some(({ vaddrInvalid }) => vaddrInvalid);
  }

  get pageSizes(): bigint {
    return this.#domain?.pageSizes ?? ANY_PAGE;
  }

  /** The unit of every mapping and of the dirty log. */
  get smallestPage(): bigint {
    return this.pageSizes & -this.pageSizes;
  }

  /** vfio_iommu_replay: translate by `domain` from now on: what is mapped is pinned and entered. 0 or -errno, undone then. */
  setDomain(domain: IommuDomain): number {
    this.#domain = domain;
    for (const mapping of this.mappings.all()) {
      const error = this.#pinAndMap(mapping, domain);
      if (error < 0) {
        this.dropDomain();
        return error;
      }
    }
    return 0;
  }

  /** The last group with an IOMMU leaves: nothing is translated, and only what drivers pinned stays pinned. */
  dropDomain(): void {
    for (const mapping of this.mappings.all()) this.#unmapAndUnpin(mapping);
    this.#domain = undefined;
    this.ranges = [];
  }

  /** Add a mapping that overlaps none: 0, -EFAULT, -ENOMEM, or -EINVAL if it is too large for the dirty log. */
  add(mapping: DmaMapping): number {
    const { iova, vaddr, size, readable, writable } = mapping;
    this.mappings.insert(mapping);
    let error = this.#domain === undefined ? 0 : this.#pinAndMap(mapping, this.#domain);
    if (error === 0 && this.logging && !this.kernel.kmalloc('the dirty bits of a mapping')) error = -ENOMEM;
    if (error === 0 && this.logging && !mapping.startDirtyLog()) {
      error = this.kernel.refuse(EINVAL, `a mapping of ${size} bytes is too large for the log of dirty pages`);
    }
    if (error < 0) {
      this.#unmapAndUnpin(mapping);
      this.mappings.remove(mapping);
      return error;
    }
    if (vfioDmaMap.on) vfioDmaMap(this.kernel.stream, { iova, vaddr, size, readable, writable });
    return 0;
  }

  /** vfio_remove_dma: no driver has a page of it pinned. */
  remove(mapping: DmaMapping): void {
    const { iova, size } = mapping;
    // A driver has pages pinned for ever.
    if (mapping.pinned > 0) this.kernel.warn('drivers/vfio/vfio_iommu_type1.c', 'vfio_remove_dma', 'vfio_iommu_type1');
    this.#unmapAndUnpin(mapping);
    this.mappings.remove(mapping);
    if (vfioDmaUnmap.on) vfioDmaUnmap(this.kernel.stream, { iova, size });
  }

  /** vfio_notify_dma_unmap: have the drivers unpin what they hold of a mapping. */
  askToUnpin(mapping: DmaMapping): void {
    for (let request = 0; mapping.pinned > 0; request++) {
      assert(
        request < UNMAP_REQUESTS,
        `kernel BUG: a driver keeps pages of iova 0x${mapping.iova.toString(16)} pinned although its dma_unmap was called`,
      );
      for (const listener of [...this.listeners]) listener.dmaUnmap(mapping.iova, mapping.size);
    }
  }

  /** vfio_iommu_unmap_unpin_all. */
  removeAll(): void {
    for (const mapping of this.mappings.all()) this.remove(mapping);
  }

  #pinAndMap(mapping: DmaMapping, domain: IommuDomain): number {
    const rights = (mapping.readable ? IOMMU_READ : 0) | (mapping.writable ? IOMMU_WRITE : 0);
    mapping.iommuMapped = true;
    for (let page = 0; page < mapping.pages; ) {
      const run = pinRun(this.kernel, mapping, page);
      if (typeof run === 'number') return run;
      const iova = mapping.iova + BigInt(page) * PAGE;
      const error = domain.map(iova, run.frame, BigInt(run.pages) * PAGE, rights);
      if (error < 0) {
        for (let i = 0; i < run.pages; i++) {
          unpinPage(this.kernel, mapping, page + i, (run.frame + i * PAGE_SIZE) as Hpa, true);
        }
        assert(error === -ENOMEM, 'mappings of one address space do not overlap');
        return this.kernel.refuse(ENOMEM, 'the IOMMU has no page left for its tables');
      }
      page += run.pages;
    }
    return 0;
  }

  /** vfio_unmap_unpin: the domain knows which frames are behind the mapping. What was never mapped is passed over. */
  #unmapAndUnpin(mapping: DmaMapping): void {
    const domain = this.#domain;
    if (domain === undefined || !mapping.iommuMapped) return;
    const frames: (Hpa | undefined)[] = [];
    for (let page = 0; page < mapping.pages; page++) {
      const frame = domain.toHost(mapping.iova + BigInt(page) * PAGE);
      // Runs are mapped in order, so that the first hole is the end of a mapping that failed half-way.
      if (frame === undefined) break;
      frames.push(frame);
    }
    domain.unmap(mapping.iova, BigInt(frames.length) * PAGE);
    for (const [page, frame] of frames.entries()) {
      if (frame !== undefined) unpinPage(this.kernel, mapping, page, frame, true);
    }
    mapping.iommuMapped = false;
  }
}
