/**
 * pci-bridge: a PCI-to-PCI bridge 1b36:0001 (hw/pci/pci_bridge.c, hw/pci-bridge/pci_bridge_dev.c).
 *
 * Its windows are aliases of the secondary bus's spaces in the primary's: an I/O window counts in steps of 4 KiB, a memory
 * window in steps of 1 MiB. Fidelity: as `shpc=off,msi=off`: no hot-plug controller, no MSI.
 */

import {
  PCI_BRIDGE_CONTROL,
  PCI_CLASS_BRIDGE_PCI,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_IO_BASE,
  PCI_IO_LIMIT,
  PCI_IO_RANGE_MASK,
  PCI_MEMORY_BASE,
  PCI_MEMORY_LIMIT,
  PCI_MEMORY_RANGE_MASK,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
  PCI_PREF_MEMORY_LIMIT,
  PCI_PREF_RANGE_TYPE_64,
  PCI_PRIMARY_BUS,
  PCI_SEC_STATUS,
  PCI_STATUS,
  PCI_STATUS_66MHZ,
  PCI_STATUS_FAST_BACK,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import type { MemoryRegion } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import { deviceModel } from '../device-model.ts';
import type { Machine } from '../machine.ts';
import { boolProperty, pciAddressProperty, u8Property } from '../property.ts';
import { PciBus } from './pci-bus.ts';
import { PciDevice } from './pci-device.ts';

/** Everything but bits 10 (write 1 to clear) and reserved ones. */
const BRIDGE_CONTROL_WRITABLE = 0x0bff;
const BRIDGE_CTL_DISCARD_STATUS = 0x400;
const BRIDGE_CTL_BUS_RESET = 0x40;
const PCI_CAP_ID_SLOTID = 0x04;
const SLOTID_OFFSET = 0x40;
const SLOTID_SIZE = 4;
/** Expansion slot register: first in chassis. */
const SLOTID_ESR_FIRST = 0x20;

/** What the bridge forwards: [base, limit], nothing if limit < base. */
interface Window {
  readonly base: number;
  readonly limit: number;
}

export class PciBridge extends PciDevice {
  readonly secondary: PciBus;
  readonly #topology: MemoryTopology;
  readonly #parent: PciBus;
  #windows: { readonly region: MemoryRegion; readonly parent: MemoryRegion }[] = [];

  constructor(machine: Machine, parent: PciBus, devfn: number, id: string | undefined, chassis: number) {
    super(machine.system.stream, parent, devfn, 'pci-bridge', id);
    this.#topology = machine.topology;
    this.#parent = parent;
    this.identify({ vendor: 0x1b36, device: 0x0001, class: PCI_CLASS_BRIDGE_PCI });
    this.config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
    this.view.setUint16(PCI_STATUS, PCI_STATUS_66MHZ | PCI_STATUS_FAST_BACK, true);
    this.view.setUint16(PCI_SEC_STATUS, PCI_STATUS_66MHZ | PCI_STATUS_FAST_BACK, true);
    this.#initBridgeMasks();
    this.#addSlotId(chassis);
    const spaces = {
      memory: this.#topology.container('pci_bridge_pci', 2 ** 64),
      io: this.#topology.container('pci_bridge_io', 2 ** 32),
      dma: parent.dma,
    };
    this.secondary = new PciBus(id ?? machine.autoBusName('pci'), spaces, { bridge: this, parent });
    this.#openWindows();
  }

  /** pci_init_mask_bridge. */
  #initBridgeMasks(): void {
    const writable = new DataView(this.wmask.buffer);
    this.wmask.fill(0xff, PCI_PRIMARY_BUS, PCI_PRIMARY_BUS + 4);
    this.wmask[PCI_IO_BASE] = PCI_IO_RANGE_MASK;
    this.wmask[PCI_IO_LIMIT] = PCI_IO_RANGE_MASK;
    for (const at of [PCI_MEMORY_BASE, PCI_MEMORY_LIMIT, PCI_PREF_MEMORY_BASE, PCI_PREF_MEMORY_LIMIT]) {
      writable.setUint16(at, PCI_MEMORY_RANGE_MASK, true);
    }
    this.wmask.fill(0xff, PCI_PREF_BASE_UPPER32, PCI_PREF_BASE_UPPER32 + 8);
    this.config[PCI_PREF_MEMORY_BASE] = PCI_PREF_RANGE_TYPE_64;
    this.config[PCI_PREF_MEMORY_LIMIT] = PCI_PREF_RANGE_TYPE_64;
    writable.setUint16(PCI_BRIDGE_CONTROL, BRIDGE_CONTROL_WRITABLE, true);
    new DataView(this.w1cmask.buffer).setUint16(PCI_BRIDGE_CONTROL, BRIDGE_CTL_DISCARD_STATUS, true);
  }

  /** slotid_cap_init: which chassis the slots behind the bridge are in; software may write the number. */
  #addSlotId(chassis: number): void {
    this.addCapability(PCI_CAP_ID_SLOTID, SLOTID_OFFSET, SLOTID_SIZE);
    this.config[SLOTID_OFFSET + 2] = SLOTID_ESR_FIRST;
    this.config[SLOTID_OFFSET + 3] = chassis;
    this.wmask[SLOTID_OFFSET + 3] = 0xff;
  }

  /** pci_bridge_write_config. */
  override writeConfig(address: number, value: number, length: number): void {
    const before = this.view.getUint16(PCI_BRIDGE_CONTROL, true);
    super.writeConfig(address, value, length);
    const touches = (at: number, size: number) => address < at + size && at < address + length;
    const moved =
      touches(PCI_COMMAND, 2) ||
      touches(PCI_IO_BASE, 2) ||
      touches(PCI_MEMORY_BASE, 20) ||
      touches(PCI_BRIDGE_CONTROL, 2);
    if (moved) this.#updateWindows();
    const after = this.view.getUint16(PCI_BRIDGE_CONTROL, true);
    if ((~before & after & BRIDGE_CTL_BUS_RESET) !== 0) this.secondary.reset();
  }

  /** What is behind it would have to go as well. */
  override get hotpluggable(): boolean {
    return false;
  }

  /** pci_bridge_reset: bus numbers 0, all windows as after power-on. */
  override reset(): void {
    super.reset();
    for (let at = PCI_PRIMARY_BUS; at < PCI_BRIDGE_CONTROL + 2; at++) {
      // The secondary status keeps what it is; everything else the guest could write goes back to 0.
      if (at < PCI_SEC_STATUS || at >= PCI_MEMORY_BASE) this.config[at] = this.config[at]! & ~this.wmask[at]!;
    }
    this.#updateWindows();
  }

  /** pci_bridge_update_mappings: the old windows go and the new ones come in one transaction. */
  #updateWindows(): void {
    this.#topology.transaction(() => {
      for (const { region, parent } of this.#windows) parent.deleteSubregion(region);
      this.#openWindows();
    });
  }

  /** pci_bridge_region_init. */
  #openWindows(): void {
    const command = this.view.getUint16(PCI_COMMAND, true);
    const memory = (command & PCI_COMMAND_MEMORY) !== 0;
    const io = (command & PCI_COMMAND_IO) !== 0;
    const { memory: parentMemory, io: parentIo } = this.#parent;
    this.#windows = [
      this.#window('pci_bridge_pref_mem', this.secondary.memory, parentMemory, memory, this.#prefetchWindow()),
      this.#window('pci_bridge_mem', this.secondary.memory, parentMemory, memory, this.#memoryWindow()),
      this.#window('pci_bridge_io', this.secondary.io, parentIo, io, this.#ioWindow()),
    ];
  }

  /** pci_bridge_init_alias: a closed window has size 0. */
  #window(name: string, space: MemoryRegion, parent: MemoryRegion, enabled: boolean, { base, limit }: Window) {
    const size = enabled && limit >= base ? limit + 1 - base : 0;
    const region = this.#topology.alias(name, space, base, size);
    parent.addSubregion(base, region, 1);
    return { region, parent };
  }

  #ioWindow(): Window {
    const at = (register: number) => (this.config[register]! & PCI_IO_RANGE_MASK) << 8;
    return { base: at(PCI_IO_BASE), limit: at(PCI_IO_LIMIT) + 0xfff };
  }

  #memoryWindow(): Window {
    return { base: this.#mebibytes(PCI_MEMORY_BASE), limit: this.#mebibytes(PCI_MEMORY_LIMIT) + 0xf_ffff };
  }

  #prefetchWindow(): Window {
    const upper = (register: number) => this.view.getUint32(register, true) * 2 ** 32;
    return {
      base: upper(PCI_PREF_BASE_UPPER32) + this.#mebibytes(PCI_PREF_MEMORY_BASE),
      limit: upper(PCI_PREF_LIMIT_UPPER32) + this.#mebibytes(PCI_PREF_MEMORY_LIMIT) + 0xf_ffff,
    };
  }

  #mebibytes(register: number): number {
    return (this.view.getUint16(register, true) & PCI_MEMORY_RANGE_MASK) * 0x1_0000;
  }
}

export const pciBridge = deviceModel({
  name: 'pci-bridge',
  bus: 'PCI',
  category: 'Controller/Bridge/Hub',
  description: 'Standard PCI Bridge',
  properties: {
    addr: pciAddressProperty('Slot and optional function number, example: 06.0 or 06'),
    chassis_nr: u8Property(0, 'Chassis number, unique and greater than 0'),
    multifunction: boolProperty(false, 'on/off'),
  },
  realize(machine, properties, { id, bus }) {
    const parent = machine.pciBus(bus);
    const devfn = parent.allocate(properties.addr, 'pci-bridge');
    if (properties.chassis_nr === 0) {
      throw new ConfigurationError(
        'Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.',
      );
    }
    const bridge = new PciBridge(machine, parent, devfn, id, properties.chassis_nr);
    if (properties.multifunction) bridge.config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE | 0x80;
    parent.attach(bridge);
    machine.addPciBus(bridge.secondary);
  },
});
