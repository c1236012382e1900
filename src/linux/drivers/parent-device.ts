/** The virtual device that a mediated driver hangs its devices on: /sys/devices/virtual/NAME/NAME (mtty_dev_init). */

import { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import type { MdevParentOps } from '../mdev/parent.ts';
import { mdev_register_device, mdev_unregister_device } from '../mdev/register-device.ts';

/** A parent that lives as long as its module is loaded. */
export class ParentDevice<State> {
  readonly #kernel: Kernel;
  readonly #device: Device;
  readonly #ops: MdevParentOps<State>;

  /** The name is that of the class, the device and the module. */
  constructor(kernel: Kernel, ops: MdevParentOps<State>) {
    this.#kernel = kernel;
    this.#ops = ops;
    this.#device = new Device({ name: ops.owner, class: ops.owner });
  }

  /** module_init: 0 or -errno; on an error nothing is left behind. */
  add(): number {
    const { devices } = this.#kernel;
    const { name } = this.#device;
    this.#kernel.printk(`${name}_dev: ${name}_dev_init`);
    devices.addClass(name);
    let error = devices.add(this.#device);
    if (error === 0) {
      error = mdev_register_device(this.#kernel, this.#device, this.#ops);
      if (error < 0) devices.remove(this.#device);
    }
    if (error < 0) devices.removeClass(name);
    return error;
  }

  /** module_exit: every device goes, then the parent. */
  remove(): void {
    mdev_unregister_device(this.#kernel, this.#device);
    this.#kernel.devices.remove(this.#device);
    this.#kernel.devices.removeClass(this.#device.name);
    this.#kernel.printk(`${this.#device.name}_dev: Unloaded!`);
  }
}
