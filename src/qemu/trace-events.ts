/**
 * QEMU's trace events (the trace-events files of QEMU 7.2), declared once: name, fields, text as the log backend prints it.
 * Those of assigned devices are in hw/vfio/trace-events.ts.
 */

import { event } from '../event.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
/** glibc's %p. */
const pointer = (value: number): string => (value === 0 ? '(nil)' : hex(value));
const devfn = (e: { bus: number; slot: number; func: number }): string =>
  `${e.bus.toString(16).padStart(2, '0')}:${e.slot.toString(16).padStart(2, '0')}.${e.func.toString(16)}`;

// accel/kvm

export const kvmIoctl = event(
  'kvm_ioctl',
  'qemu',
  { type: 'u32', arg: 'address' },
  (e) => `type ${hex(e.type)}, arg ${pointer(e.arg)}`,
  'QEMU calls an ioctl of /dev/kvm.',
);
export const kvmVmIoctl = event(
  'kvm_vm_ioctl',
  'qemu',
  { type: 'u32', arg: 'address' },
  (e) => `type ${hex(e.type)}, arg ${pointer(e.arg)}`,
  "QEMU calls an ioctl of the VM's file.",
);
export const kvmVcpuIoctl = event(
  'kvm_vcpu_ioctl',
  'qemu',
  { cpu_index: 'u32', type: 'u32', arg: 'address' },
  (e) => `cpu_index ${e.cpu_index}, type ${hex(e.type)}, arg ${pointer(e.arg)}`,
  "QEMU calls an ioctl of a vCPU's file; KVM_RUN is 0xae80.",
);
export const kvmDeviceIoctl = event(
  'kvm_device_ioctl',
  'qemu',
  { fd: 'u32', type: 'u32', arg: 'address' },
  (e) => `dev fd ${e.fd}, type ${hex(e.type)}, arg ${pointer(e.arg)}`,
  'QEMU calls an ioctl of a device that KVM made, such as the one that learns of VFIO groups.',
);
export const kvmIrqchipCommitRoutes = event(
  'kvm_irqchip_commit_routes',
  'qemu',
  {},
  () => '',
  "QEMU gives KVM the whole table of interrupt routes; with KVM's interrupt controllers only.",
);
export const kvmIrqchipAddMsiRoute = event(
  'kvm_irqchip_add_msi_route',
  'qemu',
  { dev: 'string', vector: 'u16', virq: 's32' },
  (e) => `dev ${e.dev} vector ${e.vector} virq ${e.virq}`,
  "A message of a device got an interrupt number of KVM's.",
);
export const kvmIrqchipUpdateMsiRoute = event(
  'kvm_irqchip_update_msi_route',
  'qemu',
  { virq: 's32' },
  (e) => `Updating MSI route virq=${e.virq}`,
  "The guest changed the message behind an interrupt number of KVM's.",
);
export const kvmIrqchipReleaseVirq = event(
  'kvm_irqchip_release_virq',
  'qemu',
  { virq: 's32' },
  (e) => `virq ${e.virq}`,
  "An interrupt number of KVM's is free again.",
);
export const kvmX86AddMsiRoute = event(
  'kvm_x86_add_msi_route',
  'qemu',
  { virq: 's32' },
  (e) => `Adding route entry for virq ${e.virq}`,
  "QEMU keeps in mind whose message an interrupt number of KVM's is.",
);
export const kvmX86RemoveMsiRoute = event(
  'kvm_x86_remove_msi_route',
  'qemu',
  { virq: 's32' },
  (e) => `Removing route entry for virq ${e.virq}`,
  "QEMU forgets whose message an interrupt number of KVM's was.",
);
export const kvmInitVcpu = event(
  'kvm_init_vcpu',
  'qemu',
  { index: 'u32', id: 'u32' },
  (e) => `index: ${e.index} id: ${e.id}`,
  'A vCPU was created in KVM.',
);
export const kvmRunExit = event(
  'kvm_run_exit',
  'qemu',
  { cpu_index: 'u32', reason: 'u32' },
  (e) => `cpu_index ${e.cpu_index}, reason ${e.reason}`,
  'KVM_RUN returned with an exit for QEMU.',
);
export const kvmSetUserMemory = event(
  'kvm_set_user_memory',
  'qemu',
  { slot: 'u32', flags: 'u32', gpa: 'address', size: 'address', ua: 'address', ret: 's32' },
  (e) => `Slot#${e.slot} flags=${hex(e.flags)} gpa=${hex(e.gpa)} size=${hex(e.size)} ua=${hex(e.ua)} ret=${e.ret}`,
  'QEMU gave KVM a memory slot, or took one away (size 0).',
);

const ioeventfdFields = {
  fd: 'u32',
  addr: 'address',
  val: 'u32',
  assign: 'bool',
  size: 'u8',
  match: 'bool',
} as const;
interface IoeventfdCall {
  readonly fd: number;
  readonly addr: number;
  readonly val: number;
  readonly assign: boolean;
  readonly size: number;
  readonly match: boolean;
}
const ioeventfd = (e: IoeventfdCall) =>
  `fd: ${e.fd} @${hex(e.addr)} val=${hex(e.val)} assign: ${Number(e.assign)} size: ${e.size} match: ${Number(e.match)}`;

export const kvmSetIoeventfdMmio = event(
  'kvm_set_ioeventfd_mmio',
  'qemu',
  ioeventfdFields,
  ioeventfd,
  'A write to memory is to signal an eventfd, or no longer.',
);
export const kvmSetIoeventfdPio = event(
  'kvm_set_ioeventfd_pio',
  'qemu',
  ioeventfdFields,
  ioeventfd,
  'A write to a port is to signal an eventfd, or no longer.',
);

// hw/i386

export const x86GsiInterrupt = event(
  'x86_gsi_interrupt',
  'qemu',
  { irqn: 's32', level: 's32' },
  (e) => `GSI interrupt #${e.irqn} level:${e.level}`,
  'A device of the board drives its interrupt line.',
);

// hw/char

const portFields = { addr: 'u16', value: 'u8' } as const;
const byteHex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`;
export const serialRead = event(
  'serial_read',
  'qemu',
  portFields,
  (e) => `read addr ${byteHex(e.addr)} val ${byteHex(e.value)}`,
  'A register of COM1 was read.',
);
export const serialWrite = event(
  'serial_write',
  'qemu',
  portFields,
  (e) => `write addr ${byteHex(e.addr)} val ${byteHex(e.value)}`,
  'A register of COM1 is written.',
);
export const serialUpdateParameters = event(
  'serial_update_parameters',
  'qemu',
  { baudrate: 'u64', parity: 'string', data_bits: 's32', stop_bits: 's32' },
  (e) => `baudrate=${e.baudrate} parity='${e.parity}' data=${e.data_bits} stop=${e.stop_bits}`,
  "COM1's line may have another speed or frame.",
);

// softmmu

const accessFields = { cpu: 's32', mr: 'u32', addr: 'address', value: 'u64', size: 'u8', name: 'string' } as const;
interface Access {
  readonly cpu: number;
  readonly mr: number;
  readonly addr: number;
  readonly value: bigint;
  readonly size: number;
  readonly name: string;
}
const access = (e: Access) =>
  `cpu ${e.cpu} mr ${hex(e.mr)} addr ${hex(e.addr)} value ${hex(e.value)} size ${e.size} name '${e.name}'`;

export const memoryRegionOpsRead = event(
  'memory_region_ops_read',
  'qemu',
  accessFields,
  access,
  'A memory region was read by its callback.',
);
export const memoryRegionOpsWrite = event(
  'memory_region_ops_write',
  'qemu',
  accessFields,
  access,
  'A memory region was written by its callback.',
);

const pieceFields = { cpu: 's32', mr: 'u32', addr: 'address', value: 'u64', size: 'u8' } as const;
const piece = (e: Omit<Access, 'name'>) =>
  `cpu ${e.cpu} mr ${hex(e.mr)} addr ${hex(e.addr)} value ${hex(e.value)} size ${e.size}`;
export const memoryRegionRamDeviceRead = event(
  'memory_region_ram_device_read',
  'qemu',
  pieceFields,
  piece,
  "QEMU itself read a device's memory that is mapped into it.",
);
export const memoryRegionRamDeviceWrite = event(
  'memory_region_ram_device_write',
  'qemu',
  pieceFields,
  piece,
  "QEMU itself wrote a device's memory that is mapped into it.",
);

// hw/pci

const configFields = { dev: 'string', bus: 'u8', slot: 'u8', func: 'u8', offset: 'u16', value: 'u32' } as const;
export const pciCfgRead = event(
  'pci_cfg_read',
  'qemu',
  configFields,
  (e) => `${e.dev} ${devfn(e)} @${hex(e.offset)} -> ${hex(e.value)}`,
  'The guest read configuration space.',
);
export const pciCfgWrite = event(
  'pci_cfg_write',
  'qemu',
  configFields,
  (e) => `${e.dev} ${devfn(e)} @${hex(e.offset)} <- ${hex(e.value)}`,
  'The guest wrote configuration space.',
);
export const msixWriteConfig = event(
  'msix_write_config',
  'qemu',
  { name: 'string', enabled: 'bool', masked: 'bool' },
  (e) => `dev ${e.name} enabled ${Number(e.enabled)} masked ${Number(e.masked)}`,
  "The guest wrote the control word of a device's MSI-X.",
);
const mappingFields = {
  dev: 'string',
  bus: 'u8',
  slot: 'u8',
  func: 'u8',
  bar: 'u8',
  addr: 'address',
  size: 'address',
} as const;
interface Mapping {
  readonly dev: string;
  readonly bus: number;
  readonly slot: number;
  readonly func: number;
  readonly bar: number;
  readonly addr: number;
  readonly size: number;
}
const mapping = (e: Mapping) => `${e.dev} ${devfn(e)} ${e.bar},${hex(e.addr)}+${hex(e.size)}`;
export const pciUpdateMappingsDel = event(
  'pci_update_mappings_del',
  'qemu',
  mappingFields,
  mapping,
  'A BAR left its address.',
);
export const pciUpdateMappingsAdd = event(
  'pci_update_mappings_add',
  'qemu',
  mappingFields,
  mapping,
  'A BAR appeared at an address.',
);
