/** QEMU's trace events of ACPI's hot-plug registers (hw/acpi/trace-events of QEMU 7.2). */

import { event } from '../../../event.ts';

const read = <N extends string>(name: N, doc: string) => event(name, 'qemu', { val: 'u32' }, (e) => `${e.val}`, doc);
export const acpiPciUpRead = read('acpi_pci_up_read', 'The guest asks which slots are to be filled.');
export const acpiPciDownRead = read('acpi_pci_down_read', 'The guest asks which slots are to be emptied.');
export const acpiPciFeaturesRead = read('acpi_pci_features_read', 'The guest asks what this kind of hot-plug can do.');
export const acpiPciRmvRead = read('acpi_pci_rmv_read', 'The guest asks which slots can be emptied.');
export const acpiPciSelRead = read('acpi_pci_sel_read', 'The guest asks which bus is meant.');
export const acpiPciAcpiIndexRead = read('acpi_pci_acpi_index_read', "The guest asks for a device's number.");

const written = <N extends string>(name: N, doc: string) =>
  event(name, 'qemu', { addr: 'u64', data: 'u64' }, (e) => `0x${e.addr.toString(16)} <== ${e.data}`, doc);
export const acpiPciSelWrite = written('acpi_pci_sel_write', 'The guest says which bus it means.');
export const acpiPciEjWrite = written('acpi_pci_ej_write', 'The guest has ejected the lowest of some slots.');

const slot = <N extends string>(name: N, doc: string) =>
  event(name, 'qemu', { bsel: 's32', slot: 's32' }, (e) => `bsel: ${e.bsel} slot: ${e.slot}`, doc);
export const acpiPciEjectSlot = slot('acpi_pci_eject_slot', 'A slot is ejected.');
export const acpiPciUnplug = slot('acpi_pci_unplug', 'A device goes from its slot.');
export const acpiPciUnplugRequest = slot('acpi_pci_unplug_request', 'The guest is asked for a device.');
export const acpiPciAcpiIndexWrite = event(
  'acpi_pci_acpi_index_write',
  'qemu',
  { bsel: 'u32', slot: 'u32', aidx: 'u32' },
  (e) => `bsel: ${e.bsel} slot: ${e.slot} aidx: ${e.aidx}`,
  "The guest says which slot's number it wants.",
);
