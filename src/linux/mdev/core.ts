/**
 * The mediated device core: parents register with it, users make devices on them by writing a UUID to sysfs, and each
 * device is bound to its parent's driver (drivers/vfio/mdev/{mdev_core,mdev_sysfs,mdev_driver}.c of Linux 6.1).
 */

import { type Bus, Device, type Driver } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import { parseUnsigned } from '../core/sysfs.ts';
import { EEXIST, EINVAL, ENODEV, ENOMEM, EUSERS } from '../uapi/errno.ts';
import { vfioOf } from '../vfio/init.ts';
import { Mdev } from './device.ts';
import type { MdevDriver, MdevTypeDescription } from './driver.ts';
import { mdevCreate, mdevRemove } from './events.ts';
import type { MdevType, MdevTypeGroup } from './type.ts';
import { addTypes, type TypeActions } from './type-sysfs.ts';

/** Class under which sysfs lists the parents. */
const PARENT_CLASS = 'mdev_bus';

/** A registered parent: `struct mdev_parent`. */
interface Parent {
  readonly device: Device;
  readonly driver: MdevDriver;
  /** Devices that the core still lets be made, where the driver does not count itself. */
  available: number;
  /** Being unregistered: it makes no more devices. */
  leaving: boolean;
}

/** One device with its parent and its place in the device model. */
interface Entry {
  readonly mdev: Mdev;
  readonly parent: Parent;
  readonly device: Device;
  /** The driver has it. */
  bound: boolean;
  /** Removal has begun; the rest may wait for the last close. */
  leaving: boolean;
}

/** The mdev core of one kernel. */
export class MdevCore {
  readonly #kernel: Kernel;
  /** Devices are bound to their parent's driver as they are made; no driver matches by itself, so `bind` is -ENODEV. */
  readonly #bus: Bus = { name: 'mdev', match: () => false };
  readonly #parents = new Map<Device, Parent>();
  /** Devices by UUID: it is unique on the whole host. */
  readonly #entries = new Map<string, Entry>();
  readonly #drivers = new Map<MdevDriver, Driver>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    kernel.devices.addBus(this.#bus);
    kernel.devices.addClass(PARENT_CLASS);
  }

  /** mdev_register_driver. */
  registerDriver(mdevDriver: MdevDriver): number {
    const { name } = mdevDriver;
    if (!mdevDriver.device_api) return this.#kernel.refuse(EINVAL, `driver ${name} names no device_api`);
    const driver: Driver = {
      name,
      bus: this.#bus,
      module: name,
      probe: (device) => this.#probe(device),
      remove: (device) => this.#unbind(this.#entryOf(device)),
    };
    const error = this.#kernel.devices.addDriver(driver);
    if (error === 0) this.#drivers.set(mdevDriver, driver);
    return error;
  }

  /** mdev_unregister_driver: devices that it still has lose it. */
  unregisterDriver(mdevDriver: MdevDriver): void {
    const driver = this.#drivers.get(mdevDriver);
    if (driver === undefined) return;
    this.#kernel.devices.removeDriver(driver);
    this.#drivers.delete(mdevDriver);
  }

  /** mdev_register_parent. */
  registerParent(device: Device, driver: MdevDriver, types: readonly MdevTypeGroup[]): number {
    const kernel = this.#kernel;
    if (types.length === 0) {
      return kernel.refuse(EINVAL, `parent ${device.name} offers no type of mediated device`);
    }
    const twice = types.find(({ name }, index) => types.findIndex((other) => other.name === name) !== index);
    if (twice !== undefined) return kernel.refuse(EEXIST, `parent ${device.name} has two types named ${twice.name}`);
    if (this.#parents.has(device)) return kernel.refuse(EEXIST, `parent ${device.name} is registered already`);
    if (!kernel.kmallocAll('struct mdev_parent', ...types.map(() => 'struct mdev_type'))) return -ENOMEM;
    const parent: Parent = { device, driver, available: driver.max_instances ?? 0, leaving: false };
    const actions: TypeActions = { create: (type, uuid) => this.#create(parent, type, uuid) };
    addTypes(kernel, device, types, actions);
    kernel.sysfs.link(`/sys/class/${PARENT_CLASS}/${device.name}`, device.path);
    this.#parents.set(device, parent);
    kernel.printk(`${device.driverString} ${device.name}: MDEV: Registered`);
    return 0;
  }

  /** Devices that can still be made on a parent whose driver does not count them. */
  available(device: Device): number {
    return this.#parents.get(device)?.available ?? 0;
  }

  /** mdev_unregister_parent: its devices go first. */
  unregisterParent(device: Device): void {
    const kernel = this.#kernel;
    const parent = this.#parents.get(device);
    if (parent === undefined) throw new Error(`mdev parent ${device.name} is not registered`);
    kernel.printk(`${device.driverString} ${device.name}: MDEV: Unregistering`);
    parent.leaving = true;
    for (const entry of [...this.#entries.values()]) if (entry.parent === parent) this.#remove(entry);
    this.#parents.delete(device);
    kernel.sysfs.remove(`/sys/class/${PARENT_CLASS}/${device.name}`);
    kernel.sysfs.remove(`${device.path}/mdev_supported_types`);
  }

  /** mdev_device_create: 0, -EEXIST, -ENODEV, -EUSERS, -ENOMEM, or what the driver's probe returned. */
  #create(parent: Parent, type: MdevType, uuid: string): number {
    const kernel = this.#kernel;
    if (this.#entries.has(uuid)) return kernel.refuse(EEXIST, `mdev ${uuid} exists already on this host`);
    if (parent.leaving) return kernel.refuse(ENODEV, `parent ${parent.device.name} is being unregistered`);
    const counted = parent.driver.get_available === undefined;
    if (counted && parent.available === 0) {
      const most = parent.driver.max_instances ?? 0;
      return kernel.refuse(EUSERS, `driver ${parent.driver.name} makes at most ${most} devices on a parent`);
    }
    if (!kernel.kmalloc('struct mdev_device')) return -ENOMEM;
    const driver = this.#drivers.get(parent.driver);
    if (driver === undefined) throw new Error(`the mdev driver ${parent.driver.name} is not registered`);
    const device = new Device({ name: uuid, parent: parent.device, bus: this.#bus, driverData: uuid });
    const mdev = new Mdev(uuid, type, device);
    const entry: Entry = { mdev, parent, device, bound: false, leaving: false };
    this.#entries.set(uuid, entry);
    if (counted) parent.available--;
    const added = kernel.devices.add(device);
    const result = added < 0 ? added : kernel.devices.attach(device, driver);
    if (mdevCreate.on) mdevCreate(kernel.stream, { uuid, type: type.name, result });
    if (result < 0) {
      kernel.devices.remove(device);
      this.#forget(entry);
      return result;
    }
    kernel.sysfs.attribute(`${device.path}/remove`, { mode: 0o200, store: (text) => this.#removeStore(entry, text) });
    kernel.sysfs.link(`${device.path}/mdev_type`, type.path);
    kernel.sysfs.link(`${type.path}/devices/${uuid}`, device.path);
    return 0;
  }

  /** remove_store: any number but 0 removes the device. */
  #removeStore(entry: Entry, text: string): number {
    const value = parseUnsigned(text);
    if (value === undefined) return this.#kernel.refuse(EINVAL, 'remove takes a number: 1 removes the device');
    if (value !== 0) this.#remove(entry);
    return text.length;
  }

  /** mdev_device_remove. The links go at once; the rest when no file of the device is open. */
  #remove(entry: Entry): void {
    if (entry.leaving) return;
    entry.leaving = true;
    const { sysfs, devices } = this.#kernel;
    const { mdev, device } = entry;
    sysfs.remove(`${device.path}/remove`);
    sysfs.remove(`${device.path}/mdev_type`);
    sysfs.remove(`${mdev.type.path}/devices/${mdev.uuid}`);
    sysfs.remove(`/sys/bus/${this.#bus.name}/devices/${mdev.uuid}`);
    this.#unbind(entry);
    vfioOf(this.#kernel).afterDeparture(device, () => {
      devices.remove(device);
      this.#forget(entry);
      if (mdevRemove.on) mdevRemove(this.#kernel.stream, { uuid: mdev.uuid, type: mdev.type.name });
    });
  }

  #forget({ mdev, parent }: Entry): void {
    this.#entries.delete(mdev.uuid);
    if (parent.driver.get_available === undefined) parent.available++;
  }

  /** mdev_probe. */
  #probe(device: Device): number {
    const entry = this.#entryOf(device);
    const { mdev } = entry;
    const { driver } = entry.parent;
    const result = driver.probe(mdev);
    if (result < 0) return result;
    entry.bound = true;
    for (const group of driver.dev_groups ?? []) {
      for (const [name, show] of Object.entries(group.attributes)) {
        const path = `${device.path}/${group.name}/${name}`;
        this.#kernel.sysfs.attribute(path, { mode: 0o444, show: () => `${show(mdev)}\n` });
      }
    }
    return 0;
  }

  /** mdev_remove: by a removal, or by hand, which leaves a device that no driver can be bound to again. */
  #unbind(entry: Entry): void {
    if (!entry.bound) return;
    entry.bound = false;
    const { driver } = entry.parent;
    for (const group of driver.dev_groups ?? []) this.#kernel.sysfs.remove(`${entry.device.path}/${group.name}`);
    driver.remove(entry.mdev);
  }

  #entryOf(device: Device): Entry {
    const entry = this.#entries.get(device.name);
    if (entry === undefined) throw new Error(`device ${device.name} on the mdev bus is no mdev`);
    return entry;
  }
}

const cores = new WeakMap<Kernel, MdevCore>();

/** Bring the mdev core up: the bus `mdev` and the class `mdev_bus`. After initVfio. */
export function initMdev(kernel: Kernel): void {
  cores.set(kernel, new MdevCore(kernel));
}

/** The core of a kernel on which {@link initMdev} has run. */
export function mdevOf(kernel: Kernel): MdevCore {
  const core = cores.get(kernel);
  if (core === undefined) throw new Error('mdev is used before initMdev(kernel)');
  return core;
}

/** Put the driver on the mdev bus: 0, -EINVAL without device_api, -EBUSY if the name is taken. */
export const mdev_register_driver = (kernel: Kernel, driver: MdevDriver): number =>
  mdevOf(kernel).registerDriver(driver);

export const mdev_unregister_driver = (kernel: Kernel, driver: MdevDriver): void =>
  mdevOf(kernel).unregisterDriver(driver);

/**
 * Register `device` as a parent of mediated devices of `driver`: its types appear in sysfs. 0, -EINVAL without types, -EEXIST if
 * it is registered or two types have one name, -ENOMEM.
 */
export function mdev_register_parent(
  kernel: Kernel,
  device: Device,
  driver: MdevDriver,
  types: readonly MdevTypeDescription[],
): number {
  const core = mdevOf(kernel);
  const groups = types.map(
    ({ sysfs_name, pretty_name }): MdevTypeGroup => ({
      name: sysfs_name,
      attributes: {
        name: () => pretty_name ?? sysfs_name,
        device_api: () => driver.device_api,
        available_instances: (type) => driver.get_available?.(type) ?? core.available(device),
        ...(driver.show_description && { description: (type) => driver.show_description!(type) }),
      },
    }),
  );
  return core.registerParent(device, driver, groups);
}

/** Undo {@link mdev_register_parent}: every device of the parent is removed. */
export const mdev_unregister_parent = (kernel: Kernel, device: Device): void => mdevOf(kernel).unregisterParent(device);
