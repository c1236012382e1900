/**
 * The mediated device core: parents register with it, users make devices on them by writing a UUID to sysfs, and each
 * device becomes a VFIO device (drivers/vfio/mdev/{mdev_core,mdev_sysfs,mdev_driver}.c of Linux 6.1).
 */

import { type Bus, Device, type Driver } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import { parseUnsigned } from '../core/sysfs.ts';
import { EEXIST, EINVAL, ENODEV } from '../uapi/errno.ts';
import { VfioDevice } from '../vfio/device.ts';
import { vfioOf } from '../vfio/init.ts';
import { Mdev } from './device.ts';
import { mdevCreate, mdevRemove } from './events.ts';
import type { MdevParentOps } from './parent.ts';
import type { MdevType } from './type.ts';
import { addTypes, type TypeActions } from './type-sysfs.ts';
import { VfioMdev } from './vfio-mdev.ts';

/** Class under which sysfs lists the parents. */
const PARENT_CLASS = 'mdev_bus';

/** A registered parent: `struct mdev_parent`. */
interface Parent {
  readonly device: Device;
  readonly ops: MdevParentOps<unknown>;
  /** Being unregistered: it makes no more devices. */
  leaving: boolean;
}

/** One device with its parent and its place in the device model. */
interface Entry {
  readonly mdev: Mdev;
  readonly parent: Parent;
  readonly device: Device;
  /** Removal has begun; the rest may wait for the last close. */
  leaving: boolean;
  /** While the device leaves VFIO, what to do when it has left. */
  departure: (() => void)[] | undefined;
}

/** The mdev core of one kernel. */
export class MdevCore {
  readonly #kernel: Kernel;
  /** Devices are bound to their parent's driver as they are made; no driver matches by itself, so `bind` is -ENODEV. */
  readonly #bus: Bus = { name: 'mdev', match: () => false };
  readonly #parents = new Map<Device, Parent>();
  /** Devices by UUID: it is unique on the whole host. */
  readonly #entries = new Map<string, Entry>();
  readonly #drivers = new Map<string, { readonly driver: Driver; parents: number }>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    kernel.devices.addBus(this.#bus);
    kernel.devices.addClass(PARENT_CLASS);
  }

  /** mdev_register_device. */
  register(device: Device, ops: MdevParentOps<unknown>): number {
    const kernel = this.#kernel;
    if (ops.supported_type_groups.length === 0) {
      return kernel.refuse(EINVAL, `parent ${device.name} offers no type of mediated device`);
    }
    if (this.#parents.has(device)) return kernel.refuse(EEXIST, `parent ${device.name} is registered already`);
    const error = this.#useDriver(ops.owner);
    if (error < 0) return error;
    const parent: Parent = { device, ops, leaving: false };
    const actions: TypeActions = { create: (type, uuid) => this.#create(parent, type, uuid) };
    addTypes(kernel, device, ops.supported_type_groups, actions);
    kernel.sysfs.link(`/sys/class/${PARENT_CLASS}/${device.name}`, device.path);
    this.#parents.set(device, parent);
    kernel.printk(`${device.driverString} ${device.name}: MDEV: Registered`);
    return 0;
  }

  /** mdev_unregister_device: its devices go first. */
  unregister(device: Device): void {
    const kernel = this.#kernel;
    const parent = this.#parents.get(device);
    if (parent === undefined) throw new Error(`mdev parent ${device.name} is not registered`);
    kernel.printk(`${device.driverString} ${device.name}: MDEV: Unregistering`);
    parent.leaving = true;
    for (const entry of [...this.#entries.values()]) if (entry.parent === parent) this.#remove(entry);
    this.#parents.delete(device);
    kernel.sysfs.remove(`/sys/class/${PARENT_CLASS}/${device.name}`);
    kernel.sysfs.remove(`${device.path}/mdev_supported_types`);
    this.#releaseDriver(parent.ops.owner);
  }

  /** mdev_device_create: 0, -EEXIST, -ENODEV, or what the driver's create returned. */
  #create(parent: Parent, type: MdevType, uuid: string): number {
    const kernel = this.#kernel;
    if (this.#entries.has(uuid)) return kernel.refuse(EEXIST, `mdev ${uuid} exists already on this host`);
    if (parent.leaving) return kernel.refuse(ENODEV, `parent ${parent.device.name} is being unregistered`);
    const driver = this.#drivers.get(parent.ops.owner)?.driver;
    if (driver === undefined) throw new Error(`the mdev driver of ${parent.ops.owner} is not registered`);
    const mdev = new Mdev(uuid, type);
    const device = new Device({ name: uuid, parent: parent.device, bus: this.#bus, driverData: uuid });
    const entry: Entry = { mdev, parent, device, leaving: false, departure: undefined };
    this.#entries.set(uuid, entry);
    const added = kernel.devices.add(device);
    const result = added < 0 ? added : kernel.devices.attach(device, driver);
    if (mdevCreate.on) mdevCreate(kernel.stream, { uuid, type: type.name, result });
    if (result < 0) {
      kernel.devices.remove(device);
      this.#entries.delete(uuid);
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
    this.#leaveVfio(entry, () => {
      devices.remove(device);
      this.#entries.delete(mdev.uuid);
      if (mdevRemove.on) mdevRemove(this.#kernel.stream, { uuid: mdev.uuid, type: mdev.type.name });
    });
  }

  /** What a mediated driver's probe does: create the device, then hand it to VFIO (mtty_probe). */
  #probe(device: Device): number {
    const entry = this.#entryOf(device);
    const { mdev, parent } = entry;
    const { ops } = parent;
    const result = ops.create(mdev.type, mdev);
    if (result < 0) return result;
    const vfio = new VfioDevice(this.#kernel, mdev.uuid, ops.owner, new VfioMdev(this.#kernel, mdev, ops));
    mdev.vfio = vfio;
    vfioOf(this.#kernel).register(device, vfio);
    for (const group of ops.mdev_attr_groups ?? []) {
      for (const [name, show] of Object.entries(group.attributes)) {
        const path = `${device.path}/${group.name}/${name}`;
        this.#kernel.sysfs.attribute(path, { mode: 0o444, show: () => `${show(mdev)}\n` });
      }
    }
    return 0;
  }

  /** The driver is unbound: by a removal, or by hand, which leaves a device that no driver can be bound to again. */
  #unbind(device: Device): void {
    const entry = this.#entryOf(device);
    for (const group of entry.parent.ops.mdev_attr_groups ?? []) {
      this.#kernel.sysfs.remove(`${device.path}/${group.name}`);
    }
    if (!entry.leaving) this.#leaveVfio(entry, () => {});
  }

  /** The driver's remove, once VFIO has let go of the device: at once, or at the last close. */
  #leaveVfio(entry: Entry, then: () => void): void {
    const { mdev, parent } = entry;
    if (mdev.vfio === undefined) {
      then();
      return;
    }
    if (entry.departure !== undefined) {
      entry.departure.push(then);
      return;
    }
    const departure = [then];
    entry.departure = departure;
    vfioOf(this.#kernel).unregister(mdev.vfio, () => {
      parent.ops.remove(mdev);
      mdev.vfio = undefined;
      entry.departure = undefined;
      for (const step of departure) step();
    });
  }

  #entryOf(device: Device): Entry {
    const entry = this.#entries.get(device.name);
    if (entry === undefined) throw new Error(`device ${device.name} on the mdev bus is no mdev`);
    return entry;
  }

  #useDriver(owner: string): number {
    const known = this.#drivers.get(owner);
    if (known !== undefined) {
      known.parents++;
      return 0;
    }
    const driver: Driver = {
      name: owner,
      bus: this.#bus,
      module: owner,
      probe: (device) => this.#probe(device),
      remove: (device) => this.#unbind(device),
    };
    const error = this.#kernel.devices.addDriver(driver);
    if (error === 0) this.#drivers.set(owner, { driver, parents: 1 });
    return error;
  }

  #releaseDriver(owner: string): void {
    const known = this.#drivers.get(owner);
    if (known === undefined || --known.parents > 0) return;
    this.#drivers.delete(owner);
    this.#kernel.devices.removeDriver(known.driver);
  }
}

const cores = new WeakMap<Kernel, MdevCore>();

/** Bring the mdev core up: the bus `mdev` and the class `mdev_bus`. After initVfio. */
export function initMdev(kernel: Kernel): void {
  cores.set(kernel, new MdevCore(kernel));
}

function coreOf(kernel: Kernel): MdevCore {
  const core = cores.get(kernel);
  if (core === undefined) throw new Error('mdev is used before initMdev(kernel)');
  return core;
}

/**
 * Register `device` as a parent of mediated devices: its types appear in sysfs. 0, -EINVAL without types, -EEXIST if it is
 * registered.
 */
export function mdev_register_device<State>(kernel: Kernel, device: Device, ops: MdevParentOps<State>): number {
  // Each device's state is made and read by these same ops, so its type does not matter here.
  return coreOf(kernel).register(device, ops as MdevParentOps<unknown>);
}

/** Undo {@link mdev_register_device}: every device of the parent is removed. */
export function mdev_unregister_device(kernel: Kernel, device: Device): void {
  coreOf(kernel).unregister(device);
}
