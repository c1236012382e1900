/**
 * The type1 IOMMU backend of a container: drivers/vfio/vfio_iommu_type1.c of Linux 6.1. Groups with an IOMMU share one domain,
 * which translates by the container's mappings; groups without (mdev) leave the mappings to their drivers.
 */

import type { IommuOps } from '../core/iommu.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import { EBUSY, EINVAL, EIO, ENOMEM, ENOTTY, EPERM } from '../uapi/errno.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '../uapi/vfio.ts';
import { dirtyPages } from './dirty-pages.ts';
import { DmaSpace } from './dma-space.ts';
import { isUsable, usableRanges } from './iova-ranges.ts';
import { getIommuInfo } from './type1-info.ts';
import { mapDma, unmapDma } from './type1-map.ts';

/** A group as its container sees it. */
export interface ContainedGroup {
  readonly id: number;
  readonly iommuGroup: IommuGroup;
}

/** The types that SET_IOMMU may choose; -EINVAL at open for the other extensions. */
const OPENABLE: readonly number[] = [VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_TYPE1v2_IOMMU];

/** CHECK_EXTENSION of the backend; `iommu` is undefined while the asking container has not chosen it. */
export function checkType1Extension(extension: number, iommu: Type1 | undefined): number {
  switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_TYPE1_NESTING_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_UPDATE_VADDR:
      return iommu?.mediated === false ? 1 : 0;
    case VFIO_DMA_CC_IOMMU:
      return iommu?.enforcesCoherency === true ? 1 : 0;
    default:
      return 0;
  }
}

/** One container's type1 state: `struct vfio_iommu`. */
export class Type1 {
  readonly #kernel: Kernel;
  readonly space: DmaSpace;
  readonly #emulated = new Set<ContainedGroup>();
  readonly #backed = new Set<ContainedGroup>();
  /** Groups with an IOMMU whose drivers have shown that they pin what they use (pinned_page_dirty_scope). */
  readonly #pinning = new Set<ContainedGroup>();

  private constructor(kernel: Kernel, v2: boolean) {
    this.#kernel = kernel;
    this.space = new DmaSpace(kernel, v2);
  }

  /** vfio_iommu_type1_open: a new backend of IOMMU type `type`, -EINVAL for an extension that is no IOMMU type, or -ENOMEM. */
  static open(kernel: Kernel, type: number): Type1 | number {
    if (!OPENABLE.includes(type))
      return kernel.refuse(EINVAL, `extension ${type} can be asked for but is no IOMMU type`);
    if (!kernel.kmalloc('struct vfio_iommu')) return -ENOMEM;
    return new Type1(kernel, type !== VFIO_TYPE1_IOMMU);
  }

  /** A group without an IOMMU is attached. */
  get mediated(): boolean {
    return this.#emulated.size > 0;
  }

  /** "All domains enforce coherency" holds also when there is none, as in a container of mdevs. */
  get enforcesCoherency(): boolean {
    return this.space.domain?.enforcesCoherency ?? true;
  }

  /**
   * vfio_iommu_type1_attach_group: 0; -EINVAL if the group is here already or a mapping lies where its IOMMU cannot map; -EPERM
   * without interrupt remapping; -EIO without a domain; -EBUSY while an address is being changed; -ENOMEM; or why the mappings could not be pinned.
   */
  attachGroup(group: ContainedGroup): number {
    if (this.space.lacksAddress) {
      return this.#kernel.refuse(EBUSY, 'a mapping has no address now (UNMAP_DMA with VADDR): no group can join');
    }
    if (this.#emulated.has(group) || this.#backed.has(group)) {
      return this.#kernel.refuse(EINVAL, 'the group is attached to this IOMMU already');
    }
    if (!this.#kernel.kmalloc('struct vfio_iommu_group')) return -ENOMEM;
    const { ops } = group.iommuGroup;
    if (ops === undefined) {
      this.#emulated.add(group);
      return 0;
    }
    const error = this.#attachBacked(group, ops);
    if (error < 0) return error;
    this.#backed.add(group);
    this.#countWriters();
    return 0;
  }

  /** vfio_iommu_type1_detach_group: the domain goes with the last group that has an IOMMU, the mappings with the last of all. */
  detachGroup(group: ContainedGroup): void {
    this.#emulated.delete(group);
    this.#pinning.delete(group);
    const { domain } = this.space;
    if (this.#backed.delete(group)) {
      if (this.#backed.size === 0) {
        // Before the domain goes no page may be reachable through it any more.
        if (this.#emulated.size === 0) this.space.removeAll();
        this.space.dropDomain();
      }
      group.iommuGroup.detach();
      if (this.#backed.size === 0) domain?.free();
    } else if (this.#emulated.size === 0 && this.#backed.size === 0) {
      this.space.removeAll();
    }
    this.#countWriters();
  }

  /** A device of the group pinned pages: from now on its writes are known. */
  pinsPages(group: ContainedGroup): void {
    this.#pinning.add(group);
    this.#countWriters();
  }

  /** The container's ioctls from MAP_DMA on. -ENOTTY for one that type1 has not. */
  ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_IOMMU_GET_INFO.number:
        return getIommuInfo(this.space, argument);
      case VFIO_IOMMU_MAP_DMA.number:
        return mapDma(this.space, argument);
      case VFIO_IOMMU_UNMAP_DMA.number:
        return unmapDma(this.space, argument, this.mediated);
      case VFIO_IOMMU_DIRTY_PAGES.number:
        return dirtyPages(this.space, argument);
      default:
        return this.#kernel.refuse(ENOTTY, `type1 has no ioctl 0x${request.toString(16)}`);
    }
  }

  #attachBacked({ id, iommuGroup }: ContainedGroup, ops: IommuOps): number {
    const kernel = this.#kernel;
    if (!kernel.kmalloc('struct vfio_domain')) return -ENOMEM;
    if (this.space.domain !== undefined) return iommuGroup.attach(this.space.domain);
    const domain = ops.allocateDomain();
    if (domain === undefined) return kernel.refuse(EIO, `the IOMMU has no domain for group ${id}`);
    let error = iommuGroup.attach(domain);
    if (error === 0) {
      const ranges = usableRanges(domain, ops.reserved);
      const outside = this.space.mappings.all().find(({ iova, size }) => !isUsable(ranges, iova, size));
      if (outside !== undefined) {
        const at = `0x${outside.iova.toString(16)}`;
        error = kernel.refuse(EINVAL, `the mapping at iova ${at} lies where the IOMMU of group ${id} cannot map`);
      } else if (!ops.remapsInterrupts) {
        kernel.printk(
          'vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param "allow_unsafe_interrupts" to enable VFIO IOMMU support on this platform',
        );
        error = kernel.refuse(EPERM, 'without interrupt remapping the device could send any interrupt');
      } else {
        error = this.space.setDomain(domain);
        if (error === 0) this.space.ranges = ranges;
      }
      if (error < 0) iommuGroup.detach();
    }
    if (error < 0) domain.free();
    return error;
  }

  #countWriters(): void {
    this.space.unknownWriters = [...this.#backed].some((group) => !this.#pinning.has(group));
  }
}
