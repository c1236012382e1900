/**
 * QEMU's trace events of assigned devices (hw/vfio/trace-events of QEMU 7.2). Texts of most of vfio-pci's begin with a blank:
 * `vfio_realize  (NAME) group 0`. Those of platform devices are in platform-trace-events.ts.
 */

import { event } from '../../../event.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

// hw/vfio/common.c

export const vfioRegionWrite = event(
  'vfio_region_write',
  'qemu',
  { name: 'string', index: 'u8', addr: 'address', data: 'u64', size: 'u8' },
  (e) => ` (${e.name}:region${e.index}+${hex(e.addr)}, ${hex(e.data)}, ${e.size})`,
  'A BAR of an assigned device was written by pwrite.',
);
export const vfioRegionRead = event(
  'vfio_region_read',
  'qemu',
  { name: 'string', index: 'u8', addr: 'address', size: 'u8', data: 'u64' },
  (e) => ` (${e.name}:region${e.index}+${hex(e.addr)}, ${e.size}) = ${hex(e.data)}`,
  'A BAR of an assigned device was read by pread.',
);
const span = { start: 'address', end: 'address' } as const;
export const vfioListenerRegionAddSkip = event(
  'vfio_listener_region_add_skip',
  'qemu',
  span,
  (e) => `SKIPPING region_add ${hex(e.start)} - ${hex(e.end)}`,
  'A range that is no RAM is not mapped for DMA.',
);
export const vfioListenerRegionDelSkip = event(
  'vfio_listener_region_del_skip',
  'qemu',
  span,
  (e) => `SKIPPING region_del ${hex(e.start)} - ${hex(e.end)}`,
  'A range that is no RAM went away.',
);
export const vfioListenerRegionAddRam = event(
  'vfio_listener_region_add_ram',
  'qemu',
  { start: 'address', end: 'address', vaddr: 'address' },
  (e) => `region_add [ram] ${hex(e.start)} - ${hex(e.end)} [${hex(e.vaddr)}]`,
  'Guest RAM is mapped for DMA.',
);
export const vfioListenerRegionDel = event(
  'vfio_listener_region_del',
  'qemu',
  span,
  (e) => `region_del ${hex(e.start)} - ${hex(e.end)}`,
  'Guest RAM is unmapped from DMA.',
);
export const vfioGetDevice = event(
  'vfio_get_device',
  'qemu',
  { name: 'string', flags: 'u32', regions: 'u32', irqs: 'u32' },
  (e) => `Device ${e.name} flags: ${e.flags}, regions: ${e.regions}, irqs: ${e.irqs}`,
  'A VFIO device fd was obtained.',
);
const descriptor = { fd: 's32' } as const;
export const vfioPutBaseDevice = event(
  'vfio_put_base_device',
  'qemu',
  descriptor,
  (e) => `close vdev->fd=${e.fd}`,
  'An assigned device was given back.',
);
export const vfioPutGroup = event(
  'vfio_put_group',
  'qemu',
  descriptor,
  (e) => `close group->fd=${e.fd}`,
  'A group was given back with its last device.',
);
export const vfioDisconnectContainer = event(
  'vfio_disconnect_container',
  'qemu',
  descriptor,
  (e) => `close container->fd=${e.fd}`,
  'A container was given back with its last group.',
);
export const vfioRegionSetup = event(
  'vfio_region_setup',
  'qemu',
  { dev: 'string', index: 'u8', name: 'string', flags: 'u32', offset: 'address', size: 'address' },
  (e) =>
    `Device ${e.dev}, region ${e.index} "${e.name}", flags: ${hex(e.flags)}, offset: ${hex(e.offset)}, size: ${hex(e.size)}`,
  'A region of an assigned device was learned.',
);
export const vfioRegionSparseMmapHeader = event(
  'vfio_region_sparse_mmap_header',
  'qemu',
  { name: 'string', index: 'u8', entries: 'u32' },
  (e) => `Device ${e.name} region ${e.index}: ${e.entries} sparse mmap entries`,
  'Only parts of a region of an assigned device can be mapped.',
);
export const vfioRegionSparseMmapEntry = event(
  'vfio_region_sparse_mmap_entry',
  'qemu',
  { entry: 'u32', start: 'address', end: 'address' },
  (e) => `sparse entry ${e.entry} [${hex(e.start)} - ${hex(e.end)}]`,
  'One part that can be mapped.',
);
export const vfioRegionMmap = event(
  'vfio_region_mmap',
  'qemu',
  { name: 'string', offset: 'address', end: 'address' },
  (e) => `Region ${e.name} [${hex(e.offset)} - ${hex(e.end)}]`,
  'Part of a region was mapped: the guest reaches the device without an exit.',
);
export const vfioRegionMmapFault = event(
  'vfio_region_mmap_fault',
  'qemu',
  { name: 'string', index: 'u8', offset: 'address', end: 'address', fault: 's32' },
  (e) => `Region ${e.name} mmaps[${e.index}], [${hex(e.offset)} - ${hex(e.end)}], fault: ${e.fault}`,
  'Part of a region could not be mapped: what of the region was mapped before it is unmapped.',
);
export const vfioRegionUnmap = event(
  'vfio_region_unmap',
  'qemu',
  { name: 'string', offset: 'address', end: 'address' },
  (e) => `Region ${e.name} unmap [${hex(e.offset)} - ${hex(e.end)}]`,
  'Part of a region was unmapped, because another could not be mapped.',
);
const regionOf = { dev: 'string', index: 'u8' } as const;
const regionText = (e: { readonly dev: string; readonly index: number }) => `Device ${e.dev}, region ${e.index}`;
export const vfioRegionExit = event(
  'vfio_region_exit',
  'qemu',
  regionOf,
  regionText,
  'The mapped parts of a region left the memory map: its device goes.',
);
export const vfioRegionFinalize = event(
  'vfio_region_finalize',
  'qemu',
  regionOf,
  regionText,
  'The mapped parts of a region were unmapped: its device is gone.',
);
export const vfioRegionMmapsSetEnabled = event(
  'vfio_region_mmaps_set_enabled',
  'qemu',
  { name: 'string', enabled: 'bool' },
  (e) => `Region ${e.name} mmaps enabled: ${e.enabled ? 1 : 0}`,
  'The mapped parts of a region were shown to the guest, or taken away so that its accesses are trapped.',
);

// hw/vfio/pci.c

const named = { name: 'string' } as const;
const justName = (e: { readonly name: string }) => ` (${e.name})`;

export const vfioPciReadConfig = event(
  'vfio_pci_read_config',
  'qemu',
  { name: 'string', addr: 'u16', len: 'u8', value: 'u32' },
  (e) => ` (${e.name}, @${hex(e.addr)}, len=${hex(e.len)}) ${hex(e.value)}`,
  'Configuration space of an assigned device was read.',
);
export const vfioPciWriteConfig = event(
  'vfio_pci_write_config',
  'qemu',
  { name: 'string', addr: 'u16', value: 'u32', len: 'u8' },
  (e) => ` (${e.name}, @${hex(e.addr)}, ${hex(e.value)}, len=${hex(e.len)})`,
  'Configuration space of an assigned device was written.',
);
export const vfioRealize = event(
  'vfio_realize',
  'qemu',
  { name: 'string', group: 'u32' },
  (e) => ` (${e.name}) group ${e.group}`,
  'An assigned device is being set up.',
);
export const vfioMdev = event(
  'vfio_mdev',
  'qemu',
  { name: 'string', is_mdev: 'bool' },
  (e) => ` (${e.name}) is_mdev ${e.is_mdev ? 1 : 0}`,
  'Whether an assigned device is a mediated one.',
);
export const vfioPopulateDeviceConfig = event(
  'vfio_populate_device_config',
  'qemu',
  { name: 'string', size: 'address', offset: 'address', flags: 'u32' },
  (e) => `Device ${e.name} config:\n  size: ${hex(e.size)}, offset: ${hex(e.offset)}, flags: ${hex(e.flags)}`,
  'The configuration region of an assigned device was learned.',
);
export const vfioPopulateDeviceGetIrqInfoFailure = event(
  'vfio_populate_device_get_irq_info_failure',
  'qemu',
  { message: 'string' },
  (e) => `VFIO_DEVICE_GET_IRQ_INFO failure: ${e.message}`,
  'The device has no error interrupt.',
);
export const vfioIntxEnable = event('vfio_intx_enable', 'qemu', named, justName, 'INTx was wired to an eventfd.');
export const vfioIntxDisable = event('vfio_intx_disable', 'qemu', named, justName, 'INTx was unwired.');
export const vfioIntxInterrupt = event(
  'vfio_intx_interrupt',
  'qemu',
  { name: 'string', pin: 'string' },
  (e) => ` (${e.name}) Pin ${e.pin}`,
  'The INTx eventfd of an assigned device was signalled.',
);
export const vfioIntxEoi = event(
  'vfio_intx_eoi',
  'qemu',
  named,
  (e) => ` (${e.name}) EOI`,
  'A BAR access counts as the end of a pending INTx.',
);
export const vfioIntxEnableKvm = event(
  'vfio_intx_enable_kvm',
  'qemu',
  named,
  (e) => ` (${e.name}) KVM INTx accel enabled`,
  'INTx goes from the host kernel to KVM without QEMU.',
);
export const vfioIntxDisableKvm = event(
  'vfio_intx_disable_kvm',
  'qemu',
  named,
  (e) => ` (${e.name}) KVM INTx accel disabled`,
  'INTx goes through QEMU.',
);
export const vfioIntxUpdate = event(
  'vfio_intx_update',
  'qemu',
  { name: 'string', from: 's32', to: 's32' },
  (e) => ` (${e.name}) IRQ moved ${e.from} -> ${e.to}`,
  'The board leads the pin of an assigned device to another interrupt line.',
);
export const vfioMsiSetup = event(
  'vfio_msi_setup',
  'qemu',
  { name: 'string', pos: 'u16' },
  (e) => `${e.name} PCI MSI CAP @${hex(e.pos)}`,
  'The MSI capability of an assigned device is given to the guest.',
);
export const vfioMsixEarlySetup = event(
  'vfio_msix_early_setup',
  'qemu',
  { name: 'string', pos: 'u16', bar: 'u8', offset: 'address', entries: 'u32' },
  (e) => `${e.name} PCI MSI-X CAP @${hex(e.pos)}, BAR ${e.bar}, offset ${hex(e.offset)}, entries ${e.entries}`,
  'The MSI-X capability of an assigned device was found.',
);
export const vfioMsixFixup = event(
  'vfio_msix_fixup',
  'qemu',
  { name: 'string', bar: 'u8', start: 'address', end: 'address' },
  (e) => ` (${e.name}) MSI-X region ${e.bar} mmap fixup [${hex(e.start)} - ${hex(e.end)}]`,
  'Of the BAR of the MSI-X table only this part is mapped.',
);
const identity = { name: 'string', value: 'u16' } as const;
const identityText = (e: { readonly name: string; readonly value: number }) =>
  `${e.name} 0x${e.value.toString(16).padStart(4, '0')}`;
export const vfioPciEmulatedVendorId = event(
  'vfio_pci_emulated_vendor_id',
  'qemu',
  identity,
  identityText,
  'The guest sees another vendor id than the device has.',
);
export const vfioPciEmulatedDeviceId = event(
  'vfio_pci_emulated_device_id',
  'qemu',
  identity,
  identityText,
  'The guest sees another device id.',
);
export const vfioPciEmulatedSubVendorId = event(
  'vfio_pci_emulated_sub_vendor_id',
  'qemu',
  identity,
  identityText,
  'The guest sees another subsystem vendor id.',
);
export const vfioPciEmulatedSubDeviceId = event(
  'vfio_pci_emulated_sub_device_id',
  'qemu',
  identity,
  identityText,
  'The guest sees another subsystem id.',
);
export const vfioCheckPcieFlr = event(
  'vfio_check_pcie_flr',
  'qemu',
  named,
  (e) => `${e.name} Supports FLR via PCIe cap`,
  'An assigned device can be reset by its PCI Express capability.',
);
export const vfioCheckPmReset = event(
  'vfio_check_pm_reset',
  'qemu',
  named,
  (e) => `${e.name} Supports PM reset`,
  'An assigned device is reset on its way from D3 to D0.',
);
export const vfioCheckAfFlr = event(
  'vfio_check_af_flr',
  'qemu',
  named,
  (e) => `${e.name} Supports FLR via AF cap`,
  'An assigned device can be reset by its Advanced Features capability.',
);
export const vfioMsiEnable = event(
  'vfio_msi_enable',
  'qemu',
  { name: 'string', count: 'u32' },
  (e) => ` (${e.name}) Enabled ${e.count} MSI vectors`,
  'The guest enabled MSI of an assigned device.',
);
export const vfioMsiDisable = event('vfio_msi_disable', 'qemu', named, justName, 'MSI of an assigned device is off.');
export const vfioMsixEnable = event(
  'vfio_msix_enable',
  'qemu',
  named,
  justName,
  'The guest enabled MSI-X of an assigned device.',
);
export const vfioMsixDisable = event(
  'vfio_msix_disable',
  'qemu',
  named,
  justName,
  'MSI-X of an assigned device is off.',
);
const vectorOf = { name: 'string', vector: 'u16' } as const;
export const vfioMsixVectorDoUse = event(
  'vfio_msix_vector_do_use',
  'qemu',
  vectorOf,
  (e) => ` (${e.name}) vector ${e.vector} used`,
  'The guest unmasked a vector: it is wired to KVM.',
);
export const vfioMsixVectorRelease = event(
  'vfio_msix_vector_release',
  'qemu',
  vectorOf,
  (e) => ` (${e.name}) vector ${e.vector} released`,
  'The guest masked a vector: its messages go to QEMU, which keeps them.',
);
export const vfioMsixPbaEnable = event(
  'vfio_msix_pba_enable',
  'qemu',
  named,
  justName,
  'A masked vector waits: the guest reads the pending bits from QEMU.',
);
export const vfioMsixPbaDisable = event(
  'vfio_msix_pba_disable',
  'qemu',
  named,
  justName,
  'No vector waits any more: the pending bits are the device’s own.',
);
export const vfioMsiInterrupt = event(
  'vfio_msi_interrupt',
  'qemu',
  { ...vectorOf, addr: 'address', data: 'u32' },
  (e) => ` (${e.name}) vector ${e.vector} ${hex(e.addr)}/${hex(e.data)}`,
  'A message of an assigned device came to QEMU.',
);
export const vfioPciReset = event('vfio_pci_reset', 'qemu', named, justName, 'An assigned device is reset.');
export const vfioPciResetFlr = event(
  'vfio_pci_reset_flr',
  'qemu',
  named,
  (e) => `${e.name} FLR/VFIO_DEVICE_RESET`,
  'The reset is done by VFIO_DEVICE_RESET.',
);
export const vfioPciResetPm = event(
  'vfio_pci_reset_pm',
  'qemu',
  named,
  (e) => `${e.name} PCI PM Reset`,
  'The reset is done by VFIO_DEVICE_RESET, which puts the device into D3 and back.',
);
export const vfioPciHotReset = event(
  'vfio_pci_hot_reset',
  'qemu',
  { name: 'string', type: 'string' },
  (e) => ` (${e.name}) ${e.type}`,
  'A reset of the whole bus of an assigned device is tried.',
);
