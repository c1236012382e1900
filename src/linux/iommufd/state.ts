/** What the parts of one iommufd share (struct iommufd_ctx, drivers/iommu/iommufd/iommufd_private.h of Linux 6.6). */

import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import { type HwPagetable, Ioas } from './ioas.ts';
import { type IommufdObject, ObjectTable } from './objects.ts';
import type { Account } from './pages.ts';

/** `struct iommufd_group`: what the bound devices of one IOMMU group have in common. */
export class BoundGroup {
  readonly iommuGroup: IommuGroup;
  /** Devices that have a page table, which is the same for all. */
  readonly attached = new Set<IommufdObject>();
  bound = 0;
  pagetable: HwPagetable | undefined;

  constructor(iommuGroup: IommuGroup) {
    this.iommuGroup = iommuGroup;
  }
}

export class IommufdState {
  readonly kernel: Kernel;
  readonly objects: ObjectTable;
  /** Those of which a device is bound. */
  readonly groups = new Map<IommuGroup, BoundGroup>();
  /** Whose limit counts pinned pages. */
  account: Account = 'user';

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.objects = new ObjectTable(kernel);
  }

  /** iommufd_get_ioas: -ENOENT. */
  space(id: number): Ioas | number {
    return this.objects.find(id, Ioas, 'ioas');
  }
}
