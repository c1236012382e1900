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
  /** mdev_set_drvdata, mdev_get_drvdata. */
  drvdata: State | undefined;
  /** Its face to VFIO, while the driver is bound. */
  vfio: VfioDevice | undefined;

  constructor(uuid: string, type: MdevType, device: Device) {
    this.uuid = uuid;
    this.type = type;
    this.device = device;
  }

  /** drvdata, which a driver's `create` sets and its `remove` clears. */
  get state(): State {
    // Hot: every access comes here, and the sentence is made only when it is needed.
    if (this.drvdata === undefined) assert.fail(`mdev ${this.uuid} has no state: its driver has not created it`);
    return this.drvdata;
  }
}
