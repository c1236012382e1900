/** The bridge from VFIO to a mediated driver: drivers/vfio/mdev/vfio_mdev.c of Linux 5.10. Hot: read and write. */

import type { Hva } from '../../address.ts';
import { watch } from '../../event.ts';
import type { Kernel } from '../core/kernel.ts';
import type { Vma } from '../core/vma.ts';
import { EINVAL } from '../uapi/errno.ts';
import type { VfioDeviceOps } from '../vfio/device.ts';
import type { Mdev } from './device.ts';
import { mdevRead, mdevWrite } from './events.ts';
import type { MdevParentOps } from './parent.ts';

/** One device's `struct vfio_device_ops`: every call goes on to the parent's ops with the mdev before it. */
export class VfioMdev implements VfioDeviceOps {
  readonly #kernel: Kernel;
  readonly #mdev: Mdev;
  readonly #ops: MdevParentOps<unknown>;

  constructor(kernel: Kernel, mdev: Mdev, ops: MdevParentOps<unknown>) {
    this.#kernel = kernel;
    this.#mdev = mdev;
    this.#ops = ops;
  }

  openDevice(): number {
    return this.#ops.open?.(this.#mdev) ?? 0;
  }

  closeDevice(): void {
    this.#ops.release?.(this.#mdev);
  }

  release(): void {
    this.#ops.remove(this.#mdev);
    this.#mdev.vfio = undefined;
  }

  read(buffer: Hva, count: number, position: number): number {
    if (this.#ops.read === undefined) return this.#missing('read');
    if (watch.on && mdevRead.on) mdevRead(this.#kernel.stream, { uuid: this.#mdev.uuid, position, count });
    return this.#ops.read(this.#mdev, buffer, count, position);
  }

  write(buffer: Hva, count: number, position: number): number {
    if (this.#ops.write === undefined) return this.#missing('write');
    if (watch.on && mdevWrite.on) mdevWrite(this.#kernel.stream, { uuid: this.#mdev.uuid, position, count });
    return this.#ops.write(this.#mdev, buffer, count, position);
  }

  ioctl(request: number, argument: number): number {
    if (this.#ops.ioctl === undefined) return this.#missing('ioctl');
    return this.#ops.ioctl(this.#mdev, request, argument);
  }

  mmap(vma: Vma): number {
    if (this.#ops.mmap === undefined) return this.#missing('mmap');
    return this.#ops.mmap(this.#mdev, vma);
  }

  #missing(call: string): number {
    return this.#kernel.refuse(EINVAL, `the driver ${this.#ops.owner} has no ${call} for ${this.#mdev.uuid}`);
  }
}
