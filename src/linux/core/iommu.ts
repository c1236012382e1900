/** What an IOMMU driver gives the kernel: `struct iommu_domain` and `struct iommu_ops` (include/linux/iommu.h). */

import type { Hpa } from '../../address.ts';
import type { Device } from './device.ts';

/** Rights of a mapping: a device may read, may write. */
export const IOMMU_READ = 1;
export const IOMMU_WRITE = 2;

/** One I/O address space: what devices attached to it may reach. */
export interface IommuDomain {
  /** Page sizes of the hardware, a bit each. */
  readonly pageSizes: bigint;
  /** Last I/O address. */
  readonly apertureEnd: bigint;
  /** The hardware refuses DMA that bypasses the caches, whatever the device asks. */
  readonly enforcesCoherency: boolean;
  /** iommu_map: `size` bytes at `iova` are the memory at `host`. 0, -ENOMEM without a page for a table, -EEXIST. */
  map(iova: bigint, host: Hpa, size: bigint, rights: number): number;
  /** iommu_unmap: the bytes unmapped, which are fewer than `size` where nothing is mapped. */
  unmap(iova: bigint, size: bigint): bigint;
  /** iommu_iova_to_phys: undefined where nothing is mapped. */
  toHost(iova: bigint): Hpa | undefined;
  /** iommu_domain_free: its tables go. No device is attached any more. */
  free(): void;
}

/** Addresses that no mapping may use, as an IOMMU group lists them. Both ends belong to it. */
export interface ReservedRegion {
  readonly start: bigint;
  readonly end: bigint;
  /** `msi`: writes there are interrupts. */
  readonly kind: 'msi' | 'direct' | 'reserved';
}

/** The driver of an IOMMU, for the groups of devices behind it. */
export interface IommuOps {
  /** A new, empty domain; undefined when no page is left for it. */
  allocateDomain(): IommuDomain | undefined;
  /** From now on the device's DMA goes through `domain`. */
  attach(device: Device, domain: IommuDomain): void;
  /** The device is gone: no DMA of it is translated. */
  detach(device: Device): void;
  readonly reserved: readonly ReservedRegion[];
  /** Interrupt remapping keeps a device from sending other interrupts than its own. */
  readonly remapsInterrupts: boolean;
}
