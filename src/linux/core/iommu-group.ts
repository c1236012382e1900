/** IOMMU groups: the sets of devices that can only be isolated together (drivers/iommu/iommu.c). */

import { strict as assert } from 'node:assert';
import { EINVAL } from '../uapi/errno.ts';
import type { Device } from './device.ts';
import type { Sysfs } from './sysfs.ts';

/** What groups need of the kernel. */
export interface IommuHost {
  readonly sysfs: Sysfs;
  printk(text: string): void;
}

/** One group: `struct iommu_group`. It lives while it is referenced or has devices. */
export class IommuGroup {
  readonly id: number;
  readonly #host: IommuHost;
  readonly #release: (group: IommuGroup) => void;
  readonly #devices: Device[] = [];
  #references = 1;

  constructor(host: IommuHost, id: number, release: (group: IommuGroup) => void) {
    this.id = id;
    this.#host = host;
    this.#release = release;
    const { sysfs } = host;
    sysfs.directory(`${this.path}/devices`);
    sysfs.attribute(`${this.path}/reserved_regions`, { mode: 0o444, show: () => '' });
    // Without a default domain the type is unknown and cannot be changed (iommu_group_store_type).
    sysfs.attribute(`${this.path}/type`, { mode: 0o644, show: () => 'unknown\n', store: () => -EINVAL });
  }

  get path(): string {
    return `/sys/kernel/iommu_groups/${this.id}`;
  }

  get devices(): readonly Device[] {
    return this.#devices;
  }

  /** iommu_group_set_name: the attribute `name`. */
  setName(name: string): void {
    this.#host.sysfs.remove(`${this.path}/name`);
    this.#host.sysfs.attribute(`${this.path}/name`, { mode: 0o444, show: () => `${name}\n` });
  }

  /** iommu_group_add_device: links both ways, and the kernel's log line. The device holds a reference. */
  add(device: Device): void {
    assert(device.iommuGroup === undefined, `device ${device.name} is in IOMMU group ${device.iommuGroup} already`);
    this.#devices.push(device);
    this.#references++;
    device.iommuGroup = this.id;
    this.#host.sysfs.link(`${device.path}/iommu_group`, this.path);
    this.#host.sysfs.link(`${this.path}/devices/${device.name}`, device.path);
    this.#host.printk(`${device.driverString} ${device.name}: Adding to iommu group ${this.id}`);
  }

  /** iommu_group_remove_device. */
  remove(device: Device): void {
    const at = this.#devices.indexOf(device);
    assert(at >= 0, `device ${device.name} is not in IOMMU group ${this.id}`);
    this.#host.printk(`${device.driverString} ${device.name}: Removing from iommu group ${this.id}`);
    this.#devices.splice(at, 1);
    device.iommuGroup = undefined;
    this.#host.sysfs.remove(`${this.path}/devices/${device.name}`);
    this.#host.sysfs.remove(`${device.path}/iommu_group`);
    this.put();
  }

  /** iommu_group_ref_get. */
  get(): this {
    this.#references++;
    return this;
  }

  /** iommu_group_put: the last one frees the group and its number. */
  put(): void {
    if (--this.#references > 0) return;
    this.#host.sysfs.remove(this.path);
    this.#release(this);
  }
}

/** The groups of one host, by number. */
export class IommuGroups {
  readonly #host: IommuHost;
  readonly #groups: (IommuGroup | undefined)[] = [];

  constructor(host: IommuHost) {
    this.#host = host;
    host.sysfs.directory('/sys/kernel/iommu_groups');
  }

  /** iommu_group_alloc: a new group with the lowest free number; the caller holds one reference. */
  allocate(): IommuGroup {
    let id = 0;
    while (this.#groups[id] !== undefined) id++;
    const group = new IommuGroup(this.#host, id, () => {
      this.#groups[id] = undefined;
    });
    this.#groups[id] = group;
    return group;
  }

  /** The group of this number. */
  find(id: number): IommuGroup | undefined {
    return this.#groups[id];
  }
}
