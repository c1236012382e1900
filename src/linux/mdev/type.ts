/** A type of mediated device that a parent can make: `struct mdev_type` (include/linux/mdev.h), and what its driver says of it. */

/** Value of `device_api` for a device that looks like PCI. */
export const VFIO_DEVICE_API_PCI = 'vfio-pci';

/** One type of device that a parent can make: an attribute group of mdev_supported_types/. */
export interface MdevTypeGroup {
  /** `1`: the directory is DRIVER-1. */
  readonly name: string;
  /** Attributes of mode 0444 by name: `name`, `device_api`, `available_instances`, and more if the driver likes. */
  readonly attributes: Readonly<Record<string, (type: MdevType) => string | number>>;
}

/** One directory of mdev_supported_types/. */
export class MdevType {
  /** `mtty-1`. */
  readonly name: string;
  readonly group: MdevTypeGroup;
  /** Its directory under /sys. */
  readonly path: string;

  constructor(name: string, group: MdevTypeGroup, path: string) {
    this.name = name;
    this.group = group;
    this.path = path;
  }
}
