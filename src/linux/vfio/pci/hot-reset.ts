/**
 * Reset of a whole bus (vfio_pci_core.c of Linux 6.1: vfio_pci_ioctl_get_pci_hot_reset_info, vfio_pci_ioctl_pci_hot_reset,
 * vfio_pci_dev_set_hot_reset). It hits every device of the bus, so that the user has to show a descriptor of each one's group, and
 * all of them must be vfio-pci's. Who has the device by its own node (6.6) shows nothing: all must be his iommufd's.
 */

import { hva, plus } from '../../../address.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import type { PciBus } from '../../pci/bus.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EBADF, EFAULT, EINVAL, ENODEV, ENOSPC, EPERM } from '../../uapi/errno.ts';
import {
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../uapi/vfio.ts';
import { getSized, putSized } from '../argsz.ts';
import type { IommufdBinding, VfioDevice } from '../device.ts';
import { groupFromFile, type VfioGroup } from '../group.ts';
import { numberIn } from '../iommufd.ts';

/** What vfio-pci knows of its devices. */
export interface DeviceSet {
  readonly bus: PciBus;
  /** The VFIO group of a device that vfio-pci has; undefined for a device that another driver has, or none. */
  groupOf(pci: PciDevice): VfioGroup | undefined;
  /** The same as VFIO has it. */
  deviceOf(pci: PciDevice): VfioDevice | undefined;
  /** Take the device's BARs out of every mapping. */
  zap(pci: PciDevice): void;
}

/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 0; -ENOSPC with the count if the devices do not fit; -ENODEV if nothing resets the bus. */
export function getHotResetInfo(pci: PciDevice, set: DeviceSet, argument: number): number {
  const { kernel } = pci;
  const { bus } = set;
  const binding = set.deviceOf(pci)?.iommufd;
  const header = getSized(kernel, vfio_pci_hot_reset_info, 'count', argument);
  if (typeof header === 'number') return header;
  const hit = bus.resetDomain(pci);
  if (hit === undefined) return noReset(pci);
  const owned = binding === undefined ? [] : hit.map((each) => ownedNumber(set, each, binding));
  const flags = binding === undefined ? 0 : VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
  const all =
    binding === undefined || owned.includes(VFIO_PCI_DEVID_NOT_OWNED) ? 0 : VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
  const reply = { ...header, flags: flags | all, count: hit.length };
  const each = vfio_pci_dependent_device.size;
  if (header.argsz < vfio_pci_hot_reset_info.size + hit.length * each) {
    const error = putSized(kernel, vfio_pci_hot_reset_info, 'count', argument, reply);
    return error < 0 ? error : kernel.refuse(ENOSPC, `${hit.length} devices do not fit into argsz ${header.argsz}`);
  }
  const devices = new Uint8Array(hit.length * each);
  for (const [i, { device, hardware, name }] of hit.entries()) {
    if (device.iommuGroup === undefined) return kernel.refuse(EPERM, `no IOMMU isolates ${name}`);
    const { bus: number, devfn } = hardware.slot;
    const entry = { group_id: owned[i] ?? device.iommuGroup, segment: 0, bus: number, devfn };
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
  const { count } = header;
  const binding = set.deviceOf(pci)?.iommufd;
  if (binding !== undefined && count !== 0) {
    return kernel.refuse(EINVAL, `${count} groups were given, and the device is not had by its group`);
  }
  const hit = set.bus.resetDomain(pci);
  if (hit === undefined) return noReset(pci);
  if (binding !== undefined) return resetOwned(pci, set, hit, binding);
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
  reset(set, hit);
  return 0;
}

function reset(set: DeviceSet, hit: readonly PciDevice[]): void {
  for (const device of hit) set.zap(device);
  set.bus.resetBus(hit);
}

/** By the device's own node: no descriptors, and every device is of the iommufd, or shares its group with one that is. */
function resetOwned({ kernel }: PciDevice, set: DeviceSet, hit: readonly PciDevice[], binding: IommufdBinding): number {
  const foreign = hit.find((device) => ownedNumber(set, device, binding) === VFIO_PCI_DEVID_NOT_OWNED);
  if (foreign !== undefined) return kernel.refuse(EINVAL, `${foreign.name} is on the bus too, and not of this iommufd`);
  reset(set, hit);
  return 0;
}

/** vfio_iommufd_get_dev_id, as the ioctls tell it. */
function ownedNumber(set: DeviceSet, pci: PciDevice, binding: IommufdBinding): number {
  const vfio = set.deviceOf(pci);
  const group = set.groupOf(pci);
  if (vfio === undefined || group === undefined) return VFIO_PCI_DEVID_NOT_OWNED;
  const number = numberIn(binding, vfio, group.iommuGroup);
  return number ?? VFIO_PCI_DEVID_NOT_OWNED;
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
