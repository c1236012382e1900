/** IOMMU groups: the sets of devices that can only be isolated together (drivers/iommu/iommu.c). */

import { strict as assert } from 'node:assert';
import { EBUSY, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import type { Device, Driver } from './device.ts';
import type { IommuDomain, IommuOps } from './iommu.ts';
import type { Sysfs } from './sysfs.ts';

/** What groups need of the kernel. */
export interface IommuHost {
  readonly sysfs: Sysfs;
  printk(text: string): void;
  refuse(errno: number, because: string): number;
}

/**
 * One group: `struct iommu_group`. It lives while it is referenced or has devices. A group without `ops` is a mere number for
 * devices that no IOMMU stands before, such as mdevs.
 *
 * DMA has one owner: the drivers of the kernel, who share the default domain, or user space, which brings its own domain. While
 * user space owns the group and has attached no domain, its devices reach nothing.
 */
export class IommuGroup {
  readonly id: number;
  /** The IOMMU in front of the devices. */
  readonly ops: IommuOps | undefined;
  readonly #host: IommuHost;
  readonly #release: (group: IommuGroup) => void;
  readonly #devices: Device[] = [];
  #references = 1;
  /** The domain of the kernel's drivers, and the one that reaches nothing; both are there with the first device. */
  #default: IommuDomain | undefined;
  #blocking: IommuDomain | undefined;
  #domain: IommuDomain | undefined;
  /** User space, while it owns the DMA of the group; and how many own it: drivers each count, user space is one. */
  #owner: object | undefined;
  #owners = 0;

  constructor(host: IommuHost, id: number, ops: IommuOps | undefined, release: (group: IommuGroup) => void) {
    this.id = id;
    this.ops = ops;
    this.#host = host;
    this.#release = release;
    const { sysfs } = host;
    sysfs.directory(`${this.path}/devices`);
    const reserved = (ops?.reserved ?? []).map(({ start, end, kind }) => `${address(start)} ${address(end)} ${kind}\n`);
    sysfs.attribute(`${this.path}/reserved_regions`, { mode: 0o444, show: () => reserved.join('') });
    // Without a default domain the type is unknown. Changing it is for groups whose devices have no driver; here for none.
    const type = ops === undefined ? 'unknown\n' : 'DMA-FQ\n';
    sysfs.attribute(`${this.path}/type`, { mode: 0o644, show: () => type, store: () => -EINVAL });
  }

  /** Whether somebody owns the group's DMA: a native driver of one of its devices, or user space. */
  get dmaOwned(): boolean {
    return this.#owners > 0;
  }

  /** The domain that its devices are attached to. */
  get domain(): IommuDomain | undefined {
    return this.#domain;
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
    if (this.ops !== undefined) this.#admit(device, this.ops);
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
    this.ops?.detach(device);
    this.#host.sysfs.remove(`${this.path}/devices/${device.name}`);
    this.#host.sysfs.remove(`${device.path}/iommu_group`);
    this.put();
  }

  /** iommu_device_use_default_domain: a native driver takes a device. -EBUSY while user space owns the group's DMA. */
  useDefaultDomain(): number {
    if (this.#owner !== undefined) {
      return this.#host.refuse(EBUSY, `user space owns the DMA of IOMMU group ${this.id}`);
    }
    this.#owners++;
    return 0;
  }

  /** iommu_device_unuse_default_domain. */
  unuseDefaultDomain(): void {
    this.#owners--;
  }

  /** iommu_group_claim_dma_owner: user space takes the group. -EPERM if anybody owns its DMA. */
  claimDmaOwner(owner: object): number {
    if (this.#owners > 0) {
      const bound = this.#devices.filter(({ driver }) => driver !== undefined && driver.managesDma !== true);
      const who = bound.map(({ name, driver }) => `${name} is bound to ${driver?.name}`).join(', ');
      return this.#host.refuse(EPERM, `IOMMU group ${this.id} is not viable: ${who || 'user space has it already'}`);
    }
    this.#owners = 1;
    this.#owner = owner;
    this.#attachAll(this.#blocking);
    return 0;
  }

  /** iommu_device_claim_dma_owner: {@link claimDmaOwner}, for one device of several that the same owner may have. */
  claimDeviceDmaOwner(owner: object): number {
    if (this.#owners === 0 || this.#owner !== owner) return this.claimDmaOwner(owner);
    this.#owners++;
    return 0;
  }

  /** iommu_group_release_dma_owner, iommu_device_release_dma_owner: with the last claim back to the kernel's drivers. */
  releaseDmaOwner(): void {
    if (--this.#owners > 0) return;
    this.#owner = undefined;
    this.#attachAll(this.#default);
  }

  /** iommu_attach_group: the owner's domain. -EBUSY if another one is attached. */
  attach(domain: IommuDomain): number {
    if (this.#domain !== this.#default && this.#domain !== this.#blocking) {
      return this.#host.refuse(EBUSY, `IOMMU group ${this.id} is attached to another domain`);
    }
    this.#attachAll(domain);
    return 0;
  }

  /** iommu_group_replace_domain: from the domain it has to another one, without a moment between. */
  replace(domain: IommuDomain): void {
    this.#attachAll(domain);
  }

  /** iommu_detach_group: to the blocking domain while user space owns the group, else to the default one. */
  detach(): void {
    this.#attachAll(this.#owner === undefined ? this.#default : this.#blocking);
  }

  /** iommu_group_ref_get. */
  get(): this {
    this.#references++;
    return this;
  }

  /** iommu_group_put: the last one frees the group and its number. */
  put(): void {
    if (--this.#references > 0) return;
    this.#default?.free();
    this.#blocking?.free();
    this.#host.sysfs.remove(this.path);
    this.#release(this);
  }

  #admit(device: Device, ops: IommuOps): void {
    this.#default ??= ops.allocateDomain();
    this.#blocking ??= ops.allocateDomain();
    this.#domain ??= this.#default;
    if (this.#domain === undefined || this.#blocking === undefined) {
      this.#host.refuse(ENOMEM, `no page for a domain of IOMMU group ${this.id}: ${device.name} can do no DMA`);
      return;
    }
    ops.attach(device, this.#domain);
  }

  #attachAll(domain: IommuDomain | undefined): void {
    if (domain === undefined) return;
    this.#domain = domain;
    for (const device of this.#devices) this.ops?.attach(device, domain);
  }
}

const address = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

/** The groups of one host, by number. */
export class IommuGroups {
  readonly #host: IommuHost;
  readonly #groups: (IommuGroup | undefined)[] = [];

  constructor(host: IommuHost) {
    this.#host = host;
    host.sysfs.directory('/sys/kernel/iommu_groups');
  }

  /** iommu_group_alloc: a new group with the lowest free number, behind an IOMMU or none; the caller holds one reference. */
  allocate(ops?: IommuOps): IommuGroup {
    let id = 0;
    while (this.#groups[id] !== undefined) id++;
    const group = new IommuGroup(this.#host, id, ops, () => {
      this.#groups[id] = undefined;
    });
    this.#groups[id] = group;
    return group;
  }

  /** The group of this number. */
  find(id: number): IommuGroup | undefined {
    return this.#groups[id];
  }

  /**
   * What buses do before `driver` binds (pci_dma_configure, platform_dma_configure): a driver that does DMA itself must find
   * the DMA of the device's group in the kernel's hands. 0 or -EBUSY.
   */
  configureDma(device: Device, driver: Driver): number {
    return driver.managesDma === true ? 0 : (this.#of(device)?.useDefaultDomain() ?? 0);
  }

  /** Undo {@link configureDma}. */
  cleanUpDma(device: Device, driver: Driver): void {
    if (driver.managesDma !== true) this.#of(device)?.unuseDefaultDomain();
  }

  #of({ iommuGroup }: Device): IommuGroup | undefined {
    return iommuGroup === undefined ? undefined : this.#groups[iommuGroup];
  }
}
