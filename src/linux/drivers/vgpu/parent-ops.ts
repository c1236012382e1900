/**
 * vgpu by the interface of Linux 4.10 to 5.18, that of seeds 000 and 003: mdev_parent_ops, and a notifier through which VFIO tells the
 * kvm pointer. What 6.1 made of it is in vfio-ops.ts.
 */

import type { Hva } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import type { Mdev } from '../../mdev/device.ts';
import type { MdevParentOps } from '../../mdev/parent.ts';
import { type MdevType, type MdevTypeGroup, VFIO_DEVICE_API_PCI } from '../../mdev/type.ts';
import { ENOMEM, ENOSPC } from '../../uapi/errno.ts';
import type { NotifierBlock } from '../../vfio/device.ts';
import {
  VFIO_GROUP_NOTIFY,
  VFIO_GROUP_NOTIFY_SET_KVM,
  vfio_register_notifier,
  vfio_unregister_notifier,
} from '../../vfio/notifier.ts';
import { readFunction, writeFunction } from '../pci-function.ts';
import { ioctlFunction } from '../pci-function-ioctl.ts';
import { INSTANCES, TYPE } from './type.ts';
import { Vgpu } from './vgpu.ts';

/** One device: `struct intel_vgpu` of KVMGT with its notifier_block. */
class State implements NotifierBlock {
  readonly vgpu: Vgpu;

  constructor(vgpu: Vgpu) {
    this.vgpu = vgpu;
  }

  /** The group has a VM, or has none any more. */
  notify(action: number, kvm: unknown): void {
    if (action !== VFIO_GROUP_NOTIFY_SET_KVM) return;
    if (kvm === undefined) this.vgpu.detach();
    else this.vgpu.attach(kvm as object);
  }
}

export class VgpuParentOps implements MdevParentOps<State> {
  readonly owner = 'vgpu';
  readonly supported_type_groups: readonly MdevTypeGroup[] = [
    {
      name: TYPE.sysfs_name,
      attributes: {
        name: () => TYPE.pretty_name,
        device_api: () => VFIO_DEVICE_API_PCI,
        available_instances: () => this.#available,
      },
    },
  ];
  readonly #kernel: Kernel;
  readonly #trapsMmio: boolean;
  #available = INSTANCES;

  constructor(kernel: Kernel, trapsMmio: boolean) {
    this.#kernel = kernel;
    this.#trapsMmio = trapsMmio;
  }

  create(_type: MdevType, mdev: Mdev<State>): number {
    if (this.#available === 0) return this.#kernel.refuse(ENOSPC, `vgpu makes at most ${INSTANCES} devices`);
    if (!this.#kernel.kmallocAll('struct vgpu', 'vconfig')) return -ENOMEM;
    this.#available--;
    mdev.drvdata = new State(new Vgpu(this.#kernel, mdev.uuid, this.#trapsMmio));
    return 0;
  }

  remove(mdev: Mdev<State>): void {
    mdev.state.vgpu.destroy();
    mdev.drvdata = undefined;
    this.#available++;
  }

  /** If the group has its VM already the notifier is called at once. */
  open(mdev: Mdev<State>): number {
    return vfio_register_notifier(this.#kernel, mdev.vfio, VFIO_GROUP_NOTIFY, VFIO_GROUP_NOTIFY_SET_KVM, mdev.state);
  }

  release(mdev: Mdev<State>): void {
    vfio_unregister_notifier(this.#kernel, mdev.vfio, VFIO_GROUP_NOTIFY, mdev.state);
    mdev.state.vgpu.detach();
  }

  read(mdev: Mdev<State>, buffer: Hva, count: number, position: number): number {
    return readFunction(mdev.state.vgpu, buffer, count, position);
  }

  write(mdev: Mdev<State>, buffer: Hva, count: number, position: number): number {
    return writeFunction(mdev.state.vgpu, buffer, count, position);
  }

  ioctl(mdev: Mdev<State>, request: number, argument: number): number {
    return ioctlFunction(mdev.state.vgpu, request, argument);
  }
}
