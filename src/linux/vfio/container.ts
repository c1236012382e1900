/**
 * /dev/vfio/vfio: a container, the set of groups that share one I/O address space (drivers/vfio/container.c).
 * Until a group has joined and SET_IOMMU chose a backend it can only be asked questions.
 */

import { type FileOperations, OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENODEV, ENOMEM } from '../uapi/errno.ts';
import { VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../uapi/vfio.ts';
import { type ContainedGroup, checkType1Extension, Type1 } from './type1.ts';

export const CONTAINER_PATH = '/dev/vfio/vfio';

/** `struct vfio_container`. Lives as long as the container fd or an attached group needs it. */
export class VfioContainer {
  readonly #kernel: Kernel;
  /** Attached groups, in order of attachment. */
  readonly #groups = new Set<ContainedGroup>();
  #iommu: Type1 | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The backend that SET_IOMMU chose, while one is chosen. */
  get iommu(): Type1 | undefined {
    return this.#iommu;
  }

  /** vfio_container_attach_group: 0, -EPERM if the kernel's drivers own the group's DMA, or the backend's refusal. */
  attachGroup(group: ContainedGroup): number {
    const { iommuGroup } = group;
    const backed = iommuGroup.ops !== undefined;
    const denied = backed ? iommuGroup.claimDmaOwner(group) : 0;
    if (denied < 0) return denied;
    const error = this.#iommu?.attachGroup(group) ?? 0;
    if (error < 0) {
      if (backed) iommuGroup.releaseDmaOwner();
      return error;
    }
    this.#groups.add(group);
    return 0;
  }

  /** vfio_group_detach_container: when the last group leaves, the backend and all its mappings go. */
  detachGroup(group: ContainedGroup): void {
    this.#iommu?.detachGroup(group);
    if (group.iommuGroup.ops !== undefined) group.iommuGroup.releaseDmaOwner();
    this.#groups.delete(group);
    if (this.#groups.size === 0) this.#iommu = undefined;
  }

  /** CHECK_EXTENSION: 1 or 0. */
  checkExtension(extension: number): number {
    return checkType1Extension(extension, this.#iommu);
  }

  /** vfio_fops_unl_ioctl. */
  ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_GET_API_VERSION.number:
        return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION.number:
        return this.checkExtension(argument);
      case VFIO_SET_IOMMU.number:
        return this.#setIommu(argument);
      default:
        if (this.#iommu === undefined) {
          return this.#kernel.refuse(
            EINVAL,
            'the container has no IOMMU yet: SET_CONTAINER of a group, then SET_IOMMU',
          );
        }
        return this.#iommu.ioctl(request, argument);
    }
  }

  #setIommu(type: number): number {
    const kernel = this.#kernel;
    if (this.#groups.size === 0) {
      return kernel.refuse(EINVAL, 'a container without a group cannot choose an IOMMU: access comes with the group');
    }
    if (this.#iommu !== undefined) return kernel.refuse(EINVAL, 'the container has an IOMMU already');
    if (checkType1Extension(type, undefined) <= 0) {
      return kernel.refuse(ENODEV, `no IOMMU backend supports type ${type}`);
    }
    const iommu = Type1.open(kernel, type);
    if (typeof iommu === 'number') return iommu;
    for (const group of this.#groups) {
      const error = iommu.attachGroup(group);
      if (error < 0) {
        for (const attached of this.#groups) iommu.detachGroup(attached);
        return error;
      }
    }
    this.#iommu = iommu;
    return 0;
  }
}

const operations: FileOperations = {
  ioctl: (file, request, argument) => (file.privateData as VfioContainer).ioctl(request, argument),
};

/** Open /dev/vfio/vfio: each open is a new container. -ENOMEM. */
export const openContainer = (kernel: Kernel, flags: number): OpenFile | number =>
  kernel.kmalloc('struct vfio_container')
    ? new OpenFile(CONTAINER_PATH, operations, flags, new VfioContainer(kernel))
    : -ENOMEM;

/** The container behind a file; undefined if the file is something else. */
export const containerFromFile = (file: OpenFile): VfioContainer | undefined =>
  file.operations === operations ? (file.privateData as VfioContainer) : undefined;
