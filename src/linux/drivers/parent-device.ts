/** The virtual device that a mediated driver hangs its devices on: /sys/devices/virtual/NAME/NAME (mtty_dev_init). */

import { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import {
  mdev_register_driver,
  mdev_register_parent,
  mdev_unregister_driver,
  mdev_unregister_parent,
} from '../mdev/core.ts';
import type { MdevDriver, MdevTypeDescription } from '../mdev/driver.ts';
import type { MdevParentOps } from '../mdev/parent.ts';
import { mdev_register_device, mdev_unregister_device } from '../mdev/register-device.ts';

/** How the parent gets to the mdev core, and away from it. */
interface Registration {
  register(device: Device): number;
  unregister(device: Device): void;
}

/** A parent that lives as long as its module is loaded. */
export class ParentDevice {
  readonly #kernel: Kernel;
  readonly #device: Device;
  readonly #registration: Registration;

  /** The name is that of the class, the device and the module. */
  private constructor(kernel: Kernel, name: string, registration: Registration) {
    this.#kernel = kernel;
    this.#device = new Device({ name, class: name });
    this.#registration = registration;
  }

  /** By the interface of Linux 5.10. */
  static ofOps<State>(kernel: Kernel, ops: MdevParentOps<State>): ParentDevice {
    return new ParentDevice(kernel, ops.owner, {
      register: (device) => mdev_register_device(kernel, device, ops),
      unregister: (device) => mdev_unregister_device(kernel, device),
    });
  }

  /** By that of 6.1. */
  static ofDriver(kernel: Kernel, driver: MdevDriver, types: readonly MdevTypeDescription[]): ParentDevice {
    return new ParentDevice(kernel, driver.name, {
      register(device) {
        const error = mdev_register_driver(kernel, driver);
        if (error < 0) return error;
        const registered = mdev_register_parent(kernel, device, driver, types);
        if (registered < 0) mdev_unregister_driver(kernel, driver);
        return registered;
      },
      unregister(device) {
        mdev_unregister_parent(kernel, device);
        mdev_unregister_driver(kernel, driver);
      },
    });
  }

  /** module_init: 0 or -errno; on an error nothing is left behind. */
  add(): number {
    const { devices } = this.#kernel;
    const { name } = this.#device;
    this.#kernel.printk(`${name}_dev: ${name}_dev_init`);
    devices.addClass(name);
    let error = devices.add(this.#device);
    if (error === 0) {
      error = this.#registration.register(this.#device);
      if (error < 0) devices.remove(this.#device);
    }
    if (error < 0) devices.removeClass(name);
    return error;
  }

  /** module_exit: every device goes, then the parent. */
  remove(): void {
    this.#registration.unregister(this.#device);
    this.#kernel.devices.remove(this.#device);
    this.#kernel.devices.removeClass(this.#device.name);
    this.#kernel.printk(`${this.#device.name}_dev: Unloaded!`);
  }
}
