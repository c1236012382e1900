/** A VFIO device fd and what it tells of itself (hw/vfio/common.c: vfio_get_device, vfio_get_region_info, …). */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  vfio_device_info,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
} from '../../../linux/uapi/vfio.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import { vfioGetDevice } from '../../trace-events.ts';
import type { VfioGroup } from './container.ts';

/** One region as the kernel describes it; `offset` is where it lies in the device's file. */
export interface RegionInfo {
  readonly flags: number;
  readonly size: number;
  readonly offset: number;
}

export class VfioDevice {
  readonly name: string;
  readonly fd: number;
  readonly flags: number;
  readonly regionCount: number;
  readonly irqCount: number;
  readonly system: System;

  /** vfio_get_device: GET_DEVICE_FD, then GET_INFO. */
  constructor(system: System, group: VfioGroup, name: string) {
    this.system = system;
    this.name = name;
    this.fd = system.heap.scoped(() => system.ioctl(group.fd, VFIO_GROUP_GET_DEVICE_FD, system.heap.putString(name)));
    if (this.fd < 0) {
      throw new ConfigurationError(
        `error getting device from group ${group.number}: ${strerror(-this.fd)}`,
        `Verify all devices in group ${group.number} are bound to vfio-<bus> or pci-stub and not already in use`,
      );
    }
    const argsz = vfio_device_info.size;
    const info = system.exchange(this.fd, VFIO_DEVICE_GET_INFO, vfio_device_info, { argsz });
    if (info.result < 0) throw new ConfigurationError(`error getting device info: ${strerror(-info.result)}`);
    this.flags = info.value.flags;
    this.regionCount = info.value.num_regions;
    this.irqCount = info.value.num_irqs;
    if (vfioGetDevice.on) {
      const fields = { name, flags: this.flags, regions: this.regionCount, irqs: this.irqCount };
      vfioGetDevice(system.stream, fields);
    }
  }

  /** Whether VFIO_DEVICE_RESET does something. */
  get resetWorks(): boolean {
    return (this.flags & VFIO_DEVICE_FLAGS_RESET) !== 0;
  }

  /** VFIO_DEVICE_GET_REGION_INFO, or -errno. */
  regionInfo(index: number): RegionInfo | number {
    const argsz = vfio_region_info.size;
    const info = this.system.exchange(this.fd, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, { argsz, index });
    if (info.result < 0) return info.result;
    return { flags: info.value.flags, size: Number(info.value.size), offset: Number(info.value.offset) };
  }

  /** VFIO_DEVICE_GET_IRQ_INFO: vectors of the interrupt `index`, or -errno. */
  irqVectors(index: number): number {
    const argsz = vfio_irq_info.size;
    const info = this.system.exchange(this.fd, VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, { argsz, index });
    return info.result < 0 ? info.result : info.value.count;
  }

  /** vfio_set_irq_signaling: tie vector 0 of interrupt `index` to an eventfd. 0 or -errno. */
  signalTo(index: number, eventfd: number): number {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setInt32(0, eventfd, true);
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, data);
  }

  /** vfio_unmask_single_irqindex. */
  unmask(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 1);
  }

  /** vfio_mask_single_irqindex. */
  mask(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 1);
  }

  /** vfio_disable_irqindex. */
  disableIrq(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0);
  }

  #setIrqs(index: number, flags: number, count: number, data = new Uint8Array(0)): number {
    const argsz = vfio_irq_set.size + data.length;
    return this.system.ioctlStruct(this.fd, VFIO_DEVICE_SET_IRQS, vfio_irq_set, { argsz, flags, index, count }, data);
  }
}
