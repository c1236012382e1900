/**
 * The in-kernel I/O buses of one VM: devices that answer port and memory accesses without leaving the kernel
 * (virt/kvm/kvm_main.c: kvm_io_bus_*; include/kvm/iodev.h).
 */

import { ENOMEM, ENOSPC, EOPNOTSUPP } from '../uapi/errno.ts';

/** Ioeventfds are not counted. */
const NR_IOBUS_DEVS = 1000;

/**
 * A device on a bus. 0 means handled; anything else, by convention -EOPNOTSUPP, means "not mine" and the next device is
 * asked. A missing method is "not mine". `data` has the access's length and is little-endian; on the fast MMIO bus, which
 * knows neither direction nor length, it is empty.
 */
export interface IoDevice {
  read?(address: number, data: Uint8Array): number;
  write?(address: number, data: Uint8Array): number;
  /** The VM ends with the device still on the bus. */
  destroy?(): void;
  /** kvm_iodevice_destructor: the bus is gone, the VM is not. */
  lost?(): void;
}

/** What a bus needs of the kernel: each change is a new table. */
export interface BusHost {
  kmalloc(what: string): boolean;
  refuse(errno: number, because: string): number;
  printk(text: string): void;
}

interface Range {
  readonly address: number;
  readonly length: number;
  readonly device: IoDevice;
  readonly ioeventfd: boolean;
}

/**
 * Order of an access (or of another range) against a range, as kvm_io_bus_cmp: equal if the access lies wholly inside;
 * a range of length 0 equals every length at exactly its address.
 */
function compare(address: number, length: number, range: Range): number {
  if (address < range.address) return -1;
  if (range.length === 0) return address > range.address ? 1 : 0;
  return address + length > range.address + range.length ? 1 : 0;
}

/** Places in a bus's memory of answers; a power of two. */
const ANSWERS = 64;
/** What an access was, in one number: a guest-physical address is below 2⁴⁶, and an access has at most 8 bytes. */
const question = (address: number, length: number) => address * 16 + length;

/** One bus: ranges sorted by address, equal ones in the order of their registration. */
export class IoBus {
  readonly #host: BusHost;
  #ranges: readonly Range[] = [];
  /** There was no memory for a shorter table, once. */
  #lost = false;
  #ioeventfds = 0;
  /** What {@link #search} last found, by the low bits of the address. Drivers ask for the same few registers all the time. */
  readonly #asked = new Float64Array(ANSWERS).fill(-1);
  readonly #firsts = new Int32Array(ANSWERS);
  /** … and how many ranges from there on the access lies in. */
  readonly #matches = new Int32Array(ANSWERS);

  constructor(host: BusHost) {
    this.#host = host;
  }

  get deviceCount(): number {
    return this.#ranges.length;
  }

  /** Nobody is asked. */
  get empty(): boolean {
    return this.#ranges.length === 0;
  }

  /** kvm_io_bus_register_dev: -ENOSPC when 1000 devices that are not ioeventfds are on the bus, -ENOMEM. Overlap is allowed. */
  register(address: number, length: number, device: IoDevice, ioeventfd = false): number {
    const host = this.#host;
    if (this.#lost) return host.refuse(ENOMEM, 'the bus is gone: there was no memory when it was to shrink');
    if (this.#ranges.length - this.#ioeventfds > NR_IOBUS_DEVS - 1)
      return host.refuse(ENOSPC, 'the bus holds 1000 devices already');
    if (!host.kmalloc('struct kvm_io_bus')) return -ENOMEM;
    const added = { address, length, device, ioeventfd };
    const after = this.#ranges.findIndex((range) => compare(range.address, range.length, added) > 0);
    this.#change(this.#ranges.toSpliced(after < 0 ? this.#ranges.length : after, 0, added));
    if (ioeventfd) this.#ioeventfds++;
    return 0;
  }

  /**
   * kvm_io_bus_unregister_dev: the device goes, undestroyed; 0 also for one that is not on the bus. -ENOMEM without memory for the
   * shorter table: the bus goes whole then, and all other devices are {@link IoDevice.lost}.
   */
  unregister(device: IoDevice): number {
    const at = this.#ranges.findIndex((range) => range.device === device);
    if (at < 0) return 0;
    if (!this.#host.kmalloc('struct kvm_io_bus')) return this.#lose(device);
    if (this.#ranges[at]!.ioeventfd) this.#ioeventfds--;
    this.#change(this.#ranges.toSpliced(at, 1));
    return 0;
  }

  #lose(unregistered: IoDevice): number {
    const ranges = this.#ranges;
    this.#change([]);
    this.#ioeventfds = 0;
    this.#lost = true;
    this.#host.printk('kvm: failed to shrink bus, removing it completely');
    for (const { device } of ranges) if (device !== unregistered) device.lost?.();
    return -ENOMEM;
  }

  /** kvm_io_bus_destroy: the VM ends. */
  destroy(): void {
    const ranges = this.#ranges;
    this.#change([]);
    this.#ioeventfds = 0;
    for (const { device } of ranges) device.destroy?.();
  }

  /** 0 if a device took the write, else -EOPNOTSUPP. */
  write(address: number, data: Uint8Array): number {
    const place = this.#placeOf(address, data.length);
    const ranges = this.#ranges;
    const first = this.#firsts[place]!;
    const end = first + this.#matches[place]!;
    for (let at = first; at < end; at++) {
      const { device } = ranges[at]!;
      if (device.write !== undefined && device.write(address, data) === 0) return 0;
    }
    return -EOPNOTSUPP;
  }

  /** 0 if a device filled `data`, else -EOPNOTSUPP. */
  read(address: number, data: Uint8Array): number {
    const place = this.#placeOf(address, data.length);
    const ranges = this.#ranges;
    const first = this.#firsts[place]!;
    const end = first + this.#matches[place]!;
    for (let at = first; at < end; at++) {
      const { device } = ranges[at]!;
      if (device.read !== undefined && device.read(address, data) === 0) return 0;
    }
    return -EOPNOTSUPP;
  }

  /** The place of {@link #firsts} and {@link #matches} for the access. */
  #placeOf(address: number, length: number): number {
    const place = address & (ANSWERS - 1);
    if (this.#asked[place] !== question(address, length)) this.#find(place, address, length);
    return place;
  }

  #find(place: number, address: number, length: number): void {
    const ranges = this.#ranges;
    const first = this.#search(address, length);
    let end = Math.max(first, 0);
    while (first >= 0 && end < ranges.length && compare(address, length, ranges[end]!) === 0) end++;
    this.#asked[place] = question(address, length);
    this.#firsts[place] = first;
    this.#matches[place] = first < 0 ? 0 : end - first;
  }

  #change(ranges: readonly Range[]): void {
    this.#ranges = ranges;
    this.#asked.fill(-1);
  }

  /**
   * kvm_io_bus_get_first_dev: binary search for any match, then back to the first equal neighbour. Nested ranges can
   * hide a match from it, as in the kernel. -1 if nothing matches.
   */
  #search(address: number, length: number): number {
    const ranges = this.#ranges;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compare(address, length, ranges[middle]!);
      if (order < 0) high = middle;
      else if (order > 0) low = middle + 1;
      else {
        let first = middle;
        while (first > 0 && compare(address, length, ranges[first - 1]!) === 0) first--;
        return first;
      }
    }
    return -1;
  }
}
