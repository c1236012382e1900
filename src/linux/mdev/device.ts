/** A mediated device: `struct mdev_device` (include/linux/mdev.h). */

import { strict as assert } from 'node:assert';
import type { Device } from '../core/device.ts';
import type { VfioDevice } from '../vfio/device.ts';
import type { MdevType } from './type.ts';

/** A device that was made by writing a UUID; `State` is what its driver keeps for it. */
export class Mdev<State = unknown> {
  /** In lower case; also the name of the device. */
  readonly uuid: string;
  readonly type: MdevType;
  /** Its place in the device model. */
  readonly device: Device;
  /** mdev_set_drvdata, mdev_get_drvdata. Only declared: given its value once, it is a constant to V8 until the driver clears it. */
  declare drvdata: State | undefined;
  /** Its face to VFIO, while the driver is bound. */
  vfio: VfioDevice | undefined;

  constructor(uuid: string, type: MdevType, device: Device) {
    this.uuid = uuid;
    this.type = type;
    this.device = device;
  }

  /** drvdata, which a driver's `create` sets and its `remove` clears. Hot, and so small that V8 puts it into its callers before all else. */
  get state(): State {
    return this.drvdata ?? this.#missing();
  }

  #missing(): never {
    assert.fail(`mdev ${this.uuid} has no state: its driver has not created it`);
  }
}
