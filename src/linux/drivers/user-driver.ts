/** A user's own host driver (driver-api.ts) as a module of the kernel. Whatever the file does wrong becomes a DriverFault. */

import type { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import type { LoadableModule, Parameters } from '../core/modules.ts';
import {
  mdev_register_driver,
  mdev_register_parent,
  mdev_unregister_driver,
  mdev_unregister_parent,
} from '../mdev/core.ts';
import type { Mdev } from '../mdev/device.ts';
import type { MdevDriver } from '../mdev/driver.ts';
import type { MdevType } from '../mdev/type.ts';
import { ENOMEM } from '../uapi/errno.ts';
import type * as api from './driver-api.ts';
import { DriverCalls } from './driver-fault.ts';
import { driverSymbols } from './driver-symbols.ts';
import { ModuleMemory } from './module-memory.ts';
import { withCheckedArguments } from './user-arguments.ts';
import { checkMdevDriver, checkModule, checkOps, checkTypes } from './user-driver-check.ts';
import { ModulePages } from './user-page.ts';
import { UserVfioDevice } from './user-vfio-device.ts';

/** `struct mdev_device` as the user's functions get it. */
class UserMdev implements api.MdevDevice {
  readonly mdev: Mdev;
  readonly type: api.MdevType;
  drvdata: unknown;

  constructor(mdev: Mdev, type: api.MdevType) {
    this.mdev = mdev;
    this.type = type;
  }

  get uuid(): string {
    return this.mdev.uuid;
  }

  get dev(): Device {
    return this.mdev.device;
  }
}

/** One user's file on one kernel. */
export class UserDriver {
  /** What the file imports from `gvm/driver`. */
  readonly exports: typeof api;
  readonly #kernel: Kernel;
  readonly #calls: DriverCalls;
  readonly #memory: ModuleMemory;
  readonly #pages: ModulePages;
  readonly #drivers = new Map<api.MdevDriver, MdevDriver>();
  readonly #devices = new WeakMap<Mdev, UserMdev>();
  /** Types by name, of all its parents. */
  readonly #types = new Map<string, api.MdevType>();
  /** Name of the module; known when the file has been read. */
  #name = '';

  /** `file` is the name that messages have for it. */
  constructor(kernel: Kernel, file: string) {
    this.#kernel = kernel;
    this.#memory = new ModuleMemory(kernel);
    this.#pages = new ModulePages(kernel);
    this.#calls = new DriverCalls(file, () => kernel.memory.code.sharedChanged());
    this.exports = withCheckedArguments({
      ...driverSymbols(kernel, this.#calls),
      kmalloc: (size, gfp) => this.#memory.kmalloc(size, gfp),
      kzalloc: (size, gfp) => this.#memory.kzalloc(size, gfp),
      kfree: (memory) => this.#memory.kfree(memory),
      alloc_page: (gfp) => this.#pages.allocate(gfp),
      free_page: (page) => this.#pages.free(page),
      mdev_register_driver: (driver) => this.#registerDriver(driver),
      mdev_unregister_driver: (driver) => {
        const known = this.#drivers.get(driver);
        if (known === undefined) throw new TypeError('mdev_unregister_driver: this driver is not registered');
        this.#drivers.delete(driver);
        mdev_unregister_driver(kernel, known);
      },
      mdev_register_parent: (parent, driver, types) => this.#registerParent(parent, driver, types),
      mdev_unregister_parent: (parent) => mdev_unregister_parent(kernel, parent as Device),
      vfio_alloc_device: (mdev, ops, state) => {
        if (!(mdev instanceof UserMdev)) throw new TypeError('vfio_alloc_device takes the device that probe was given');
        checkOps(ops as api.VfioDeviceOps<unknown>);
        if (!kernel.kmalloc('struct vfio_device')) return -ENOMEM;
        const untyped = ops as api.VfioDeviceOps<unknown>;
        const vdev = new UserVfioDevice(kernel, this.#name, mdev.mdev, untyped, state, this.#calls);
        return vdev as UserVfioDevice & { readonly state: typeof state };
      },
    });
  }

  /** The module that the file exports; a TypeError says what is wrong with it. */
  module(exported: unknown): LoadableModule<Kernel> {
    const module = checkModule(exported);
    this.#name = module.name;
    return {
      name: module.name,
      parameters: module.parameters ?? {},
      init: (_kernel, parameters) => {
        const result = this.#calls.result('init', 'init', 0, () =>
          module.init(parameters as Parameters & Record<string, never>),
        );
        if (result < 0) this.#end();
        return result;
      },
      ...(module.exit && {
        exit: () => {
          this.#calls.run('exit', 'exit', () => module.exit!());
          this.#end();
        },
      }),
    };
  }

  #end(): void {
    this.#calls.end();
    this.#memory.close();
    this.#pages.close();
  }

  #registerDriver(driver: api.MdevDriver): number {
    checkMdevDriver(driver);
    const { get_available: available, show_description: description } = driver;
    const calls = this.#calls;
    const registered: MdevDriver = {
      name: this.#name,
      device_api: driver.device_api,
      max_instances: driver.max_instances,
      probe: (mdev) => {
        const user = new UserMdev(mdev, this.#typeOf(mdev.type));
        this.#devices.set(mdev, user);
        return calls.result(`mdev_driver.probe of ${mdev.uuid}`, 'probe', 0, () => driver.probe(user));
      },
      remove: (mdev) => {
        const user = this.#devices.get(mdev)!;
        calls.run(`mdev_driver.remove of ${mdev.uuid}`, 'remove', () => driver.remove(user));
      },
      ...(available && {
        get_available: (type) =>
          calls.result('mdev_driver.get_available', 'get_available', 2 ** 32 - 1, () =>
            available.call(driver, this.#typeOf(type)),
          ),
      }),
      ...(description && {
        show_description: (type) =>
          calls.run('mdev_driver.show_description', 'show_description', () =>
            String(description.call(driver, this.#typeOf(type))).replace(/\n$/, ''),
          ),
      }),
    };
    const error = mdev_register_driver(this.#kernel, registered);
    if (error === 0) this.#drivers.set(driver, registered);
    return error;
  }

  #registerParent(parent: api.Device, driver: api.MdevDriver, types: readonly api.MdevType[]): number {
    const known = this.#drivers.get(driver);
    if (known === undefined) throw new TypeError('mdev_register_parent: register the driver first');
    checkTypes(types);
    for (const type of types) this.#types.set(type.sysfs_name, type);
    return mdev_register_parent(this.#kernel, parent as Device, known, types);
  }

  #typeOf(type: MdevType): api.MdevType {
    return this.#types.get(type.group.name)!;
  }
}
