/**
 * A PCI device of your own: one file whose default export is a {@link DeviceDescription}, put into the machine by
 * `-device ./mydev.ts`. The guest finds it on the bus, sizes its BARs and reaches its registers as those of any other.
 *
 * ```ts
 * import type { DeviceDescription } from 'gvm/device';
 *
 * interface Counter { value: number }
 * export default {
 *   name: 'counter', vendor: 0x1234, device: 0x0001, class: 0xff00,
 *   state: () => ({ value: 0 }),
 *   bars: [{ space: 'io', size: 16, registers: [
 *     { name: 'count', offset: 0, size: 4, read: (d) => d.state.value++, write: (d, v: number) => { d.state.value = v; } },
 *   ] }],
 * } satisfies DeviceDescription<Counter>;
 * ```
 *
 * The file may import others, packages, and numbers of the user API from `gvm/uapi`. What it throws is told with its line; its types
 * nobody checks but your editor and `tsc`.
 */

/** What callbacks are handed: the device as it stands in one machine. */
export interface Device<State> {
  /** What `state` made; the device's own. */
  readonly state: State;
  /** Nanoseconds of virtual time since power-on. */
  readonly now: number;
  /** Call `callback` once, `nanoseconds` from now. Returns how to call it off. */
  after(nanoseconds: number, callback: (device: Device<State>) => void): () => void;
  /** Level of the interrupt pin; needs `pin`. */
  setInterrupt(level: boolean): void;
  /** Send the message-signalled interrupt `vector`; needs `msi` or `msix`. Nothing happens while the guest has not enabled it. */
  signal(vector: number): void;
  /** Whether the guest has enabled message-signalled interrupts: then the pin is silent. */
  readonly messageSignalled: boolean;
  /**
   * Guest memory at a bus address, a number or, as a register of 8 bytes has it, a bigint. Where nothing answers, and everywhere while the
   * guest has not made the device a bus master, it is zeros: the second form says so.
   */
  dmaRead(address: number | bigint, length: number): Uint8Array;
  /** Fill `into`. False if not all of it was there: most devices tell the guest by a bit of their status. */
  dmaRead(address: number | bigint, into: Uint8Array): boolean;
  /** False if not all of it has reached memory. */
  dmaWrite(address: number | bigint, bytes: Uint8Array): boolean;
  /** One line on stderr. */
  log(text: string): void;
}

/** Bytes of an access. */
export type RegisterSize = 1 | 2 | 4 | 8;

/**
 * A register. Without `read` and `write` it keeps what is written; with one of them alone, the other direction reads 0 or is
 * ignored. Values are unsigned: a number up to 4 bytes, a bigint for 8.
 */
export interface Register<State> {
  readonly name: string;
  /** In the BAR, a multiple of `size`. */
  readonly offset: number;
  /** Only accesses of this width reach it. 4 if not given. */
  readonly size?: RegisterSize;
  /** What a register that keeps its value holds after reset. */
  readonly initial?: number | bigint;
  read?(device: Device<State>): number | bigint;
  /** Declare `value` as what `size` makes it: `(device, value: number)`, or bigint for 8 bytes. */
  write?(device: Device<State>, value: number | bigint): void;
}

/** A base address register: `size` is a power of two, for ports at most 256, for memory at least 16. */
export interface Bar<State> {
  readonly space: 'io' | 'memory' | 'memory64';
  readonly size: number;
  readonly registers: readonly Register<State>[];
}

/** Kinds of properties, by QEMU's names. `mac` is an Ethernet address, six bytes. */
export type PropertyKind = 'bool' | 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'str' | 'mac';
export type PropertyValue<K extends PropertyKind> = {
  readonly bool: boolean;
  readonly uint8: number;
  readonly uint16: number;
  readonly uint32: number;
  readonly uint64: bigint;
  readonly str: string;
  readonly mac: readonly number[];
}[K];
/** A property of the device: `-device ./mydev.ts,NAME=VALUE`. `-device ./mydev.ts,help` prints them. */
export interface PropertyDescription<K extends PropertyKind> {
  readonly type: K;
  /** If it is not given: false or 0, for `str` and `mac` undefined. */
  readonly default?: PropertyValue<K>;
  readonly description?: string;
}
/** What `state` is handed: a value for each property. */
export type PropertiesOf<P extends Readonly<Record<string, PropertyKind>>> = {
  readonly [N in keyof P]: PropertyValue<P[N]> | (P[N] extends 'str' | 'mac' ? undefined : never);
};

/** `P` are the kinds of its properties: `DeviceDescription<Nic, { mac: 'mac'; queues: 'uint8' }>`. */
export interface DeviceDescription<
  State = undefined,
  P extends Readonly<Record<string, PropertyKind>> = Readonly<Record<never, never>>,
> {
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Base class << 8 | subclass; 0xff00, "fits no class", if not given. */
  readonly class?: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** Interrupt pin. */
  readonly pin?: 'A' | 'B' | 'C' | 'D';
  /** Message-signalled interrupts: vectors, a power of two up to 32. */
  readonly msi?: number;
  /** MSI-X vectors, up to 2048; table and pending bits get a memory BAR of their own behind the last one. */
  readonly msix?: number;
  readonly bars: readonly Bar<State>[];
  readonly properties?: { readonly [N in keyof P]: PropertyDescription<P[N]> };
  /** Makes the device's state, once for each device there is. A property that does not suit it may throw at. */
  state?(properties: PropertiesOf<P>): State;
  /** The machine is reset, also before the guest runs first. */
  reset?(device: Device<State>): void;
  /** The guest has ejected the device: its registers are gone, timers that still run are called off. */
  unplug?(device: Device<State>): void;
}
