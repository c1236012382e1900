/** Which device of the host `-device vfio-pci` names: its directory in sysfs, its IOMMU group, its bus (vfio_realize). */

import { strerror } from '../../../linux/uapi/errno.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';

export interface HostDevice {
  /** Last part of its path in sysfs: a PCI address, or an mdev's UUID. */
  readonly name: string;
  readonly sysfs: string;
}

const basename = (path: string) => path.slice(path.lastIndexOf('/') + 1);

/** stat(2) the directory. */
export function findHostDevice(system: System, sysfs: string): HostDevice {
  const stat = system.syscalls.stat(sysfs);
  if (typeof stat === 'number') {
    throw new ConfigurationError(`vfio ${sysfs}: no such host device: ${strerror(-stat)}`);
  }
  return { name: basename(sysfs), sysfs };
}

/** The number of its IOMMU group, by the link `iommu_group`. */
export function groupOf(system: System, { sysfs }: HostDevice): number {
  const link = system.syscalls.readlink(`${sysfs}/iommu_group`);
  if (typeof link === 'number') throw new ConfigurationError(`no iommu_group found: ${strerror(-link)}`);
  if (!/^\d+$/.test(basename(link))) throw new ConfigurationError(`failed to read ${link}`);
  return Number(basename(link));
}

/** Whether its bus is the mdev bus. */
export function isMdev(system: System, device: HostDevice): boolean {
  const link = system.syscalls.readlink(`${device.sysfs}/subsystem`);
  return typeof link === 'string' && link.endsWith('/bus/mdev');
}
