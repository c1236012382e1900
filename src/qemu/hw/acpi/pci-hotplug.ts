/**
 * ACPI's registers for PCI hot-plug, at port 0xae00 (docs/specs/acpi_pci_hotplug.rst, hw/acpi/pcihp.c): the guest reads which slots
 * of the root bus are to be emptied, and ejects them by writing their bits.
 *
 * Fidelity: of the PIIX4's power management there is nothing but this block, so no SCI tells the guest to look, and nothing can be
 * plugged in. Slots behind bridges are not hot-pluggable.
 */

import type { EventStream } from '../../../event.ts';
import { PCI_SLOT } from '../../../linux/uapi/pci.ts';
import { type MemoryRegion, type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { PciBus } from '../pci/pci-bus.ts';
import type { PciDevice } from '../pci/pci-device.ts';
import {
  acpiPciAcpiIndexRead,
  acpiPciAcpiIndexWrite,
  acpiPciDownRead,
  acpiPciEjectSlot,
  acpiPciEjWrite,
  acpiPciFeaturesRead,
  acpiPciRmvRead,
  acpiPciSelRead,
  acpiPciSelWrite,
  acpiPciUnplug,
  acpiPciUnplugRequest,
  acpiPciUpRead,
} from './trace-events.ts';

const BASE = 0xae00;
const SIZE = 0x18;
/** Slots to empty, slots to eject (write), slots that can be, and the bus that is meant; at 0 slots to fill, of which there are none. */
const DOWN = 0x04;
const EJECT = 0x08;
const REMOVABLE = 0x0c;
const SELECT = 0x10;
/** Which device's number in the firmware's tables is to be read: none has one. */
const INDEX = 0x14;
const ROOT_BUS = 0;
/** ACPI_PCIHP_MAX_HOTPLUG_BUS: behind a number from here on nothing answers, the register with that number neither. */
const BUSES = 256;
const ALL_SLOTS = 0xffff_ffff;

const READ_EVENTS: Readonly<Record<number, typeof acpiPciUpRead>> = {
  0: acpiPciUpRead,
  [DOWN]: acpiPciDownRead,
  [EJECT]: acpiPciFeaturesRead,
  [REMOVABLE]: acpiPciRmvRead,
  [SELECT]: acpiPciSelRead,
  [INDEX]: acpiPciAcpiIndexRead,
};

/** ctz32: the number of the lowest bit; 32 without any. */
const lowest = (bits: number): number => (bits === 0 ? 32 : 31 - Math.clz32(bits & -bits));

export class AcpiPciHotplug implements MemoryRegionOps {
  readonly valid = sizes(4, 4);
  readonly impl = sizes(4, 4);
  readonly #bus: PciBus;
  readonly #stream: EventStream;
  readonly #registers: MemoryRegion;
  #down = 0;
  #select = ROOT_BUS;

  constructor(topology: MemoryTopology, stream: EventStream, bus: PciBus) {
    this.#stream = stream;
    this.#bus = bus;
    this.#registers = topology.io('acpi-pci-hotplug', SIZE, this);
  }

  /** acpi_pcihp_init: the guest sees the registers. */
  map(): void {
    this.#bus.io.addSubregion(BASE, this.#registers);
  }

  /** acpi_pcihp_device_unplug_request_cb: the guest is asked for the device. Returns why it cannot be, or undefined. */
  requestUnplug(device: PciDevice): string | undefined {
    const bus = device.bus as PciBus;
    const slot = PCI_SLOT(device.devfn);
    // As in QEMU, which hands both over the wrong way round.
    if (bus === this.#bus && acpiPciUnplugRequest.on)
      acpiPciUnplugRequest(this.#stream, { bsel: slot, slot: ROOT_BUS });
    if (bus !== this.#bus) return `Bus '${bus.name}' does not support hotplugging`;
    this.#down |= 1 << slot;
    return undefined;
  }

  read(offset: number): number {
    if (this.#select >= BUSES) return 0;
    const value = this.#register(offset);
    const event = READ_EVENTS[offset];
    if (event?.on) event(this.#stream, { val: value });
    return value;
  }

  #register(offset: number): number {
    switch (offset) {
      case SELECT:
        return this.#select;
      case DOWN:
        return this.#select === ROOT_BUS ? this.#down >>> 0 : 0;
      case REMOVABLE:
        // Of a bus that is not there every slot is (acpi_pcihp_update_hotplug_bus).
        return this.#select === ROOT_BUS ? this.#removable() : ALL_SLOTS;
      default:
        return 0;
    }
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === SELECT) {
      this.#select = value;
      if (acpiPciSelWrite.on) acpiPciSelWrite(this.#stream, { addr: BigInt(offset), data: BigInt(value) });
    } else if (offset === EJECT && this.#select < BUSES) {
      this.#eject(value);
      if (acpiPciEjWrite.on) acpiPciEjWrite(this.#stream, { addr: BigInt(offset), data: BigInt(value) });
    } else if (offset === INDEX && this.#select === ROOT_BUS && value !== 0) {
      const fields = { bsel: this.#select, slot: lowest(value), aidx: 0 };
      if (acpiPciAcpiIndexWrite.on) acpiPciAcpiIndexWrite(this.#stream, fields);
    }
  }

  #removable(): number {
    const fixed = this.#bus.devices.filter(({ hotpluggable }) => !hotpluggable);
    return fixed.reduce((mask, { devfn }) => mask & ~(1 << PCI_SLOT(devfn)), -1) >>> 0;
  }

  /** acpi_pcihp_eject_slot: the lowest slot of the mask. */
  #eject(slots: number): void {
    const slot = lowest(slots);
    if (acpiPciEjectSlot.on) acpiPciEjectSlot(this.#stream, { bsel: this.#select, slot });
    if (slots === 0 || this.#select !== ROOT_BUS) return;
    this.#down &= ~(1 << slot);
    for (const device of this.#bus.devices) {
      if (PCI_SLOT(device.devfn) !== slot || !device.hotpluggable) continue;
      if (acpiPciUnplug.on) acpiPciUnplug(this.#stream, { bsel: slot, slot: ROOT_BUS });
      device.unplug();
      this.#bus.detach(device);
    }
  }
}
