/**
 * The PCI bus of the driver core: which driver takes which device (drivers/pci/pci-driver.c). Ids come from a driver's table, or
 * from user space by `new_id`; a device whose driver_override is set takes the driver of that name and no other.
 */

import type { Bus, Device, Driver } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import { EEXIST, EINVAL, ENODEV } from '../uapi/errno.ts';
import {
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../uapi/pci.ts';
import type { PciDevice } from './device.ts';

/** PCI_ANY_ID. */
export const ANY_ID = 0xffff_ffff;

/** `struct pci_device_id`. */
export interface PciId {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly class: number;
  readonly classMask: number;
}

/** PCI_DEVICE(vendor, device). */
export const pciId = (vendor: number, device: number): PciId => ({
  vendor,
  device,
  subvendor: ANY_ID,
  subdevice: ANY_ID,
  class: 0,
  classMask: 0,
});

/** What a driver brings: `struct pci_driver`. */
export interface PciDriverOptions {
  readonly name: string;
  readonly module?: string;
  readonly ids: readonly PciId[];
  readonly managesDma?: boolean;
  probe(pci: PciDevice): number;
  remove(pci: PciDevice): void;
}

/** A driver on the PCI bus. */
export class PciDriver implements Driver {
  readonly name: string;
  readonly bus: PciBus;
  readonly module: string | undefined;
  readonly managesDma: boolean;
  readonly #options: PciDriverOptions;
  /** Ids that user space added; they are looked at first. */
  readonly #dynamic: PciId[] = [];

  constructor(bus: PciBus, options: PciDriverOptions) {
    this.bus = bus;
    this.name = options.name;
    this.module = options.module;
    this.managesDma = options.managesDma ?? false;
    this.#options = options;
  }

  probe(device: Device): number {
    return this.#options.probe(this.bus.pciOf(device));
  }

  remove(device: Device): void {
    this.#options.remove(this.bus.pciOf(device));
  }

  /** pci_match_device, but for the override. */
  matches(pci: PciDevice): boolean {
    return [...this.#dynamic, ...this.#options.ids].some((id) => matchesId(pci, id));
  }

  /** pci_register_driver: 0 or -errno; the files `new_id` and `remove_id` come with it. */
  register(kernel: Kernel): number {
    const error = kernel.devices.addDriver(this);
    if (error < 0) return error;
    const path = `/sys/bus/pci/drivers/${this.name}`;
    kernel.sysfs.attribute(`${path}/new_id`, { mode: 0o200, store: (text) => this.#newId(kernel, text) });
    kernel.sysfs.attribute(`${path}/remove_id`, { mode: 0o200, store: (text) => this.#removeId(kernel, text) });
    return 0;
  }

  unregister(kernel: Kernel): void {
    kernel.devices.removeDriver(this);
  }

  /** pci_add_dynid: devices that match now are offered to the driver. */
  addId(kernel: Kernel, id: PciId): void {
    this.#dynamic.push(id);
    kernel.devices.probeAll(this);
  }

  /** new_id_store: vendor and device at least, in hexadecimal. An id whose devices match already is one too many. */
  #newId(kernel: Kernel, text: string): number {
    const parsed = parseId(text);
    if (parsed === undefined) {
      return kernel.refuse(EINVAL, 'new_id takes VENDOR DEVICE [SUBVENDOR SUBDEVICE [CLASS MASK [DATA]]], in hex');
    }
    const { id, data } = parsed;
    if (data === undefined && [...this.#dynamic, ...this.#options.ids].some((known) => covers(known, id))) {
      return kernel.refuse(EEXIST, `driver ${this.name} has this id already`);
    }
    if (data !== undefined && data !== 0 && this.#options.ids.length > 0) {
      return kernel.refuse(EINVAL, `driver ${this.name} has no id with the data 0x${data.toString(16)}`);
    }
    this.addId(kernel, id);
    return text.length;
  }

  /** remove_id_store: the first id of this vendor and device; what else is said must be the same. Devices that are bound stay bound. */
  #removeId(kernel: Kernel, text: string): number {
    const parsed = parseId(text);
    if (parsed === undefined)
      return kernel.refuse(EINVAL, 'remove_id takes VENDOR DEVICE [SUBVENDOR SUBDEVICE [CLASS MASK]], in hex');
    const { id } = parsed;
    const is = (known: number, wanted: number) => wanted === ANY_ID || known === wanted;
    const at = this.#dynamic.findIndex(
      (known) =>
        known.vendor === id.vendor &&
        known.device === id.device &&
        is(known.subvendor, id.subvendor) &&
        is(known.subdevice, id.subdevice) &&
        ((known.class ^ id.class) & id.classMask) === 0,
    );
    if (at < 0) return kernel.refuse(ENODEV, `driver ${this.name} was given no such id`);
    this.#dynamic.splice(at, 1);
    return text.length;
  }
}

/** pci_bus_type. */
export class PciBus implements Bus {
  readonly name = 'pci';
  readonly driverOverride = true;
  readonly #kernel: Kernel;
  readonly #devices = new Map<Device, PciDevice>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  match(device: Device, driver: Driver): boolean {
    return driver instanceof PciDriver && driver.matches(this.pciOf(device));
  }

  /** pci_uevent. */
  uevent(device: Device): readonly string[] {
    const pci = this.pciOf(device);
    const id = (offset: number) => hex(pci.readConfig(offset, 2), 4);
    return [
      `PCI_CLASS=${hex(pci.readConfig(PCI_CLASS_REVISION, 4) >>> 8, 4)}`,
      `PCI_ID=${id(PCI_VENDOR_ID)}:${id(PCI_DEVICE_ID)}`,
      `PCI_SUBSYS_ID=${id(PCI_SUBSYSTEM_VENDOR_ID)}:${id(PCI_SUBSYSTEM_ID)}`,
      `PCI_SLOT_NAME=${pci.name}`,
      `MODALIAS=${modalias(pci)}`,
    ];
  }

  /** pci_dma_configure: a driver that does DMA itself must find the group's DMA in the kernel's hands. */
  dmaConfigure(device: Device, driver: Driver): number {
    return this.#kernel.iommuGroups.configureDma(device, driver);
  }

  dmaCleanup(device: Device, driver: Driver): void {
    this.#kernel.iommuGroups.cleanUpDma(device, driver);
  }

  /** The scan found a device. */
  know(pci: PciDevice): void {
    this.#devices.set(pci.device, pci);
  }

  /** Every device that a scan found, in that order. */
  get all(): readonly PciDevice[] {
    return [...this.#devices.values()];
  }

  /** pci_probe_reset_bus: the devices that a reset of the bus of `pci` hits; undefined if no bridge can reset it. */
  resetDomain(pci: PciDevice): readonly PciDevice[] | undefined {
    const { bus } = pci.hardware.slot;
    return bus === 0 ? undefined : this.all.filter(({ hardware }) => hardware.slot.bus === bus);
  }

  /** pci_reset_bus: the bridge's secondary bus reset; each function has its configuration back afterwards. */
  resetBus(devices: readonly PciDevice[]): void {
    const saved = devices.map((device) => device.saveState());
    for (const device of devices) device.setCommand(0, 0xffff);
    for (const device of devices) device.hardware.reset();
    for (const [i, device] of devices.entries()) device.restoreState(saved[i] as Uint32Array);
  }

  /** to_pci_dev. */
  pciOf(device: Device): PciDevice {
    const pci = this.#devices.get(device);
    if (pci === undefined) throw new Error(`device ${device.name} on the PCI bus was not found by a scan`);
    return pci;
  }
}

const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0');

/** What modprobe looks a device's driver up by. */
export function modalias(pci: PciDevice): string {
  const id = (offset: number) => hex(pci.readConfig(offset, 2), 8);
  const kind = hex(pci.readConfig(PCI_CLASS_REVISION, 4) >>> 8, 6);
  const ids = `v${id(PCI_VENDOR_ID)}d${id(PCI_DEVICE_ID)}sv${id(PCI_SUBSYSTEM_VENDOR_ID)}sd${id(PCI_SUBSYSTEM_ID)}`;
  return `pci:${ids}bc${kind.slice(0, 2)}sc${kind.slice(2, 4)}i${kind.slice(4)}`;
}

/** pci_match_one_device. */
function matchesId(pci: PciDevice, id: PciId): boolean {
  const is = (wanted: number, offset: number) => wanted === ANY_ID || wanted === pci.readConfig(offset, 2);
  const kind = pci.readConfig(PCI_CLASS_REVISION, 4) >>> 8;
  return (
    is(id.vendor, PCI_VENDOR_ID) &&
    is(id.device, PCI_DEVICE_ID) &&
    is(id.subvendor, PCI_SUBSYSTEM_VENDOR_ID) &&
    is(id.subdevice, PCI_SUBSYSTEM_ID) &&
    ((id.class ^ kind) & id.classMask) === 0
  );
}

/** pci_match_device of a device that is made of `id` alone: its numbers have 16 bits. */
function covers(known: PciId, id: PciId): boolean {
  const is = (wanted: number, number: number) => wanted === ANY_ID || wanted === (number & 0xffff);
  return (
    is(known.vendor, id.vendor) &&
    is(known.device, id.device) &&
    is(known.subvendor, id.subvendor) &&
    is(known.subdevice, id.subdevice) &&
    ((known.class ^ id.class) & known.classMask) === 0
  );
}

/** `sscanf("%x %x %x %x %x %x %lx")`: undefined with fewer than two numbers. `data` is the driver's. */
function parseId(text: string): { readonly id: PciId; readonly data: number | undefined } | undefined {
  const words = text.trim().split(/\s+/);
  const end = words.findIndex((word) => !/^(0x)?[0-9a-fA-F]{1,8}$/.test(word));
  const numbers = words.slice(0, end < 0 ? 7 : end).map((word) => Number.parseInt(word, 16));
  const id = pciIdOf(numbers);
  return id && { id, data: numbers[6] };
}

/** The numbers of an id in their order; undefined with fewer than two. */
export function pciIdOf(numbers: readonly number[]): PciId | undefined {
  const [vendor, device, subvendor = ANY_ID, subdevice = ANY_ID, kind = 0, classMask = 0] = numbers;
  if (vendor === undefined || device === undefined) return undefined;
  return { vendor, device, subvendor, subdevice, class: kind, classMask };
}
