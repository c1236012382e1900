/** A VFIO device fd and what it tells of itself (hw/vfio/common.c: vfio_get_device, vfio_get_region_info, …). */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
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
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_FLAG_CAPS,
  vfio_device_info,
  vfio_info_cap_header,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_sparse_mmap_area,
} from '../../../linux/uapi/vfio.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import type { VfioGroup } from './container.ts';
import { vfioGetDevice } from './trace-events.ts';

/** Interrupts of PCI devices by index, as messages name them (index_to_str). */
const PCI_INTERRUPTS = ['INTX', 'MSI', 'MSIX', 'ERR', 'REQ'];

/** Part of a region. */
export interface Area {
  readonly offset: number;
  readonly size: number;
}

/** One region as the kernel describes it; `offset` is where it lies in the device's file. */
export interface RegionInfo extends Area {
  readonly flags: number;
  /** Capability SPARSE_MMAP: what of it can be mapped, if that is not all. */
  readonly sparse: readonly Area[] | undefined;
  /** Capability MSIX_MAPPABLE: the page of the MSI-X table can be mapped with the rest. */
  readonly msixMappable: boolean;
}

export class VfioDevice {
  readonly name: string;
  readonly fd: number;
  readonly flags: number;
  readonly regionCount: number;
  readonly irqCount: number;
  readonly system: System;

  /** GET_INFO of the device whose file `fd` is. */
  constructor(system: System, name: string, fd: number) {
    this.system = system;
    this.name = name;
    this.fd = fd;
    const argsz = vfio_device_info.size;
    const info = system.exchange(this.fd, VFIO_DEVICE_GET_INFO, vfio_device_info, { argsz });
    if (info.result < 0) throw new ConfigurationError(`error getting device info: ${strerror(-info.result)}`);
    this.flags = info.value.flags;
    this.regionCount = info.value.num_regions;
    this.irqCount = info.value.num_irqs;
  }

  /** vfio_get_device: GET_DEVICE_FD, then GET_INFO. */
  static ofGroup(system: System, group: VfioGroup, name: string): VfioDevice {
    const fd = system.heap.scoped(() => system.ioctl(group.fd, VFIO_GROUP_GET_DEVICE_FD, system.heap.putString(name)));
    if (fd < 0) {
      throw new ConfigurationError(
        `error getting device from group ${group.number}: ${strerror(-fd)}`,
        `Verify all devices in group ${group.number} are bound to vfio-<bus> or pci-stub and not already in use`,
      );
    }
    const device = new VfioDevice(system, name, fd);
    if (vfioGetDevice.on) {
      const { flags, regionCount: regions, irqCount: irqs } = device;
      vfioGetDevice(system.stream, { name, flags, regions, irqs });
    }
    return device;
  }

  /** Whether VFIO_DEVICE_RESET does something. */
  get resetWorks(): boolean {
    return (this.flags & VFIO_DEVICE_FLAGS_RESET) !== 0;
  }

  /** VFIO_DEVICE_GET_REGION_INFO, or -errno: asked again with the size the kernel names, where capabilities follow. */
  regionInfo(index: number): RegionInfo | number {
    const { heap } = this.system;
    for (let argsz = vfio_region_info.size; ; ) {
      const answer = heap.scoped(() => {
        const tail = new Uint8Array(argsz - vfio_region_info.size);
        const at = heap.put(vfio_region_info, { argsz, index }, tail);
        const result = this.system.ioctl(this.fd, VFIO_DEVICE_GET_REGION_INFO, at);
        return result < 0 ? result : this.system.memory.read(at, argsz);
      });
      if (typeof answer === 'number') return answer;
      const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
      const info = vfio_region_info.read(view);
      if (info.argsz > argsz) argsz = info.argsz;
      else {
        const place = { flags: info.flags, size: Number(info.size), offset: Number(info.offset) };
        return { ...place, ...regionCapabilities(view, info.flags & VFIO_REGION_INFO_FLAG_CAPS ? info.cap_offset : 0) };
      }
    }
  }

  /** VFIO_DEVICE_GET_IRQ_INFO of interrupt `index`, or -errno. */
  irqInfo(index: number): { readonly count: number; readonly flags: number } | number {
    const argsz = vfio_irq_info.size;
    const info = this.system.exchange(this.fd, VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, { argsz, index });
    return info.result < 0 ? info.result : info.value;
  }

  /** Vectors of the interrupt `index`, or -errno. */
  irqVectors(index: number): number {
    const info = this.irqInfo(index);
    return typeof info === 'number' ? info : info.count;
  }

  /** vfio_set_irq_signaling: tie a vector of interrupt `index` to an eventfd, or to none. Undefined, or why not. */
  signalTo(index: number, eventfd: number, vector = 0): string | undefined {
    const result = this.#setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, [eventfd], vector);
    return result < 0 ? this.#notSignaled('TRIGGER', index, vector, eventfd, result) : undefined;
  }

  /** All vectors from 0 on, -1 for those that are not used: 0, -errno, or how many there could be. */
  signalAll(index: number, eventfds: readonly number[]): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, eventfds);
  }

  /** vfio_set_irq_signaling of UNMASK: the eventfd unmasks the interrupt whenever it is signalled. Undefined, or why not. */
  unmaskBy(index: number, eventfd: number): string | undefined {
    const result = this.#setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, [eventfd]);
    return result < 0 ? this.#notSignaled('UNMASK', index, 0, eventfd, result) : undefined;
  }

  /** error_reportf_err with VFIO_MSG_PREFIX. */
  report(message: string): void {
    this.system.error(`vfio ${this.name}: ${message}`);
  }

  #notSignaled(action: 'TRIGGER' | 'UNMASK', index: number, vector: number, eventfd: number, result: number): string {
    const name = this.flags & VFIO_DEVICE_FLAGS_PCI ? PCI_INTERRUPTS[index] : undefined;
    const verb = eventfd < 0 ? 'tear down' : 'set up';
    const which = `${name ?? `index ${index}`}-${vector}`;
    return `Failed to ${verb} ${action} eventfd signaling for interrupt ${which}: VFIO_DEVICE_SET_IRQS failure: ${strerror(-result)}`;
  }

  /** vfio_unmask_single_irqindex. */
  unmask(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK);
  }

  /** vfio_mask_single_irqindex. */
  mask(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK);
  }

  /** vfio_disable_irqindex. */
  disableIrq(index: number): number {
    return this.#setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, []);
  }

  /** `eventfds` are the data, or, where there is none, absent for one interrupt and empty for none. */
  #setIrqs(index: number, flags: number, eventfds?: readonly number[], start = 0): number {
    const data = new Uint8Array(Int32Array.from(eventfds ?? []).buffer);
    const header = { argsz: vfio_irq_set.size + data.length, flags, index, start, count: eventfds?.length ?? 1 };
    return this.system.ioctlStruct(this.fd, VFIO_DEVICE_SET_IRQS, vfio_irq_set, header, data);
  }
}

/** vfio_get_cap: the capabilities of a region that QEMU uses, in the chain that begins at `first`; 0 for none. */
function regionCapabilities(view: DataView, first: number): Pick<RegionInfo, 'sparse' | 'msixMappable'> {
  let sparse: Area[] | undefined;
  let msixMappable = false;
  for (let at = first; at !== 0; ) {
    const { id, next } = vfio_info_cap_header.read(view, at);
    const body = at + vfio_info_cap_header.size;
    if (id === VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) msixMappable = true;
    if (id === VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
      const { nr_areas } = vfio_region_info_cap_sparse_mmap.read(view, body);
      const areas = body + vfio_region_info_cap_sparse_mmap.size;
      sparse = Array.from({ length: nr_areas }, (_, i) => {
        const area = vfio_region_sparse_mmap_area.read(view, areas + i * vfio_region_sparse_mmap_area.size);
        return { offset: Number(area.offset), size: Number(area.size) };
      }).filter(({ size }) => size > 0);
    }
    at = next;
  }
  return { sparse, msixMappable };
}
