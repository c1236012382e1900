/**
 * The life of a VFIO device that a driver makes itself and no IOMMU stands before, such as an mdev's
 * (drivers/vfio/vfio_main.c of 6.1: vfio_alloc_device, vfio_register_emulated_iommu_dev, vfio_put_device).
 */

import type { Device } from '../core/device.ts';
import type { VfioDevice } from './device.ts';
import { vfioOf } from './init.ts';

/** An IOMMU group of its own for `device`, /dev/vfio/N, and vfioN below the device. VFIO holds a reference to `vdev` from here on. 0 or -ENOMEM. */
export function vfio_register_emulated_iommu_dev(device: Device, vdev: VfioDevice): number {
  const group = vfioOf(vdev.kernel).register(device, vdev);
  if (typeof group === 'number') return group;
  vdev.get();
  return 0;
}

/**
 * Undo it. Fidelity: Linux puts the caller to sleep until no file of the device is open; here the call returns, and VFIO's
 * reference goes at the last close.
 */
export const vfio_unregister_group_dev = (vdev: VfioDevice): void =>
  vfioOf(vdev.kernel).unregister(vdev, () => vdev.put());

/** Drop the reference that the driver has had since it made the device; with the last one the driver's `release` is called. */
export const vfio_put_device = (vdev: VfioDevice): void => vdev.put();
