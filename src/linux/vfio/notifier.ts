/**
 * The group notifier of Linux 4.10 to 5.18, by which a mediated driver learned which VM its device was given to
 * (vfio_register_notifier, vfio_register_group_notifier in drivers/vfio/vfio.c of 5.10). Its successor is the field
 * `kvm` of the device, set before the first open; both are there.
 */

import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENODEV } from '../uapi/errno.ts';
import type { NotifierBlock, VfioDevice } from './device.ts';

/** Notifier type: events of the group. */
export const VFIO_GROUP_NOTIFY = 1;
/** The group's VM was set, or cleared: the data is the kvm pointer, or undefined. The only group event. */
export const VFIO_GROUP_NOTIFY_SET_KVM = 1 << 0;

/**
 * Ask to be told of `events` of the device's group. If the group has a VM already, the notifier is called at once,
 * before this returns. -EINVAL for events or a type that do not exist, or while the group's container has no IOMMU;
 * -ENODEV if the device is in no VFIO group.
 */
export function vfio_register_notifier(
  kernel: Kernel,
  device: VfioDevice | undefined,
  type: number,
  events: number,
  notifier: NotifierBlock,
): number {
  const group = checked(kernel, device, type);
  if (typeof group === 'number') return group;
  if (events !== VFIO_GROUP_NOTIFY_SET_KVM) {
    return kernel.refuse(EINVAL, 'the only group event is VFIO_GROUP_NOTIFY_SET_KVM');
  }
  if (group.notifiers.has(notifier)) return kernel.refuse(EINVAL, 'this notifier is registered already');
  group.notifiers.add(notifier);
  if (group.kvm !== undefined) for (const each of [...group.notifiers]) each.notify(events, group.kvm);
  return 0;
}

/** Undo {@link vfio_register_notifier}; -EINVAL if the notifier was not registered. */
export function vfio_unregister_notifier(
  kernel: Kernel,
  device: VfioDevice | undefined,
  type: number,
  notifier: NotifierBlock,
): number {
  const group = checked(kernel, device, type);
  if (typeof group === 'number') return group;
  return group.notifiers.delete(notifier) ? 0 : kernel.refuse(EINVAL, 'this notifier was not registered');
}

function checked(kernel: Kernel, device: VfioDevice | undefined, type: number) {
  const group = device?.group;
  if (group === undefined) return kernel.refuse(ENODEV, 'the device is in no VFIO group');
  if (type !== VFIO_GROUP_NOTIFY) return kernel.refuse(EINVAL, `there is no notifier type ${type} for a group`);
  if (group.iommu === undefined) {
    return kernel.refuse(EINVAL, `group ${group.id} is in no container with an IOMMU: register from open()`);
  }
  return group;
}
