/** Trace events of the mediated drivers: what arrives at their registers, piece by piece. */

import { event } from '../../event.ts';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../uapi/vfio.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Words for the region a piece goes to. */
const place = (region: number, offset: number): string =>
  region === VFIO_PCI_CONFIG_REGION_INDEX ? `PCI config space ${hex(offset)}` : `BAR${region}+${hex(offset)}`;

/** One aligned piece of a pread or pwrite, after the driver cut it. */
export const mdevAccess = event(
  'mdev_access',
  'driver',
  { device: 'string', write: 'bool', region: 'u8', offset: 'address', size: 'u8', value: 'u32' },
  (e) => `(${e.device}) ${e.write ? 'write' : 'read'} ${place(e.region, e.offset)} size ${e.size} val ${hex(e.value)}`,
  'A driver serves one aligned piece of an access to its config space or a BAR.',
);

/** The driver reached into guest memory. */
export const vmbufReadGuest = event(
  'vmbuf_read_guest',
  'driver',
  { device: 'string', gpa: 'u64', length: 'u32', result: 's32' },
  (e) => `(${e.device}) kvm_read_guest(gpa 0x${e.gpa.toString(16)}, len ${e.length}) = ${e.result}`,
  'The driver vmbuf read the buffer whose address the guest gave it.',
);
