/**
 * vfio-platform: the driver that gives a platform device to user space (drivers/vfio/platform/{vfio_platform,
 * vfio_platform_common}.c of Linux 6.1). It matches nothing by itself: driver_override says which device it shall take. A reset
 * needs code for each kind of device, and there is none here for any: with the module's parameter `reset_required`, which is on by
 * default, it takes no device.
 */

import type { Hva } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import type { Vma } from '../../core/vma.ts';
import { type PlatformBus, type PlatformDevice, PlatformDriver } from '../../platform/bus.ts';
import { EINVAL, ENOENT, ENOTTY } from '../../uapi/errno.ts';
import {
  VFIO_DEVICE_FLAGS_PLATFORM,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
} from '../../uapi/vfio.ts';
import { getSized, putSized } from '../argsz.ts';
import { regionOffset, VfioDevice, type VfioDeviceOps } from '../device.ts';
import { vfioOf } from '../init.ts';
import { irqData, validateSetIrqs } from '../irqs.ts';
import { PlatformInterrupts } from './interrupts.ts';
import { isMappable, mapRegion, transferRegion } from './regions.ts';

const NAME = 'vfio-platform';
const MODULE = 'vfio_platform';

/** `struct vfio_platform_device`. */
class AssignedPlatformDevice implements VfioDeviceOps {
  readonly #platform: PlatformDevice;
  readonly #kernel: Kernel;
  readonly #interrupts: PlatformInterrupts;

  constructor(platform: PlatformDevice) {
    this.#platform = platform;
    this.#kernel = platform.kernel;
    this.#interrupts = new PlatformInterrupts(platform);
  }

  /** vfio_platform_open_device. */
  openDevice(): number {
    this.#callReset();
    return 0;
  }

  closeDevice(): void {
    this.#callReset();
    this.#interrupts.shutDown();
  }

  /** vfio_platform_call_reset: at the first open and the last close too, where it may fail if `reset_required` is off. */
  #callReset(): void {
    this.#kernel.printk(`${NAME} ${this.#platform.name}: VFIO: no reset function found!`);
  }

  read(buffer: Hva, count: number, position: number): number {
    return transferRegion(this.#platform, buffer, count, position, false);
  }

  write(buffer: Hva, count: number, position: number): number {
    return transferRegion(this.#platform, buffer, count, position, true);
  }

  mmap(vma: Vma): number {
    return mapRegion(this.#platform, vma);
  }

  ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_DEVICE_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_DEVICE_GET_REGION_INFO.number:
        return this.#getRegionInfo(argument);
      case VFIO_DEVICE_GET_IRQ_INFO.number:
        return this.#getIrqInfo(argument);
      case VFIO_DEVICE_SET_IRQS.number:
        return this.#setIrqs(argument);
      case VFIO_DEVICE_RESET.number:
        this.#callReset();
        return this.#kernel.refuse(EINVAL, `nothing knows how to reset ${this.#platform.name}`);
      default:
        return this.#kernel.refuse(ENOTTY, `${NAME} has no ioctl 0x${request.toString(16)}`);
    }
  }

  #getInfo(argument: number): number {
    const info = getSized(this.#kernel, vfio_device_info, 'num_irqs', argument);
    if (typeof info === 'number') return info;
    return putSized(this.#kernel, vfio_device_info, 'num_irqs', argument, {
      ...info,
      flags: VFIO_DEVICE_FLAGS_PLATFORM,
      num_regions: this.#platform.description.memory.length,
      num_irqs: this.#interrupts.count,
    });
  }

  #getRegionInfo(argument: number): number {
    const info = getSized(this.#kernel, vfio_region_info, 'offset', argument);
    if (typeof info === 'number') return info;
    const region = this.#platform.description.memory[info.index];
    if (region === undefined) {
      return this.#kernel.refuse(EINVAL, `${this.#platform.name} has no region ${info.index}`);
    }
    const readWrite = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    return putSized(this.#kernel, vfio_region_info, 'offset', argument, {
      ...info,
      flags: readWrite | (isMappable(region) ? VFIO_REGION_INFO_FLAG_MMAP : 0),
      size: BigInt(region.size),
      offset: regionOffset(info.index),
    });
  }

  #getIrqInfo(argument: number): number {
    const info = getSized(this.#kernel, vfio_irq_info, 'count', argument);
    if (typeof info === 'number') return info;
    if (info.index >= this.#interrupts.count) {
      return this.#kernel.refuse(EINVAL, `${this.#platform.name} has no interrupt ${info.index}`);
    }
    const flags = this.#interrupts.flags(info.index);
    return putSized(this.#kernel, vfio_irq_info, 'count', argument, { ...info, flags, count: 1 });
  }

  #setIrqs(argument: number): number {
    const kernel = this.#kernel;
    const header = getSized(kernel, vfio_irq_set, 'count', argument);
    if (typeof header === 'number') return header;
    // Linux checks start and count against the number of indexes.
    const size = validateSetIrqs(kernel, header, this.#interrupts.count, this.#interrupts.count);
    if (size < 0) return size;
    const data = irqData(kernel, argument, size);
    if (typeof data === 'number') return data;
    return this.#interrupts.set(header, data);
  }
}

/** Make vfio-platform loadable: `modprobe vfio-platform [reset_required=0]`. */
export function registerVfioPlatform(kernel: Kernel, bus: PlatformBus): void {
  const devices = new Map<PlatformDevice, VfioDevice>();
  let driver: PlatformDriver | undefined;
  kernel.modules.register({
    name: MODULE,
    parameters: { reset_required: 'boolean' },
    init(_, { reset_required: resetRequired = true }) {
      driver = new PlatformDriver(bus, {
        name: NAME,
        module: MODULE,
        compatible: [],
        managesDma: true,
        probe(platform) {
          if (resetRequired) {
            kernel.printk(`${NAME} ${platform.name}: VFIO: No reset function found for device ${platform.name}`);
            return kernel.refuse(ENOENT, 'reset_required is set, and nothing knows how to reset the device');
          }
          const vfio = new VfioDevice(kernel, platform.name, MODULE, new AssignedPlatformDevice(platform));
          const group = vfioOf(kernel).registerGroupDevice(platform.device, vfio);
          if (typeof group === 'number') return group;
          devices.set(platform, vfio);
          return 0;
        },
        remove(platform) {
          const vfio = devices.get(platform);
          devices.delete(platform);
          if (vfio !== undefined) vfioOf(kernel).unregister(vfio, () => {});
        },
      });
      return kernel.devices.addDriver(driver);
    },
    exit() {
      if (driver !== undefined) kernel.devices.removeDriver(driver);
    },
  });
}
