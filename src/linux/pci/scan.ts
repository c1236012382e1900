/**
 * Finding PCI devices: sizes of BARs by writing ones, addresses for them, sysfs, and the IOMMU group (drivers/pci/{probe,
 * setup-res,pci-sysfs}.c, drivers/iommu/iommu.c). Fidelity: a host bridge for each bus, no PCI bridges, no option ROMs, 32-bit
 * BARs. Functions of one slot share an IOMMU group, since nothing keeps them from each other (no ACS); slots are isolated. A bus
 * other than 0 lies behind a bridge that can reset it, and shows nothing else of itself.
 */

import type { PciFunction } from '../../hardware/pci/function.ts';
import { Device } from '../core/device.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import type { IntelIommu } from '../iommu/intel.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_IO_MASK,
  PCI_BASE_ADDRESS_MEM_MASK,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_FUNC,
  PCI_INTERRUPT_LINE,
  PCI_SLOT,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../uapi/pci.ts';
import { modalias, PciBus } from './bus.ts';
import { PciDevice, type PciResource } from './device.ts';

/** Where BARs go: above the RAM that a host can have, and above the ports of a PC's own devices. */
const FIRST_MEMORY = 0xe000_0000;
const FIRST_PORT = 0x1000;
const BARS = 6;
const SMALLEST_PAGE = 0x1000;
const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
/** Lines of `resource` for a device that is no bridge: BARs, ROM, and those of virtual functions. */
const RESOURCE_LINES = 13;

/** The PCI devices of one host. */
export class PciHost {
  readonly bus: PciBus;
  readonly #kernel: Kernel;
  readonly #iommu: IntelIommu;
  readonly #roots = new Map<number, Device>();
  #memory = FIRST_MEMORY;
  #port = FIRST_PORT;

  constructor(kernel: Kernel, iommu: IntelIommu) {
    this.#kernel = kernel;
    this.#iommu = iommu;
    this.bus = new PciBus(kernel);
    kernel.devices.addBus(this.bus);
  }

  /** pci_scan_single_device, pci_assign_resource, pci_bus_add_device: a driver may take it before this returns. */
  add(hardware: PciFunction): PciDevice {
    const kernel = this.#kernel;
    const { bus, devfn } = hardware.slot;
    const name = `0000:${byte(bus)}:${byte(PCI_SLOT(devfn))}.${PCI_FUNC(devfn)}`;
    const ids = `${word(hardware.readConfig(PCI_VENDOR_ID, 2))}:${word(hardware.readConfig(PCI_DEVICE_ID, 2))}`;
    const kind = (hardware.readConfig(PCI_CLASS_REVISION, 4) >>> 8).toString(16).padStart(6, '0');
    kernel.printk(`pci ${name}: [${ids}] type 00 class 0x${kind}`);
    const resources = Array.from({ length: BARS }, (_, index) => this.#assign(hardware, name, index));
    hardware.writeConfig(PCI_INTERRUPT_LINE, 1, hardware.slot.line);
    const device = new Device({ name, parent: this.#root(bus), bus: this.bus });
    const pci = new PciDevice(kernel, device, hardware, resources);
    this.bus.know(pci);
    // A group before a driver: whose the DMA is must be known when one binds.
    kernel.devices.add(device, () => {
      this.#iommu.probe(device, hardware.source, this.#groupOfSlot(bus, devfn));
      addAttributes(kernel, pci);
    });
    return pci;
  }

  /** Size a BAR (__pci_read_base) and give it an address. */
  #assign(hardware: PciFunction, name: string, index: number): PciResource | undefined {
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    hardware.writeConfig(at, 4, 0xffff_ffff);
    const sized = hardware.readConfig(at, 4);
    if (sized === 0) return undefined;
    const ports = (sized & PCI_BASE_ADDRESS_SPACE_IO) !== 0;
    const mask = ports ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK;
    const size = (~(sized & mask) >>> 0) + 1;
    const next = ports ? this.#port : this.#memory;
    const start = Math.ceil(next / size) * size;
    // Two memory BARs never share a page, so that each can be mapped by itself.
    if (ports) this.#port = start + size;
    else this.#memory = start + Math.max(size, SMALLEST_PAGE);
    hardware.writeConfig(at, 4, start);
    const range = ports
      ? `[io  0x${word(start)}-0x${word(start + size - 1)}]`
      : `[mem 0x${start.toString(16)}-0x${(start + size - 1).toString(16)}]`;
    this.#kernel.printk(`pci ${name}: BAR ${index}: assigned ${range}`);
    return { kind: ports ? 'ports' : 'memory', start, size };
  }

  /** pci_device_group: the group of another function of the slot, if there is one. */
  #groupOfSlot(bus: number, devfn: number): IommuGroup | undefined {
    const other = this.bus.all.find(
      ({ hardware: { slot }, device }) =>
        slot.bus === bus && PCI_SLOT(slot.devfn) === PCI_SLOT(devfn) && device.iommuGroup !== undefined,
    );
    return other?.device.iommuGroup === undefined ? undefined : this.#kernel.iommuGroups.find(other.device.iommuGroup);
  }

  #root(bus: number): Device {
    let root = this.#roots.get(bus);
    if (root === undefined) {
      root = new Device({ name: `pci0000:${byte(bus)}` });
      this.#kernel.devices.add(root);
      this.#roots.set(bus, root);
    }
    return root;
  }
}

/** pci-sysfs.c. */
function addAttributes({ sysfs }: Kernel, pci: PciDevice): void {
  const show = (name: string, text: () => string) =>
    sysfs.attribute(`${pci.device.path}/${name}`, { mode: 0o444, show: () => `${text()}\n` });
  show('vendor', () => `0x${word(pci.readConfig(PCI_VENDOR_ID, 2))}`);
  show('device', () => `0x${word(pci.readConfig(PCI_DEVICE_ID, 2))}`);
  show('subsystem_vendor', () => `0x${word(pci.readConfig(PCI_SUBSYSTEM_VENDOR_ID, 2))}`);
  show('subsystem_device', () => `0x${word(pci.readConfig(PCI_SUBSYSTEM_ID, 2))}`);
  show('revision', () => `0x${byte(pci.readConfig(PCI_CLASS_REVISION, 1))}`);
  show('class', () => `0x${(pci.readConfig(PCI_CLASS_REVISION, 4) >>> 8).toString(16).padStart(6, '0')}`);
  show('modalias', () => modalias(pci));
  show('irq', () => String(pci.hardware.slot.line));
  show('resource', () => Array.from({ length: RESOURCE_LINES }, (_, i) => resourceText(pci.resources[i])).join('\n'));
}

function resourceText(resource: PciResource | undefined): string {
  const text = (value: number) => `0x${value.toString(16).padStart(16, '0')}`;
  if (resource === undefined) return [0, 0, 0].map(text).join(' ');
  const { start, size, kind } = resource;
  const flags = kind === 'ports' ? 0x4_0000 + IORESOURCE_IO + 1 : 0x4_0000 + IORESOURCE_MEM;
  return [start, start + size - 1, flags].map(text).join(' ');
}

const byte = (value: number): string => value.toString(16).padStart(2, '0');
const word = (value: number): string => value.toString(16).padStart(4, '0');
