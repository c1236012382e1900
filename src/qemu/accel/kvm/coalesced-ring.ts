/**
 * The ring in which KVM collects writes to coalesced zones, a page that all vCPUs share (struct kvm_coalesced_mmio_ring;
 * accel/kvm/kvm-all.c: kvm_flush_coalesced_mmio_buffer).
 */

import type { AddressSpace } from '../../memory/address-space.ts';

const FIRST = 0;
const LAST = 4;
const ENTRIES = 8;
const ENTRY_SIZE = 24;
/** Entries that fit a page: one always stays free. */
const CAPACITY = 170;
const ENTRY_LENGTH = 8;
const ENTRY_PIO = 12;
const ENTRY_DATA = 16;

export class CoalescedRing {
  readonly #page: DataView;
  readonly #memory: AddressSpace;
  readonly #io: AddressSpace;
  #flushing = false;

  /** `page` is the live mapping. */
  constructor(page: DataView, memory: AddressSpace, io: AddressSpace) {
    this.#page = page;
    this.#memory = memory;
    this.#io = io;
  }

  /** Do the collected writes, oldest first. A write that leads back here finds the rest left for the outer call. */
  flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const page = this.#page;
    for (let first = page.getUint32(FIRST, true); first !== page.getUint32(LAST, true); ) {
      const entry = ENTRIES + first * ENTRY_SIZE;
      const address = page.getUint32(entry + 4, true) * 2 ** 32 + page.getUint32(entry, true);
      const space = page.getUint32(entry + ENTRY_PIO, true) === 1 ? this.#io : this.#memory;
      space.write(address, page, entry + ENTRY_DATA, page.getUint32(entry + ENTRY_LENGTH, true));
      first = (first + 1) % CAPACITY;
      page.setUint32(FIRST, first, true);
    }
    this.#flushing = false;
  }
}
