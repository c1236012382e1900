/**
 * An I/O address space, and the page tables of the IOMMU that translate by its mappings (drivers/iommu/iommufd/{ioas,hw_pagetable}.c
 * of Linux 6.6).
 */

import type { IommuDomain } from '../core/iommu.ts';
import type { Kernel } from '../core/kernel.ts';
import { IoPagetable } from './io-pagetable.ts';
import { IommufdObject } from './objects.ts';

/** `struct iommufd_ioas`. */
export class Ioas extends IommufdObject {
  readonly kind = 'ioas';
  readonly iopt: IoPagetable;
  /** In order of making. */
  readonly pagetables = new Set<HwPagetable>();

  constructor(kernel: Kernel) {
    super();
    this.iopt = new IoPagetable(kernel);
  }

  override destroy(): void {
    this.iopt.unmapAll();
  }
}

/** `struct iommufd_hw_pagetable`. Its domain is entered in the space already. */
export class HwPagetable extends IommufdObject {
  readonly kind = 'hwpt';
  readonly ioas: Ioas;
  readonly domain: IommuDomain;
  /** The kernel made it for a device that was attached to the space, and it goes with the last such device. */
  readonly automatic: boolean;

  constructor(ioas: Ioas, domain: IommuDomain, automatic: boolean) {
    super();
    this.ioas = ioas;
    this.domain = domain;
    this.automatic = automatic;
    ioas.users++;
    ioas.pagetables.add(this);
  }

  override destroy(): void {
    this.ioas.pagetables.delete(this);
    this.ioas.iopt.removeDomain(this.domain);
    this.domain.free();
    this.ioas.users--;
  }
}
