/** A user's own PCI device (device-api.ts) as a device of the machine. Whatever the file does wrong becomes a DeviceFault. */

import { GAVE_PROMISE, isPromise, saidBy, shown } from '../../foreign-value.ts';
import {
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_INTERRUPT_PIN,
  PCI_MSIX_ENTRY_SIZE,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
} from '../../linux/uapi/pci.ts';
import type { Device, DeviceDescription } from '../device-api.ts';
import { DeviceFault } from '../device-fault.ts';
import type { GuestErrors } from '../guest-errors.ts';
import { MEMTX_OK } from '../memory/access.ts';
import type { System } from '../system.ts';
import type { QemuTimer, TimerList } from '../timer.ts';
import type { DeviceModel } from './device-model.ts';
import { Msi } from './pci/msi.ts';
import { Msix } from './pci/msix.ts';
import { PciDevice } from './pci/pci-device.ts';
import { type PciPlace, pciModel } from './pci/pci-model.ts';
import { checkDescription } from './user-device-check.ts';
import { userProperties } from './user-device-properties.ts';
import { UserRegisters } from './user-registers.ts';

type Description = DeviceDescription<unknown>;
type Values = Readonly<Record<string, unknown>>;
const CLASS_OTHERS = 0xff00;

class UserDevice extends PciDevice implements Device<unknown> {
  readonly state: unknown;
  readonly #file: string;
  readonly #description: Description;
  readonly #system: System;
  readonly #timers: TimerList;
  readonly #msi: Msi | undefined;
  readonly #msix: Msix | undefined;
  readonly #registers: UserRegisters[] = [];
  /** Timers that run. */
  readonly #armed = new Set<QemuTimer>();

  constructor(place: PciPlace, file: string, description: Description, values: Values) {
    const { machine, bus, devfn, id } = place;
    super(machine.system.stream, bus, devfn, description.name, id);
    this.#file = file;
    this.#description = description;
    this.#system = machine.system;
    this.#timers = machine.mainLoop.timers;
    const { vendor, device, revision = 0, class: classCode = CLASS_OTHERS, pin } = description;
    this.identify({ vendor, device, revision, class: classCode });
    if (description.subsystemVendor !== undefined) {
      this.view.setUint16(PCI_SUBSYSTEM_VENDOR_ID, description.subsystemVendor, true);
    }
    if (description.subsystem !== undefined) this.view.setUint16(PCI_SUBSYSTEM_ID, description.subsystem, true);
    if (pin !== undefined) this.config[PCI_INTERRUPT_PIN] = 'ABCD'.indexOf(pin) + 1;
    const end = this.#registerBars(place, machine.guestErrors);
    if (description.msi !== undefined) this.#msi = new Msi(this, description.msi);
    if (description.msix !== undefined) this.#msix = this.#addMsix(place, end, description.msix);
    this.state = this.guarded('state', undefined, () => description.state?.(values));
  }

  /** Returns the number of the first BAR that is free. */
  #registerBars({ machine }: PciPlace, errors: GuestErrors): number {
    let index = 0;
    for (const bar of this.#description.bars) {
      const name = `${this.name} BAR ${index}`;
      const registers = new UserRegisters(this, index, bar, errors);
      this.#registers.push(registers);
      const type = { io: PCI_BASE_ADDRESS_SPACE_IO, memory: 0, memory64: PCI_BASE_ADDRESS_MEM_TYPE_64 }[bar.space];
      this.registerBar(index, type, machine.topology.io(name, bar.size, registers, this.guard));
      index += bar.space === 'memory64' ? 2 : 1;
    }
    return index;
  }

  #addMsix({ machine: { topology } }: PciPlace, bar: number, vectors: number): Msix {
    const half = Math.max(2048, 2 ** Math.ceil(Math.log2(vectors * PCI_MSIX_ENTRY_SIZE)));
    const region = topology.container(`${this.name}-msix`, 2 * half);
    this.registerBar(bar, 0, region);
    return new Msix(topology, this, vectors, { bar, region, table: 0, pending: half });
  }

  /** Run a callback of the user's; what it throws is a fault at `where`. */
  guarded<R>(where: string, register: string | undefined, callback: () => R): R {
    let result: R;
    try {
      result = callback();
    } catch (error) {
      if (isDeviceFault(error)) throw error;
      throw this.fault(where, register, saidBy(error), error);
    }
    if (isPromise(result)) throw this.fault(where, register, GAVE_PROMISE);
    return result;
  }

  fault(where: string, register: string | undefined, message: string, cause?: unknown): DeviceFault {
    return new DeviceFault(this.#file, where, register, message, cause);
  }

  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    this.#msi?.written(address, length);
    this.#msix?.written(address, length);
  }

  override reset(): void {
    super.reset();
    this.#msi?.reset();
    this.#msix?.reset();
    for (const registers of this.#registers) registers.reset();
    this.guarded('reset', undefined, () => this.#description.reset?.(this));
  }

  protected override exit(): void {
    this.guarded('unplug', undefined, () => this.#description.unplug?.(this));
    for (const timer of this.#armed) timer.cancel();
    this.#armed.clear();
  }

  get now(): number {
    return this.#timers.now;
  }

  after(nanoseconds: number, callback: (device: Device<unknown>) => void): () => void {
    if (typeof nanoseconds !== 'number' || !(nanoseconds >= 0))
      throw new RangeError(`after() takes a number of nanoseconds, not ${shown(nanoseconds)}`);
    if (typeof callback !== 'function') throw new TypeError(`after() takes a function, not ${shown(callback)}`);
    const timer = this.#timers.timer(() => {
      this.#armed.delete(timer);
      this.guarded('after', undefined, () => callback(this));
    });
    // In no time at all it would come again and again, and the guest never.
    timer.modify(this.now + Math.max(nanoseconds, 1));
    this.#armed.add(timer);
    return () => {
      this.#armed.delete(timer);
      timer.cancel();
    };
  }

  setInterrupt(level: boolean): void {
    if (this.#description.pin === undefined) throw new Error('setInterrupt() needs a pin in the description');
    if (!this.messageSignalled) this.setIrq(level);
  }

  signal(vector: number): void {
    const most = this.#description.msix ?? this.#description.msi;
    if (most === undefined) throw new Error('signal() needs msi or msix in the description');
    if (!Number.isInteger(vector) || vector < 0 || vector >= most)
      throw new RangeError(`no vector ${vector} of ${most}`);
    if (this.#msix?.enabled) this.#msix.notify(vector);
    else if (this.#msi?.enabled) this.#msi.notify(vector);
  }

  get messageSignalled(): boolean {
    return this.#msix?.enabled === true || this.#msi?.enabled === true;
  }

  override dmaRead(address: number | bigint, length: number): Uint8Array;
  override dmaRead(address: number | bigint, into: Uint8Array): boolean;
  override dmaRead(address: number, into: DataView, at: number, length: number): number;
  override dmaRead(
    address: number | bigint,
    into: DataView | Uint8Array | number,
    at = 0,
    length = 0,
  ): Uint8Array | boolean | number {
    if (into instanceof DataView) return super.dmaRead(Number(address), into, at, length);
    if (into instanceof Uint8Array) return this.#readInto(address, into);
    checkDma(address, into);
    const bytes = new Uint8Array(into);
    this.#readInto(address, bytes);
    return bytes;
  }

  #readInto(address: number | bigint, into: Uint8Array): boolean {
    checkDma(address, into.length);
    if (address <= LAST_ADDRESS) return super.dmaRead(Number(address), viewOf(into), 0, into.length) === MEMTX_OK;
    into.fill(0);
    this.dmaMissed(address, into.length, false);
    return false;
  }

  override dmaWrite(address: number | bigint, bytes: Uint8Array): boolean;
  override dmaWrite(address: number, from: DataView, at: number, length: number): number;
  override dmaWrite(address: number | bigint, from: DataView | Uint8Array, at = 0, length = 0): boolean | number {
    if (from instanceof DataView) return super.dmaWrite(Number(address), from, at, length);
    if (!(from instanceof Uint8Array)) throw new TypeError(`dmaWrite() takes a Uint8Array, not ${shown(from)}`);
    checkDma(address, from.length);
    if (address > LAST_ADDRESS) {
      this.dmaMissed(address, from.length, true);
      return false;
    }
    return super.dmaWrite(Number(address), viewOf(from), 0, from.length) === MEMTX_OK;
  }

  log(text: string): void {
    this.#system.print(`${this.name}: ${text}\n`);
  }
}

/** The user may throw what answers no question. */
function isDeviceFault(error: unknown): boolean {
  try {
    return error instanceof DeviceFault;
  } catch {
    return false;
  }
}

const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView => new DataView(buffer, byteOffset, length);

/** Longest transfer at once: a device that asks for more has miscounted, or believed the guest. */
const LONGEST_DMA = 2 ** 28;

/** x86's physical addresses have at most 52 bits: beyond, nothing can answer. */
const LAST_ADDRESS = 2 ** 52 - 1;

/** An address is what a guest may write into 64 bits, so a device that hands it on has done nothing wrong. */
function checkDma(address: unknown, length: unknown): void {
  const exact = typeof address === 'bigint' || Number.isInteger(address);
  if (!exact || (address as number | bigint) < 0 || (address as number | bigint) >= 2n ** 64n)
    throw new RangeError(`no bus address: ${shown(address)}`);
  if (!Number.isInteger(length) || (length as number) < 0) throw new RangeError(`no length of DMA: ${shown(length)}`);
  if ((length as number) > LONGEST_DMA)
    throw new RangeError(
      `DMA of ${shown(length)} bytes: a device moves at most ${LONGEST_DMA} at once, whatever the guest asks for`,
    );
}

/** The model of the device in `file`. A description that makes no device is a ConfigurationError as soon as something is asked of it. */
export function userDeviceModel(file: string, exported: unknown): DeviceModel {
  let checked: DeviceModel | undefined;
  const model = (): DeviceModel => {
    checked ??= checkedModel(file, checkDescription(exported));
    return checked;
  };
  return {
    name: file,
    bus: 'PCI',
    category: 'Misc',
    description: "A user's own device",
    get properties() {
      return model().properties;
    },
    create: (machine, values, placement) => model().create(machine, values, placement),
  };
}

function checkedModel(file: string, description: Description): DeviceModel {
  const own = userProperties(description.properties ?? {});
  return pciModel({
    name: file,
    category: 'Misc',
    description: description.name,
    properties: own,
    make: (place, properties) =>
      new UserDevice(
        place,
        file,
        description,
        Object.fromEntries(Object.keys(own).map((key) => [key, properties[key]])),
      ),
  });
}
