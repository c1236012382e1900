/**
 * Coalesced I/O: writes to a registered range go into a ring that user space empties when it pleases; the vCPU does not
 * stop for them (virt/kvm/coalesced_mmio.c). The ring is page 2 of every vCPU's mapping.
 */

import { PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENOMEM, EOPNOTSUPP } from '../uapi/errno.ts';
import type { kvm_coalesced_mmio_zone } from '../uapi/kvm.ts';
import { KVM_COALESCED_MMIO_MAX, kvm_coalesced_mmio, kvm_coalesced_mmio_ring } from '../uapi/kvm-run.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { IoBus, IoDevice } from './io-bus.ts';

type ZoneArguments = StructOf<typeof kvm_coalesced_mmio_zone>;

const { offsets: ENTRY } = kvm_coalesced_mmio;
const { offsets: RING } = kvm_coalesced_mmio_ring;
const TWO_TO_32 = 2 ** 32;

/** The ring as kernel and user space share it: `first` is user space's to move, `last` the kernel's. */
class Ring {
  readonly #view: DataView;

  constructor(page: Uint8Array) {
    this.#view = new DataView(page.buffer, page.byteOffset, PAGE_SIZE);
  }

  /**
   * False when it is full: one entry always stays free. User space may have written nonsense into the indexes. Linux 6.1 wraps the
   * difference of the indexes at 2^32, which is no multiple of the ring's length (coalesced_mmio_has_room): with `first` in the lower
   * half the ring is full with 85 entries (6.13 has mended it).
   */
  push(address: number, data: Uint8Array, pio: boolean): boolean {
    const view = this.#view;
    const last = view.getUint32(RING.last, true);
    const room = ((view.getUint32(RING.first, true) - last - 1) >>> 0) % KVM_COALESCED_MMIO_MAX;
    if (last >= KVM_COALESCED_MMIO_MAX || room === 0) return false;
    const at = kvm_coalesced_mmio_ring.size + last * kvm_coalesced_mmio.size;
    view.setUint32(at + ENTRY.phys_addr, address % TWO_TO_32, true);
    view.setUint32(at + ENTRY.phys_addr + 4, Math.floor(address / TWO_TO_32), true);
    view.setUint32(at + ENTRY.len, data.length, true);
    view.setInt32(at + ENTRY.pio, pio ? 1 : 0, true);
    for (let i = 0; i < data.length; i++) view.setUint8(at + ENTRY.data + i, data[i]!);
    view.setUint32(RING.last, (last + 1) % KVM_COALESCED_MMIO_MAX, true);
    return true;
  }
}

/** One registered range. Reads are not its business: user space has to answer them. */
class Zone implements IoDevice {
  readonly address: number;
  readonly size: number;
  readonly pio: boolean;
  readonly #ring: Ring;
  readonly lost: () => void;

  constructor(address: number, size: number, pio: boolean, ring: Ring, lost: () => void) {
    this.lost = lost;
    this.address = address;
    this.size = size;
    this.pio = pio;
    this.#ring = ring;
  }

  /** coalesced_mmio_in_range. */
  holds(address: number, length: number): boolean {
    return address >= this.address && address + length <= this.address + this.size;
  }

  write(address: number, data: Uint8Array): number {
    if (!this.holds(address, data.length) || !this.#ring.push(address, data, this.pio)) return -EOPNOTSUPP;
    return 0;
  }
}

/** The coalesced zones of one VM. */
export class CoalescedZones {
  readonly #kernel: Kernel;
  readonly #buses: { readonly pioBus: IoBus; readonly mmioBus: IoBus };
  readonly #ring: Ring;
  readonly #zones: Zone[] = [];

  /** `ring` is the page that user space maps. */
  constructor(kernel: Kernel, buses: { readonly pioBus: IoBus; readonly mmioBus: IoBus }, ring: Uint8Array) {
    this.#kernel = kernel;
    this.#buses = buses;
    this.#ring = new Ring(ring);
  }

  /** KVM_REGISTER_COALESCED_MMIO: 0, -EINVAL, -ENOSPC or -ENOMEM. Zones may overlap. */
  register(args: ZoneArguments): number {
    const error = this.#check(args);
    if (error < 0) return error;
    if (!this.#kernel.kmalloc('struct kvm_coalesced_mmio_dev')) return -ENOMEM;
    const zone = new Zone(Number(args.addr), args.size, args.pio === 1, this.#ring, () => this.#forget(zone));
    const full = this.#bus(zone.pio).register(zone.address, zone.size, zone);
    if (full < 0) return full;
    this.#zones.push(zone);
    return 0;
  }

  /** KVM_UNREGISTER_COALESCED_MMIO: every zone that holds the given range goes; 0 also when none does. */
  unregister(args: ZoneArguments): number {
    const error = this.#check(args);
    if (error < 0) return error;
    for (const zone of [...this.#zones]) {
      if (zone.pio !== (args.pio === 1) || !zone.holds(Number(args.addr), args.size)) continue;
      this.#forget(zone);
      // Without memory for a shorter bus all of it goes, and its other zones with it.
      if (this.#bus(zone.pio).unregister(zone) < 0) break;
    }
    return 0;
  }

  #forget(zone: Zone): void {
    this.#zones.splice(this.#zones.indexOf(zone), 1);
  }

  #check({ pio }: ZoneArguments): number {
    return pio <= 1 ? 0 : this.#kernel.refuse(EINVAL, 'pio is 0 for memory or 1 for ports');
  }

  #bus(pio: boolean): IoBus {
    return pio ? this.#buses.pioBus : this.#buses.mmioBus;
  }
}
