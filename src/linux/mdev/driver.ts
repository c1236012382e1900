/** The interface of a mediated driver since Linux 6.1: `struct mdev_driver` and `struct mdev_type` (include/linux/mdev.h). */

import type { Mdev } from './device.ts';
import type { MdevType } from './type.ts';

/** A directory of read-only attributes that every device of a driver gets: one of `driver.dev_groups`. */
export interface MdevAttributeGroup {
  readonly name: string;
  readonly attributes: Readonly<Record<string, (mdev: Mdev) => string>>;
}

/** What a parent says of a type: the directory is DRIVER-sysfs_name, the attribute `name` shows pretty_name. */
export interface MdevTypeDescription {
  readonly sysfs_name: string;
  readonly pretty_name?: string | undefined;
}

/** A driver on the mdev bus. Its devices are bound to it as they are made. */
export interface MdevDriver {
  /** Its name on the bus, and that of its module. */
  readonly name: string;
  /** What the attribute device_api shows: `vfio-pci`. */
  readonly device_api: string;
  /** Devices that may exist on a parent, where `get_available` does not say. */
  readonly max_instances?: number | undefined;
  readonly dev_groups?: readonly MdevAttributeGroup[] | undefined;
  /** Take the device: register it with VFIO. 0 or -errno, which is the errno of the write to `create`. */
  probe(mdev: Mdev): number;
  /** Let the device go: unregister it. Its file may still be open; VFIO tells the device's `release` when it is not. */
  remove(mdev: Mdev): void;
  /** Devices of the type that can still be made. */
  get_available?(type: MdevType): number;
  /** Text of the attribute `description`. */
  show_description?(type: MdevType): string;
}
