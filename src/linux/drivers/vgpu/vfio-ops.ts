/**
 * vgpu by the interface of Linux 6.1: an mdev_driver whose probe registers a vfio_device itself. Against parent-ops.ts: the core counts
 * the instances, the kvm pointer is in the device when it is opened, and the driver may ask for its device back (`request`).
 */

import type { Hva } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import type { Mdev } from '../../mdev/device.ts';
import type { MdevDriver } from '../../mdev/driver.ts';
import { VFIO_DEVICE_API_PCI } from '../../mdev/type.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { VfioDevice, type VfioDeviceOps } from '../../vfio/device.ts';
import {
  vfio_put_device,
  vfio_register_emulated_iommu_dev,
  vfio_unregister_group_dev,
} from '../../vfio/emulated-iommu.ts';
import { readFunction, writeFunction } from '../pci-function.ts';
import { ioctlFunction } from '../pci-function-ioctl.ts';
import { INSTANCES } from './type.ts';
import { Vgpu } from './vgpu.ts';

/** One device: `struct vfio_device` with the vgpu that it lies in. */
class VgpuVfioDevice implements VfioDeviceOps {
  readonly vdev: VfioDevice;
  readonly #vgpu: Vgpu;

  constructor(kernel: Kernel, name: string, trapsMmio: boolean) {
    this.#vgpu = new Vgpu(kernel, name, trapsMmio);
    this.vdev = new VfioDevice(kernel, name, 'vgpu', this);
  }

  openDevice(): number {
    const { kvm } = this.vdev;
    if (kvm !== undefined) this.#vgpu.attach(kvm);
    return 0;
  }

  closeDevice(): void {
    this.#vgpu.detach();
  }

  read(buffer: Hva, count: number, position: number): number {
    return readFunction(this.#vgpu, buffer, count, position);
  }

  write(buffer: Hva, count: number, position: number): number {
    return writeFunction(this.#vgpu, buffer, count, position);
  }

  ioctl(request: number, argument: number): number {
    return ioctlFunction(this.#vgpu, request, argument);
  }

  request(): void {
    this.#vgpu.interrupts.request();
  }

  release(): void {
    this.#vgpu.destroy();
  }
}

export class VgpuDriver implements MdevDriver {
  readonly name = 'vgpu';
  readonly device_api = VFIO_DEVICE_API_PCI;
  readonly max_instances = INSTANCES;
  readonly #kernel: Kernel;
  readonly #trapsMmio: boolean;

  constructor(kernel: Kernel, trapsMmio: boolean) {
    this.#kernel = kernel;
    this.#trapsMmio = trapsMmio;
  }

  probe(mdev: Mdev): number {
    if (!this.#kernel.kmallocAll('struct vgpu', 'vconfig')) return -ENOMEM;
    const { vdev } = new VgpuVfioDevice(this.#kernel, mdev.uuid, this.#trapsMmio);
    mdev.vfio = vdev;
    const error = vfio_register_emulated_iommu_dev(mdev.device, vdev);
    if (error < 0) vfio_put_device(vdev);
    return error;
  }

  remove(mdev: Mdev): void {
    const vdev = mdev.vfio!;
    vfio_unregister_group_dev(vdev);
    vfio_put_device(vdev);
  }
}
