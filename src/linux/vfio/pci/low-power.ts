/**
 * The features LOW_POWER_ENTRY, LOW_POWER_ENTRY_WITH_WAKEUP and LOW_POWER_EXIT of vfio-pci (vfio_pci_core.c of Linux 6.1): the device
 * sleeps whenever nobody calls it, its mapped BARs are gone and INTx is masked. A call wakes it: for the time of the call, or, where a
 * wake-up eventfd was given, for good. A device without power management, as every one here, stays in D0 all the same.
 */

import { type Eventfd, eventfdFromFd } from '../../core/eventfd.ts';
import type { Kernel } from '../../core/kernel.ts';
import { getStruct } from '../../core/uaccess.ts';
import { EINVAL } from '../../uapi/errno.ts';
import {
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_low_power_entry_with_wakeup,
} from '../../uapi/vfio.ts';

/** What sleeps. */
export interface Sleeper {
  /** Take the BARs out of every mapping. */
  zap(): void;
  /** Mask INTx: false if it is not enabled, or masked already. */
  maskIntx(): boolean;
  unmaskIntx(): void;
}

export class LowPower {
  readonly #kernel: Kernel;
  readonly #sleeper: Sleeper;
  #engaged = false;
  #asleep = false;
  #maskedIntx = false;
  #wake: Eventfd | undefined;

  constructor(kernel: Kernel, sleeper: Sleeper) {
    this.#kernel = kernel;
    this.#sleeper = sleeper;
  }

  /** The device sleeps between calls: every call goes through {@link awake} then. */
  get engaged(): boolean {
    return this.#engaged;
  }

  /** A call, with the device awake (pm_runtime_resume_and_get, vfio_pci_core_runtime_resume, pm_runtime_put). */
  awake(call: () => number): number {
    if (this.#asleep) {
      this.#asleep = false;
      if (this.#wake !== undefined) {
        this.#wake.signal();
        this.exit();
      }
      if (this.#maskedIntx) this.#sleeper.unmaskIntx();
      this.#maskedIntx = false;
    }
    const result = call();
    if (this.#engaged) this.#sleep();
    return result;
  }

  /** vfio_pci_core_pm_entry, vfio_pci_core_pm_entry_with_wakeup. */
  enter(flags: number, data: number, argsz: number, withWakeup: boolean): number {
    const kernel = this.#kernel;
    const wanted = this.#checkSet(flags, argsz, withWakeup ? vfio_device_low_power_entry_with_wakeup.size : 0);
    if (wanted !== 1) return wanted;
    let wake: Eventfd | undefined;
    if (withWakeup) {
      const entry = getStruct(kernel, vfio_device_low_power_entry_with_wakeup, data);
      if (typeof entry === 'number') return entry;
      if (entry.wakeup_eventfd < 0) return kernel.refuse(EINVAL, `${entry.wakeup_eventfd} is no eventfd to wake by`);
      const eventfd = eventfdFromFd(kernel, entry.wakeup_eventfd);
      if (typeof eventfd === 'number') return eventfd;
      wake = eventfd;
    }
    this.#sleeper.zap();
    if (this.#engaged) return kernel.refuse(EINVAL, 'the device is in low power already');
    this.#engaged = true;
    this.#wake = wake;
    return 0;
  }

  /** vfio_pci_core_pm_exit. Not to be in low power is no error. */
  leave(flags: number, argsz: number): number {
    const wanted = this.#checkSet(flags, argsz, 0);
    if (wanted !== 1) return wanted;
    this.exit();
    return 0;
  }

  /** vfio_pci_runtime_pm_exit. */
  exit(): void {
    this.#engaged = false;
    this.#wake = undefined;
  }

  /** vfio_check_feature of one that can be set: 1 to go on, 0 for a PROBE, or -EINVAL. */
  #checkSet(flags: number, argsz: number, least: number): number {
    const kernel = this.#kernel;
    if (flags & VFIO_DEVICE_FEATURE_GET) return kernel.refuse(EINVAL, 'this feature can be set, not got');
    if (flags & VFIO_DEVICE_FEATURE_PROBE) return 0;
    if ((flags & VFIO_DEVICE_FEATURE_SET) === 0) return kernel.refuse(EINVAL, 'neither PROBE nor SET is asked for');
    if (argsz < least) return kernel.refuse(EINVAL, `argsz leaves ${argsz} bytes of data; the feature takes ${least}`);
    return 1;
  }

  /** vfio_pci_core_runtime_suspend. */
  #sleep(): void {
    this.#asleep = true;
    this.#maskedIntx = this.#sleeper.maskIntx();
  }
}
