/**
 * What VFIO knows of one host: its groups, their nodes in /dev/vfio, and how a driver's device becomes a VFIO device
 * (drivers/vfio/vfio_main.c). A device with an emulated IOMMU, such as an mdev, gets an IOMMU group of its own.
 */

import { Device } from '../core/device.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import type { VfioDevice } from './device.ts';
import { VfioGroup } from './group.ts';

/** Major number of the group nodes. Fidelity: Linux picks a free one at boot; this is what it picked where we looked. */
const GROUP_MAJOR = 246;
/** Class of the group nodes, and of the devices below their parents. */
const GROUP_CLASS = 'vfio';
const DEVICE_CLASS = 'vfio-dev';
/** What sysfs calls a group that no IOMMU backs. */
const EMULATED_GROUP_NAME = 'vfio-noiommu';

/** A registered device with what was made for it. */
interface Registration {
  readonly device: Device;
  readonly vfio: VfioDevice;
  readonly iommuGroup: IommuGroup;
  readonly group: VfioGroup;
  readonly groupDevice: Device;
  readonly vfioDevice: Device;
}

/** The VFIO core of one kernel. */
export class VfioRegistry {
  readonly #kernel: Kernel;
  readonly #registrations = new Map<VfioDevice, Registration>();
  /** Minors of group nodes and numbers of vfioN in use. */
  readonly #minors = new Set<number>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    kernel.devices.addClass(GROUP_CLASS);
    kernel.devices.addClass(DEVICE_CLASS);
  }

  /** vfio_register_emulated_iommu_dev: a new IOMMU group, /dev/vfio/N, and vfioN below the device. Returns the group. */
  register(device: Device, vfio: VfioDevice): VfioGroup {
    const kernel = this.#kernel;
    const iommuGroup = kernel.iommuGroups.allocate();
    iommuGroup.setName(EMULATED_GROUP_NAME);
    iommuGroup.add(device);
    const { id } = iommuGroup;
    const minor = this.#freeMinor();
    const number = { major: GROUP_MAJOR, minor, node: `vfio/${id}` };
    const group = new VfioGroup(kernel, id);
    const groupDevice = new Device({ name: String(id), class: GROUP_CLASS, number });
    const vfioDevice = new Device({ name: `vfio${minor}`, parent: device, class: DEVICE_CLASS });
    kernel.devices.add(groupDevice);
    kernel.files.registerDevice(group.path, 0o600, (flags) => group.open(flags));
    kernel.devices.add(vfioDevice);
    group.addDevice(vfio);
    this.#registrations.set(vfio, { device, vfio, iommuGroup, group, groupDevice, vfioDevice });
    return group;
  }

  /**
   * vfio_unregister_group_dev: `removed` runs when the device is gone, which is at once or at the last close of its file.
   */
  unregister(vfio: VfioDevice, removed: () => void): void {
    const registration = this.#registrations.get(vfio);
    if (registration === undefined) throw new Error(`VFIO device ${vfio.name} is not registered`);
    this.#registrations.delete(vfio);
    const { device, iommuGroup, group, groupDevice, vfioDevice } = registration;
    const kernel = this.#kernel;
    group.removeDevice(vfio, () => {
      kernel.devices.remove(vfioDevice);
      kernel.files.unregisterDevice(group.path);
      kernel.devices.remove(groupDevice);
      iommuGroup.remove(device);
      iommuGroup.put();
      this.#minors.delete(groupDevice.number?.minor ?? -1);
      removed();
    });
  }

  #freeMinor(): number {
    let minor = 0;
    while (this.#minors.has(minor)) minor++;
    this.#minors.add(minor);
    return minor;
  }
}
