/** A VFIO device of a user's own driver: its functions, as VFIO calls them. */

import type { Kernel } from '../core/kernel.ts';
import type { Mdev } from '../mdev/device.ts';
import { VfioDevice, type VfioDeviceOps } from '../vfio/device.ts';
import { vfio_put_device } from '../vfio/emulated-iommu.ts';
import type * as api from './driver-api.ts';
import type { DriverCalls } from './driver-fault.ts';
import { UserVmArea } from './user-vm-area.ts';

/** What the user's functions are handed: `struct vfio_device` with the state it lies in. */
export class UserVfioDevice implements api.VfioDevice<unknown> {
  readonly state: unknown;
  readonly mdev: Mdev;
  /** VFIO's own. */
  readonly device: VfioDevice;
  #held = true;

  constructor(
    kernel: Kernel,
    owner: string,
    mdev: Mdev,
    ops: api.VfioDeviceOps<unknown>,
    state: unknown,
    calls: DriverCalls,
  ) {
    this.state = state;
    this.mdev = mdev;
    this.device = new VfioDevice(kernel, mdev.uuid, owner, this.#bridge(ops, calls));
  }

  get name(): string {
    return this.device.name;
  }

  get kvm(): api.Kvm | undefined {
    return this.device.kvm as api.Kvm | undefined;
  }

  get open_count(): number {
    return this.device.openCount;
  }

  /** vfio_put_device: the driver has one reference, since it made the device. */
  put(): void {
    if (!this.#held) throw new TypeError(`vfio_put_device: the driver has put ${this.name} before`);
    this.#held = false;
    vfio_put_device(this.device);
  }

  /** Functions that the user has not are not there either: VFIO answers for them. */
  #bridge(ops: api.VfioDeviceOps<unknown>, calls: DriverCalls): VfioDeviceOps {
    const where = (name: string) => `vfio_device_ops.${name} of ${this.mdev.uuid}`;
    const number = (name: string, most: number, call: () => unknown) => calls.result(where(name), name, most, call);
    const plain = (name: string, call: () => void) => calls.run(where(name), name, call);
    const { open_device, close_device, read, write, ioctl, mmap, request, dma_unmap, release } = ops;
    return {
      ...(open_device && { openDevice: () => number('open_device', 0, () => open_device.call(ops, this)) }),
      ...(close_device && { closeDevice: () => plain('close_device', () => close_device.call(ops, this)) }),
      ...(read && {
        read: (buffer, count, position) => number('read', count, () => read.call(ops, this, buffer, count, position)),
      }),
      ...(write && {
        write: (buffer, count, position) =>
          number('write', count, () => write.call(ops, this, buffer, count, position)),
      }),
      ...(ioctl && {
        ioctl: (request, argument) => number('ioctl', MAX_RESULT, () => ioctl.call(ops, this, request, argument)),
      }),
      ...(mmap && {
        mmap: (vma) => {
          const area = new UserVmArea(this.device.kernel, vma);
          const error = number('mmap', 0, () => mmap.call(ops, this, area));
          if (error === 0) area.arm((call) => calls.run(where('mmap, vm_ops.fault'), 'fault', call));
          return error;
        },
      }),
      ...(request && { request: (count) => plain('request', () => request.call(ops, this, count)) }),
      ...(dma_unmap && {
        dmaUnmap: (iova, size) => plain('dma_unmap', () => dma_unmap.call(ops, this, Number(iova), Number(size))),
      }),
      ...(release && { release: () => plain('release', () => release.call(ops, this)) }),
    };
  }
}

const MAX_RESULT = 0x7fff_ffff;
