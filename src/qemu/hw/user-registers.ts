/** The registers of one BAR of a user's device, as callbacks of a memory region: by offset and width, every answer checked. */

import { shown } from '../../foreign-value.ts';
import type { Bar, Device, Register } from '../device-api.ts';
import type { DeviceFault } from '../device-fault.ts';
import { accessor, type GuestErrors } from '../guest-errors.ts';
import { type MemoryRegionOps, sizes } from '../memory/region.ts';
import type { DeviceBus } from './pci/pci-device.ts';

/** What the registers need of their device. */
export interface RegisterOwner extends Device<unknown> {
  readonly name: string;
  readonly bus: DeviceBus;
  guarded<R>(where: string, register: string | undefined, callback: () => R): R;
  fault(where: string, register: string | undefined, message: string, cause?: unknown): DeviceFault;
}

export class UserRegisters implements MemoryRegionOps {
  readonly valid = sizes(1, 8);
  readonly impl = sizes(1, 8);
  readonly #device: RegisterOwner;
  readonly #bar: number;
  readonly #errors: GuestErrors;
  readonly #byOffset: ReadonlyMap<number, Register<unknown>>;
  /** Values of the registers that keep what is written. */
  readonly #kept = new Map<Register<unknown>, bigint>();

  constructor(device: RegisterOwner, bar: number, { registers }: Bar<unknown>, errors: GuestErrors) {
    this.#device = device;
    this.#bar = bar;
    this.#errors = errors;
    this.#byOffset = new Map(registers.map((register) => [register.offset, register]));
    this.reset();
  }

  /** Kept values go back to the initial ones. */
  reset(): void {
    for (const register of this.#byOffset.values()) {
      if (keeps(register)) this.#kept.set(register, BigInt(register.initial ?? 0));
    }
  }

  read(offset: number, size: number): number {
    return Number(this.#read(offset, size));
  }

  write(offset: number, size: number, value: number): void {
    this.#write(offset, size, value);
  }

  readWide(offset: number): bigint {
    return this.#read(offset, 8);
  }

  writeWide(offset: number, value: bigint): void {
    this.#write(offset, 8, value);
  }

  #read(offset: number, size: number): bigint {
    const register = this.#find(offset, size, 'read');
    if (register === undefined) return 0n;
    if (register.read === undefined) return this.#kept.get(register) ?? 0n;
    const value = this.#device.guarded(this.#place(register), register.name, () => register.read!(this.#device));
    return this.#checked(register, value, size);
  }

  #write(offset: number, size: number, value: number | bigint): void {
    const register = this.#find(offset, size, 'write');
    if (register === undefined) return;
    if (register.write !== undefined) {
      this.#device.guarded(this.#place(register), register.name, () => register.write!(this.#device, value));
    } else if (keeps(register)) this.#kept.set(register, BigInt(value));
  }

  /** The register of this width at this offset; a warning where one was missed. */
  #find(offset: number, size: number, direction: string): Register<unknown> | undefined {
    const register = this.#byOffset.get(offset);
    if (register !== undefined && (register.size ?? 4) === size) return register;
    const where = `BAR ${this.#bar} offset 0x${offset.toString(16)}`;
    const why =
      register === undefined
        ? 'no register is there'
        : `register '${register.name}' is ${register.size ?? 4} bytes wide`;
    const outcome = direction === 'read' ? 'reads 0' : 'ignored';
    const { name, bus } = this.#device;
    const by = bus.dma.device;
    this.#errors.report(`${accessor(by)} ${direction} of ${size} bytes of ${name} ${where}: ${why}, ${outcome}`, by);
    return undefined;
  }

  #place(register: Register<unknown>): string {
    return `BAR ${this.#bar} register '${register.name}' at 0x${register.offset.toString(16)}`;
  }

  /** A register's value, or a fault: what a device answers is an unsigned integer of its width. */
  #checked(register: Register<unknown>, value: unknown, size: number): bigint {
    const most = (1n << BigInt(8 * size)) - 1n;
    const number = typeof value === 'bigint' || Number.isInteger(value) ? BigInt(value as bigint | number) : undefined;
    if (number !== undefined && number >= 0n && number <= most) return number;
    const message = `read gave ${shown(value)}, which is no integer from 0 to 0x${most.toString(16)}`;
    throw this.#device.fault(this.#place(register), register.name, message);
  }
}

const keeps = (register: Register<unknown>): boolean => register.read === undefined && register.write === undefined;
