/**
 * The notifiers of Linux 4.10 to 5.18 (vfio_register_notifier in drivers/vfio/vfio.c of 5.10): by that of the group a mediated
 * driver learned which VM its device was given to, by that of the IOMMU that a mapping goes whose pages it had pinned. Their
 * successors are the field `kvm` of the device, set before the first open, and `dmaUnmap` of its ops; both ways are there.
 *
 * Fidelity: no kernel had both these notifiers and iommufd. Here a driver that knows only the former serves a device of the latter
 * as well: it is called with the VM that the device was opened for.
 */

import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENODEV } from '../uapi/errno.ts';
import type { NotifierBlock, VfioDevice } from './device.ts';
import type { UnmapListener } from './dma-space.ts';

/** Notifier type: events of the container's IOMMU. */
export const VFIO_IOMMU_NOTIFY = 0;
/** A mapping goes: unpin its pages. The data is a {@link DmaUnmapped}. The only IOMMU event. */
export const VFIO_IOMMU_NOTIFY_DMA_UNMAP = 1 << 0;
/** `struct vfio_iommu_type1_dma_unmap` as the notifier gets it. */
export interface DmaUnmapped {
  readonly iova: bigint;
  readonly size: bigint;
}

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
  const found = checked(kernel, device, type);
  if (typeof found === 'number') return found;
  const { group, listeners, kvm } = found;
  if (type === VFIO_IOMMU_NOTIFY) return listen(kernel, listeners, events, notifier);
  if (events !== VFIO_GROUP_NOTIFY_SET_KVM) {
    return kernel.refuse(EINVAL, 'the only group event is VFIO_GROUP_NOTIFY_SET_KVM');
  }
  if (group.notifiers.has(notifier)) return kernel.refuse(EINVAL, 'this notifier is registered already');
  group.notifiers.add(notifier);
  if (kvm !== undefined) for (const each of [...group.notifiers]) each.notify(events, kvm);
  return 0;
}

/** Undo {@link vfio_register_notifier}; -EINVAL if the notifier was not registered. */
export function vfio_unregister_notifier(
  kernel: Kernel,
  device: VfioDevice | undefined,
  type: number,
  notifier: NotifierBlock,
): number {
  const found = checked(kernel, device, type);
  if (typeof found === 'number') return found;
  const { group, listeners } = found;
  const deleted = type === VFIO_IOMMU_NOTIFY ? forget(listeners, notifier) : group.notifiers.delete(notifier);
  return deleted ? 0 : kernel.refuse(EINVAL, 'this notifier was not registered');
}

/** The device's group; who is told when a mapping of its container or iommufd goes; and the VM that it was given to, if any. */
function checked(kernel: Kernel, device: VfioDevice | undefined, type: number) {
  const group = device?.group;
  if (device === undefined || group === undefined) return kernel.refuse(ENODEV, 'the device is in no VFIO group');
  if (type !== VFIO_GROUP_NOTIFY && type !== VFIO_IOMMU_NOTIFY) {
    return kernel.refuse(EINVAL, `there is no notifier type ${type}`);
  }
  if (device.iommufd !== undefined) return { group, listeners: device.unmapListeners, kvm: device.kvm };
  if (group.iommu === undefined) {
    return kernel.refuse(EINVAL, `group ${group.id} is in no container with an IOMMU: register from open()`);
  }
  return { group, listeners: group.iommu.space.listeners, kvm: group.kvm };
}

/** What hangs in the IOMMU's list for a notifier. */
class UnmapNotifier implements UnmapListener {
  readonly notifier: NotifierBlock;

  constructor(notifier: NotifierBlock) {
    this.notifier = notifier;
  }

  dmaUnmap(iova: bigint, size: bigint): void {
    const unmapped: DmaUnmapped = { iova, size };
    this.notifier.notify(VFIO_IOMMU_NOTIFY_DMA_UNMAP, unmapped);
  }
}

function listen(kernel: Kernel, listeners: Set<UnmapListener>, events: number, notifier: NotifierBlock): number {
  if (events !== VFIO_IOMMU_NOTIFY_DMA_UNMAP) {
    return kernel.refuse(EINVAL, 'the only IOMMU event is VFIO_IOMMU_NOTIFY_DMA_UNMAP');
  }
  if (find(listeners, notifier) !== undefined) return kernel.refuse(EINVAL, 'this notifier is registered already');
  listeners.add(new UnmapNotifier(notifier));
  return 0;
}

function forget(listeners: Set<UnmapListener>, notifier: NotifierBlock): boolean {
  const listener = find(listeners, notifier);
  return listener !== undefined && listeners.delete(listener);
}

const find = (listeners: Set<UnmapListener>, notifier: NotifierBlock): UnmapListener | undefined =>
  [...listeners].find((each) => each instanceof UnmapNotifier && each.notifier === notifier);
