/**
 * Reset of a whole bus (vfio_pci_core.c of Linux 6.1: vfio_pci_ioctl_get_pci_hot_reset_info, vfio_pci_ioctl_pci_hot_reset,
 * vfio_pci_dev_set_hot_reset). It hits every device of the bus, so that the user has to show a descriptor of each one's group, and
 * all of them must be vfio-pci's.
 */

import { hva, plus } from '../../../address.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import type { PciBus } from '../../pci/bus.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EBADF, EFAULT, EINVAL, ENODEV, ENOSPC, EPERM } from '../../uapi/errno.ts';
import { vfio_pci_dependent_device, vfio_pci_hot_reset, vfio_pci_hot_reset_info } from '../../uapi/vfio.ts';
import { getSized, putSized } from '../argsz.ts';
import { groupFromFile, type VfioGroup } from '../group.ts';

/** What vfio-pci knows of its devices. */
export interface DeviceSet {
  readonly bus: PciBus;
  /** The VFIO group of a device that vfio-pci has; undefined for a device that another driver has, or none. */
  groupOf(pci: PciDevice): VfioGroup | undefined;
  /** Take the device's BARs out of every mapping. */
  zap(pci: PciDevice): void;
}

/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 0; -ENOSPC with the count if the devices do not fit; -ENODEV if nothing resets the bus. */
export function getHotResetInfo(pci: PciDevice, bus: PciBus, argument: number): number {
  const { kernel } = pci;
  const header = getSized(kernel, vfio_pci_hot_reset_info, 'count', argument);
  if (typeof header === 'number') return header;
  const hit = bus.resetDomain(pci);
  if (hit === undefined) return noReset(pci);
  const reply = { ...header, flags: 0, count: hit.length };
  const each = vfio_pci_dependent_device.size;
  if (header.argsz < vfio_pci_hot_reset_info.size + hit.length * each) {
    const error = putSized(kernel, vfio_pci_hot_reset_info, 'count', argument, reply);
    return error < 0 ? error : kernel.refuse(ENOSPC, `${hit.length} devices do not fit into argsz ${header.argsz}`);
  }
  const devices = new Uint8Array(hit.length * each);
  for (const [i, { device, hardware, name }] of hit.entries()) {
    if (device.iommuGroup === undefined) return kernel.refuse(EPERM, `no IOMMU isolates ${name}`);
    const { bus: number, devfn } = hardware.slot;
    const entry = { group_id: device.iommuGroup, segment: 0, bus: number, devfn };
    devices.set(vfio_pci_dependent_device.encode(entry), i * each);
  }
  if (copyToUser(kernel, plus(hva(argument), vfio_pci_hot_reset_info.size), devices) < 0) return badPointer(pci);
  return putSized(kernel, vfio_pci_hot_reset_info, 'count', argument, reply);
}

/** VFIO_DEVICE_PCI_HOT_RESET: 0 or -errno, with nothing reset then. */
export function hotReset(pci: PciDevice, set: DeviceSet, argument: number): number {
  const { kernel } = pci;
  const header = getSized(kernel, vfio_pci_hot_reset, 'count', argument);
  if (typeof header === 'number') return header;
  if (header.flags !== 0) return kernel.refuse(EINVAL, 'PCI_HOT_RESET has no flags');
  const hit = set.bus.resetDomain(pci);
  if (hit === undefined) return noReset(pci);
  const { count } = header;
  if (count === 0 || count > hit.length) {
    return kernel.refuse(EINVAL, `${count} groups were given: one at least, and no more than ${hit.length} devices`);
  }
  const groups = groupsOf(pci, argument, count);
  if (typeof groups === 'number') return groups;
  for (const device of hit) {
    const group = set.groupOf(device);
    if (group === undefined)
      return kernel.refuse(EINVAL, `${device.name} is on the bus too, and not bound to vfio-pci`);
    if (!groups.has(group))
      return kernel.refuse(EINVAL, `${device.name} is on the bus too: group ${group.id} is not shown`);
  }
  for (const device of hit) set.zap(device);
  set.bus.resetBus(hit);
  return 0;
}

/** The groups behind the descriptors that follow the header. */
function groupsOf(pci: PciDevice, argument: number, count: number): ReadonlySet<VfioGroup> | number {
  const { kernel } = pci;
  const bytes = new Uint8Array(4 * count);
  if (copyFromUser(kernel, bytes, plus(hva(argument), vfio_pci_hot_reset.size)) < 0) return badPointer(pci);
  const groups = new Set<VfioGroup>();
  for (const fd of new Int32Array(bytes.buffer)) {
    const file = kernel.current.files.get(fd);
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
    const group = groupFromFile(file);
    if (group === undefined) return kernel.refuse(EINVAL, `fd ${fd} (${file.path}) is no VFIO group`);
    groups.add(group);
  }
  return groups;
}

const noReset = ({ kernel, name }: PciDevice): number =>
  kernel.refuse(ENODEV, `no bridge is above ${name} that could reset its bus`);
const badPointer = ({ kernel }: PciDevice): number =>
  kernel.refuse(EFAULT, 'what argsz promises is not in the process’s memory');
