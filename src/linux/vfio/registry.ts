/**
 * What VFIO knows of one host: its groups and devices, their nodes in /dev/vfio, and how a driver's device becomes a VFIO device
 * (drivers/vfio/vfio_main.c). A device with an emulated IOMMU, such as an mdev, gets an IOMMU group of its own.
 */

import { Device } from '../core/device.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { VfioDevice } from './device.ts';
import { CDEV_FOLDER, openCdev } from './device-cdev.ts';
import { VfioGroup } from './group.ts';
import { type Binder, emulatedBinder, physicalBinder } from './iommufd.ts';

/** Major number of the group nodes. Fidelity: Linux picks a free one at boot; this is what it picked where we looked. */
const GROUP_MAJOR = 246;
/** And of the devices' own nodes, as the kernel's documentation has it. */
const CDEV_MAJOR = 511;
/** Access is root's to give. */
const NODE_MODE = 0o600;
/** Class of the group nodes, and of the devices below their parents. */
const GROUP_CLASS = 'vfio';
const DEVICE_CLASS = 'vfio-dev';
/** What sysfs calls a group that no IOMMU backs. */
const EMULATED_GROUP_NAME = 'vfio-noiommu';

/** An IOMMU group with its node, as long as a device of it is registered. */
interface RegisteredGroup {
  readonly group: VfioGroup;
  readonly groupDevice: Device;
  devices: number;
}

/** A registered device with what was made for it. */
interface Registration {
  readonly device: Device;
  readonly registered: RegisteredGroup;
  readonly vfioDevice: Device;
  /** The IOMMU group was made for this device, and goes with it. */
  readonly emulated: boolean;
}

/** The VFIO core of one kernel. */
export class VfioRegistry {
  readonly #kernel: Kernel;
  readonly #registrations = new Map<VfioDevice, Registration>();
  readonly #groups = new Map<IommuGroup, RegisteredGroup>();
  /** What waits for VFIO to let go of a device. */
  readonly #departing = new Map<Device, (() => void)[]>();
  /** Minors of group nodes, and names vfioN, in use. */
  readonly #numbers = new Set<number | string>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    kernel.devices.addClass(GROUP_CLASS);
    kernel.devices.addClass(DEVICE_CLASS);
  }

  /** vfio_register_emulated_iommu_dev: a new IOMMU group, /dev/vfio/N, and vfioN below the device. Returns the group; or -ENOMEM. */
  register(device: Device, vfio: VfioDevice): VfioGroup | number {
    if (!this.#kernel.kmallocAll('struct iommu_group', 'struct group_device', 'struct vfio_group')) return -ENOMEM;
    const iommuGroup = this.#kernel.iommuGroups.allocate();
    iommuGroup.setName(EMULATED_GROUP_NAME);
    iommuGroup.add(device);
    return this.#add(device, vfio, iommuGroup, emulatedBinder(vfio), true);
  }

  /** vfio_register_group_dev: a device that an IOMMU stands before. Its group's node comes with the first device. */
  registerGroupDevice(device: Device, vfio: VfioDevice): VfioGroup | number {
    const iommuGroup = device.iommuGroup === undefined ? undefined : this.#kernel.iommuGroups.find(device.iommuGroup);
    if (iommuGroup === undefined) return this.#kernel.refuse(EINVAL, `no IOMMU stands before ${device.name}`);
    if (!this.#groups.has(iommuGroup) && !this.#kernel.kmalloc('struct vfio_group')) return -ENOMEM;
    return this.#add(device, vfio, iommuGroup, physicalBinder(vfio, iommuGroup), false);
  }

  /**
   * vfio_unregister_group_dev: `removed` runs when the device is gone, which is at once or at the last close of its file. The
   * driver of an open device is asked for it. Fidelity: once, where Linux asks again every ten seconds.
   */
  unregister(vfio: VfioDevice, removed: () => void): void {
    const registration = this.#registrations.get(vfio);
    if (registration === undefined) throw new Error(`VFIO device ${vfio.name} is not registered`);
    this.#registrations.delete(vfio);
    const { device, registered, vfioDevice, emulated } = registration;
    const { group, groupDevice } = registered;
    const { iommuGroup } = group;
    const kernel = this.#kernel;
    const waiting: (() => void)[] = [];
    this.#departing.set(device, waiting);
    kernel.files.unregisterDevice(`/dev/${CDEV_FOLDER}/${vfioDevice.name}`);
    group.removeDevice(vfio, () => {
      kernel.devices.remove(vfioDevice);
      this.#numbers.delete(vfioDevice.name);
      if (--registered.devices === 0) {
        this.#groups.delete(iommuGroup);
        kernel.files.unregisterDevice(group.path);
        kernel.devices.remove(groupDevice);
        this.#numbers.delete(groupDevice.number?.minor ?? -1);
      }
      if (emulated) {
        iommuGroup.remove(device);
        iommuGroup.put();
      }
      this.#departing.delete(device);
      removed();
      for (const step of waiting) step();
    });
    if (vfio.files > 0) vfio.ops.request?.(0);
  }

  /** Run `then` when VFIO has let go of `device`: at once, unless a removal waits for a last close. */
  afterDeparture(device: Device, then: () => void): void {
    const waiting = this.#departing.get(device);
    if (waiting === undefined) then();
    else waiting.push(then);
  }

  #add(device: Device, vfio: VfioDevice, iommuGroup: IommuGroup, binder: Binder, emulated: boolean): VfioGroup {
    const { devices, files } = this.#kernel;
    const registered = this.#groups.get(iommuGroup) ?? this.#addGroup(iommuGroup);
    const minor = this.#freeIndex();
    const node = `${CDEV_FOLDER}/vfio${minor}`;
    const number = { major: CDEV_MAJOR, minor, node };
    const vfioDevice = new Device({ name: `vfio${minor}`, parent: device, class: DEVICE_CLASS, number });
    devices.add(vfioDevice);
    files.registerDevice(`/dev/${node}`, NODE_MODE, (flags) => openCdev(node, flags, vfio, registered.group, binder));
    registered.group.addDevice(vfio);
    registered.devices++;
    this.#registrations.set(vfio, { device, registered, vfioDevice, emulated });
    return registered.group;
  }

  #addGroup(iommuGroup: IommuGroup): RegisteredGroup {
    const kernel = this.#kernel;
    const { id } = iommuGroup;
    const number = { major: GROUP_MAJOR, minor: this.#freeMinor(), node: `vfio/${id}` };
    const group = new VfioGroup(kernel, iommuGroup);
    const groupDevice = new Device({ name: String(id), class: GROUP_CLASS, number });
    kernel.devices.add(groupDevice);
    kernel.files.registerDevice(group.path, NODE_MODE, (flags) => group.open(flags));
    const registered = { group, groupDevice, devices: 0 };
    this.#groups.set(iommuGroup, registered);
    return registered;
  }

  #freeIndex(): number {
    let index = 0;
    while (this.#numbers.has(`vfio${index}`)) index++;
    this.#numbers.add(`vfio${index}`);
    return index;
  }

  #freeMinor(): number {
    let minor = 0;
    while (this.#numbers.has(minor)) minor++;
    this.#numbers.add(minor);
    return minor;
  }
}
