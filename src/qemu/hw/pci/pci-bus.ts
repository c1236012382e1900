/** A PCI bus: 32 slots of 8 functions, the buses behind its bridges, and who may sit where (hw/pci/pci.c). */

import {
  PCI_BRIDGE_CONTROL,
  PCI_FUNC,
  PCI_SECONDARY_BUS,
  PCI_SLOT,
  PCI_SUBORDINATE_BUS,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import type { AddressSpace } from '../../memory/address-space.ts';
import type { MemoryRegion } from '../../memory/region.ts';
import { type DeviceBus, type PciDevice, PINS } from './pci-device.ts';

const BRIDGE_CTL_BUS_RESET = 0x40;
const hex = (number: number): string => number.toString(16).padStart(2, '0');

export class PciBus implements DeviceBus {
  readonly name: string;
  readonly memory: MemoryRegion;
  readonly io: MemoryRegion;
  readonly dma: AddressSpace;
  readonly #parent: PciBus | undefined;
  /** Root bus: how many functions hold each of the board's PIRQ lines up. */
  readonly #raised = new Array<number>(PINS).fill(0);
  /** Root bus: the board's PIRQ lines; set by the chip they lead to. */
  onPirq: ((pirq: number, level: boolean) => void) | undefined;
  /** Root bus: the interrupt line that a PIRQ leads to; undefined if none. Set by the chip they lead to. */
  routeOfPirq: ((pirq: number) => number | undefined) | undefined;
  /** Root bus: who wants to hear when a route may have changed. */
  readonly #routeListeners = new Set<() => void>();
  /** The bridge that leads here; undefined for the root bus. */
  readonly #bridge: PciDevice | undefined;
  readonly #devices: (PciDevice | undefined)[] = new Array<undefined>(256).fill(undefined);
  /** In order of arrival. */
  readonly #attached: PciDevice[] = [];
  /** The last added comes first, as in QEMU's list. */
  readonly #children: PciBus[] = [];
  /** slot_reserved_mask: slots the board keeps for itself. */
  readonly #reserved: ReadonlySet<number>;

  constructor(
    name: string,
    spaces: { readonly memory: MemoryRegion; readonly io: MemoryRegion; readonly dma: AddressSpace },
    place: { readonly bridge?: PciDevice; readonly parent?: PciBus; readonly reserved?: readonly number[] } = {},
  ) {
    this.name = name;
    this.memory = spaces.memory;
    this.io = spaces.io;
    this.dma = spaces.dma;
    this.#parent = place.parent;
    this.#bridge = place.bridge;
    this.#reserved = new Set(place.reserved ?? []);
    if (place.parent !== undefined) place.parent.#children.unshift(this);
  }

  /** pci_bus_num: 0 for the root, else what the guest has written to its bridge. */
  get number(): number {
    return this.#bridge === undefined ? 0 : this.#bridge.config[PCI_SECONDARY_BUS]!;
  }

  /** The functions in order of devfn. */
  get devices(): readonly PciDevice[] {
    return this.#devices.filter((device) => device !== undefined);
  }

  get children(): readonly PciBus[] {
    return this.#children;
  }

  /** The BAR, here or behind a bridge, that would be at a port or address if its function's decoding were on; in words. */
  switchedOffAt(address: number, io: boolean): string | undefined {
    for (const device of this.devices) {
      const bar = device.switchedOffAt(address, io);
      const { bus, slot, func } = device.location;
      if (bar !== undefined)
        return `BAR ${bar} of ${hex(bus)}:${hex(slot)}.${func} (${device.name}) is switched off in its command register (see pci_enable_device)`;
    }
    for (const child of this.#children) {
      const found = child.switchedOffAt(address, io);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** do_pci_register_device: the devfn that `model` gets, for a wish of -1 the first free slot. */
  allocate(wish: number, model: string): number {
    const slotOf = (devfn: number) => `slot ${PCI_SLOT(devfn)} function ${PCI_FUNC(devfn)}`;
    if (wish < 0) {
      for (let devfn = 0; devfn < 256; devfn += 8) {
        if (this.#devices[devfn] === undefined && !this.#reserved.has(PCI_SLOT(devfn))) return devfn;
      }
      throw new ConfigurationError(`PCI: no slot/function available for ${model}, all in use or reserved`);
    }
    if (this.#reserved.has(PCI_SLOT(wish))) {
      throw new ConfigurationError(`PCI: ${slotOf(wish)} not available for ${model}, reserved`);
    }
    const taken = this.#devices[wish];
    if (taken !== undefined) {
      const owner = `${taken.name},id=${taken.id ?? '(null)'}`;
      throw new ConfigurationError(`PCI: ${slotOf(wish)} not available for ${model}, in use by ${owner}`);
    }
    return wish;
  }

  /** Put a function into its slot; the rules of pci_init_multifunction hold. */
  attach(device: PciDevice): void {
    const slot = PCI_SLOT(device.devfn);
    const placeOf = (func: number) => `${slot.toString(16)}.${func}`;
    const first = this.#devices[slot * 8];
    const func = PCI_FUNC(device.devfn);
    if (func !== 0 && first !== undefined && !first.isMultifunction)
      throw new ConfigurationError(`PCI: single function device can't be populated in function ${placeOf(func)}`);
    const further = [1, 2, 3, 4, 5, 6, 7].find((other) => this.#devices[slot * 8 + other] !== undefined);
    if (func === 0 && further !== undefined && !device.isMultifunction)
      throw new ConfigurationError(
        `PCI: ${placeOf(0)} indicates single function, but ${placeOf(further)} is already populated.`,
      );
    this.#devices[device.devfn] = device;
    this.#attached.push(device);
  }

  /** do_pci_unregister_device: the slot is empty again. */
  detach(device: PciDevice): void {
    this.#devices[device.devfn] = undefined;
    this.#attached.splice(this.#attached.indexOf(device), 1);
  }

  /** pci_find_device: the function that a configuration cycle for this bus number and devfn reaches. */
  find(busNumber: number, devfn: number): PciDevice | undefined {
    const bus = this.#findBus(busNumber);
    return bus === undefined ? undefined : bus.#devices[devfn];
  }

  /** pci_find_bus_nr: a type 1 cycle goes down through the bridges whose bus range holds the number. */
  #findBus(busNumber: number): PciBus | undefined {
    if (this.number === busNumber) return this;
    for (const child of this.#children) {
      if (child.number === busNumber) return child;
      if (child.#inRange(busNumber)) return child.#findBus(busNumber);
    }
    return undefined;
  }

  /** pci_secondary_bus_in_range. */
  #inRange(busNumber: number): boolean {
    const config = this.#bridge!.config;
    if ((config[PCI_BRIDGE_CONTROL]! & BRIDGE_CTL_BUS_RESET) !== 0) return false;
    return config[PCI_SECONDARY_BUS]! <= busNumber && busNumber <= config[PCI_SUBORDINATE_BUS]!;
  }

  /**
   * The board's PIRQ line that a function's pin (0 is INTA) leads to. Behind a bridge the pins are rotated by the slot; on
   * the i440FX board slot s, pin p is PIRQ (s - 1 + p) mod 4.
   */
  pirqOf(devfn: number, pin: number): number {
    const slot = PCI_SLOT(devfn);
    if (this.#parent !== undefined) return this.#parent.pirqOf(this.#bridge!.devfn, (slot + pin) % PINS);
    return (slot - 1 + pin) & (PINS - 1);
  }

  /** pci_change_irq_level: a function's pin went up or down, or is told as it is. */
  changeIrq(devfn: number, pin: number, change: -1 | 0 | 1): void {
    const pirq = this.pirqOf(devfn, pin);
    const root = this.#root;
    root.#raised[pirq]! += change;
    root.onPirq?.(pirq, root.#raised[pirq]! > 0);
  }

  /** pci_device_route_intx_to_irq: the interrupt line that a function's pin (0 is INTA) leads to; undefined if to none. */
  routeIntx(devfn: number, pin: number): number | undefined {
    return this.#root.routeOfPirq?.(this.pirqOf(devfn, pin));
  }

  /** pci_device_set_intx_routing_notifier. Returns how to stop. */
  onRouteChange(listener: () => void): () => void {
    const listeners = this.#root.#routeListeners;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** pci_bus_fire_intx_routing_notifier. */
  routesChanged(): void {
    for (const listener of this.#routeListeners) listener();
  }

  get #root(): PciBus {
    return this.#parent === undefined ? this : this.#parent.#root;
  }

  /** Whether any function holds PIRQ `pirq` up. */
  pirqLevel(pirq: number): boolean {
    return this.#raised[pirq]! > 0;
  }

  /** Reset every function here and behind the bridges, children first, of equals the last added first (qbus_reset_all). */
  reset(): void {
    for (const child of this.#children) child.reset();
    for (const device of [...this.#attached].reverse()) device.reset();
  }
}
