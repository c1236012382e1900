/**
 * mdev_register_device: the interface of mediated drivers up to Linux 5.18 (parent.ts), on that of 6.1. What changed is here in one
 * place: `create` became the driver's `probe`, which registers with VFIO itself; `remove` became the release of the VFIO device;
 * and the bridge vfio_mdev, which passed every call on with the mdev before it, went.
 */

import type { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { VfioDevice } from '../vfio/device.ts';
import {
  vfio_put_device,
  vfio_register_emulated_iommu_dev,
  vfio_unregister_group_dev,
} from '../vfio/emulated-iommu.ts';
import { mdev_register_driver, mdev_unregister_driver, mdevOf } from './core.ts';
import type { Mdev } from './device.ts';
import type { MdevDriver } from './driver.ts';
import type { MdevParentOps } from './parent.ts';
import { VFIO_DEVICE_API_PCI } from './type.ts';
import { VfioMdev } from './vfio-mdev.ts';

const drivers = new WeakMap<Device, MdevDriver>();

/** The driver of 6.1 that one with parent ops is. */
function driverOf(kernel: Kernel, ops: MdevParentOps<unknown>): MdevDriver {
  return {
    name: ops.owner,
    device_api: VFIO_DEVICE_API_PCI,
    dev_groups: ops.mdev_attr_groups,
    // 5.10 leaves counting to `create`.
    get_available: () => Number.POSITIVE_INFINITY,
    probe(mdev: Mdev): number {
      const result = ops.create(mdev.type, mdev);
      if (result < 0) return result;
      if (!kernel.kmalloc('struct vfio_mdev_device')) {
        ops.remove(mdev);
        return -ENOMEM;
      }
      const vfio = new VfioDevice(kernel, mdev.uuid, ops.owner, new VfioMdev(kernel, mdev, ops));
      mdev.vfio = vfio;
      const error = vfio_register_emulated_iommu_dev(mdev.device, vfio);
      if (error < 0) vfio_put_device(vfio);
      return error;
    },
    remove(mdev: Mdev): void {
      const { vfio } = mdev;
      if (vfio === undefined) return;
      vfio_unregister_group_dev(vfio);
      vfio_put_device(vfio);
    },
  };
}

/**
 * Register `device` as a parent of mediated devices: its types appear in sysfs. 0, -EINVAL without types, -EEXIST if it is
 * registered, -EBUSY if another driver of this name is there.
 */
export function mdev_register_device<State>(kernel: Kernel, device: Device, ops: MdevParentOps<State>): number {
  // Each device's state is made and read by these same ops, so its type does not matter here.
  const driver = driverOf(kernel, ops as MdevParentOps<unknown>);
  const error = mdev_register_driver(kernel, driver);
  if (error < 0) return error;
  const registered = mdevOf(kernel).registerParent(device, driver, ops.supported_type_groups);
  if (registered < 0) mdev_unregister_driver(kernel, driver);
  else drivers.set(device, driver);
  return registered;
}

/** Undo {@link mdev_register_device}: every device of the parent is removed. */
export function mdev_unregister_device(kernel: Kernel, device: Device): void {
  mdevOf(kernel).unregisterParent(device);
  const driver = drivers.get(device);
  if (driver !== undefined) mdev_unregister_driver(kernel, driver);
  drivers.delete(device);
}
