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

/** vgpu registered its BAR with KVM, or took it back. */
export const vgpuTrapMmio = event(
  'vgpu_trap_mmio',
  'driver',
  { device: 'string', on: 'bool', address: 'address', result: 's32' },
  (e) => `(${e.device}) ${e.on ? `BAR0 at ${hex(e.address)}` : 'off'} = ${e.result}`,
  "The driver vgpu put an in-kernel device for its BAR 0 on the VM's MMIO bus, or took it off.",
);

/** vgpu reached into guest memory. */
export const vgpuGuestAccess = event(
  'vgpu_guest_access',
  'driver',
  {
    device: 'string',
    write: 'bool',
    gpa: 'address',
    length: 'u32',
    task: 'string',
    call: 'string',
    result: 's32',
  },
  (e) =>
    `(${e.device}) ${e.write ? 'write' : 'read'}_gpa(${hex(e.gpa)}, len ${e.length}) in ${e.task} by ${e.call} = ${e.result}`,
  'The driver vgpu read or wrote guest memory: in which thread, and which way.',
);

/** The guest wrote to vgpu's table. */
export const vgpuTrackWrite = event(
  'vgpu_track_write',
  'driver',
  { device: 'string', gpa: 'address', length: 'u32', entry: 'u64' },
  (e) => `(${e.device}) ${e.length} bytes at ${hex(e.gpa)}: entry 0x${e.entry.toString(16)}`,
  'KVM told vgpu of a guest write to the page that it tracks.',
);
