/**
 * The guest's memory as KVM is told of it: RAM becomes slots, eventfds of regions become ioeventfds, coalesced ranges zones
 * (accel/kvm/kvm-all.c: kvm_set_phys_mem, kvm_mem_ioeventfd_add, kvm_coalesce_mmio_region). Everything else stays an exit to
 * QEMU.
 */

import { PAGE_SIZE } from '../../../address.ts';
import { ENOENT, strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_GET_DIRTY_LOG,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_SET_USER_MEMORY_REGION,
  kvm_dirty_log,
  kvm_userspace_memory_region,
} from '../../../linux/uapi/kvm.ts';
import { Abort } from '../../error.ts';
import type { FlatRange } from '../../memory/flat-view.ts';
import type { Ioeventfd, MemoryListener } from '../../memory/listener.ts';
import type { MemoryRegion } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import { kvmSetUserMemory } from '../../trace-events.ts';
import { setCoalesced, setIoeventfd } from './io-listener.ts';
import { setIoregion } from './ioregions.ts';
import type { KvmState } from './kvm-all.ts';

interface Slot {
  readonly number: number;
  readonly start: number;
  /** Of its start in the region. */
  readonly offset: number;
  readonly size: number;
  readonly host: number;
  readonly flags: number;
}

export class KvmMemoryListener implements MemoryListener {
  readonly name = 'kvm-memory';
  readonly priority = 10;
  readonly #system: System;
  readonly #kvm: KvmState;
  /** By slot number; a free number is a hole. */
  readonly #slots: (Slot | undefined)[] = [];
  /** A failure to read a log is told once. */
  #logFailed = false;

  constructor(system: System, kvm: KvmState) {
    this.#system = system;
    this.#kvm = kvm;
  }

  regionAdd(range: FlatRange): void {
    setIoregion(this.#system, this.#kvm, range, { pio: false, assign: true });
    const ram = this.#align(range);
    if (ram === undefined) return;
    const free = this.#slots.indexOf(undefined);
    const number = free < 0 ? this.#slots.length : free;
    if (number >= this.#kvm.slots) throw new Abort('kvm_alloc_slot: no free slot available');
    const slot = { ...ram, number, flags: this.#flagsOf(range.region) };
    this.#slots[number] = slot;
    const result = this.#set(slot, slot.size);
    if (result < 0) throw new Abort(`kvm_set_phys_mem: error registering slot: ${strerror(-result)}`);
  }

  regionDelete(range: FlatRange): void {
    setIoregion(this.#system, this.#kvm, range, { pio: false, assign: false });
    const slot = this.#slotOf(range);
    if (slot === undefined) return;
    // The slot would take along what KVM has noted.
    if ((slot.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0) range.region.noteWritten(slot.offset, this.#dirtyPages(slot));
    this.#slots[slot.number] = undefined;
    const result = this.#set({ ...slot, flags: 0 }, 0);
    if (result < 0) throw new Abort(`kvm_set_phys_mem: error unregistering slot: ${strerror(-result)}`);
  }

  logStart(range: FlatRange): void {
    this.#changeFlags(range);
  }

  logStop(range: FlatRange): void {
    this.#changeFlags(range);
  }

  /** kvm_physical_sync_dirty_bitmap. */
  logSync(range: FlatRange): void {
    const slot = this.#slotOf(range);
    if (slot !== undefined) range.region.noteWritten(slot.offset, this.#dirtyPages(slot));
  }

  /** kvm_slot_get_dirty_log: a bit for each page. */
  #dirtyPages(slot: Slot): Uint8Array {
    const { heap, memory } = this.#system;
    return heap.scoped(() => {
      // KVM writes whole quadwords.
      const bytes = Math.ceil(slot.size / PAGE_SIZE / 64) * 8;
      const bitmap = heap.allocate(bytes);
      const request = { slot: slot.number, dirty_bitmap: BigInt(bitmap) };
      const result = this.#system.ioctlStruct(this.#kvm.vm, KVM_GET_DIRTY_LOG, kvm_dirty_log, request);
      if (result === 0) return memory.read(bitmap, bytes);
      // ENOENT: KVM has no log of this slot.
      if (result !== -ENOENT && !this.#logFailed) {
        this.#system.error(`kvm_slot_get_dirty_log: KVM_GET_DIRTY_LOG failed with ${result}`);
        this.#logFailed = true;
      }
      return new Uint8Array(0);
    });
  }

  /** kvm_section_update_flags: the slot stays, and what KVM has mapped of it. */
  #changeFlags(range: FlatRange): void {
    const slot = this.#slotOf(range);
    if (slot === undefined) return;
    const changed = { ...slot, flags: this.#flagsOf(range.region) };
    this.#slots[slot.number] = changed;
    const result = this.#set(changed, changed.size);
    if (result < 0) throw new Abort(`kvm_set_user_memory_region: ${strerror(-result)}`);
  }

  #slotOf(range: FlatRange): Slot | undefined {
    const ram = this.#align(range);
    return ram === undefined ? undefined : this.#slots.find((one) => one?.start === ram.start && one.size === ram.size);
  }

  eventfdAdd(eventfd: Ioeventfd): void {
    setIoeventfd(this.#system, this.#kvm, eventfd, { pio: false, assign: true });
  }

  eventfdDelete(eventfd: Ioeventfd): void {
    setIoeventfd(this.#system, this.#kvm, eventfd, { pio: false, assign: false });
  }

  coalescedAdd(start: number, size: number): void {
    setCoalesced(this.#system, this.#kvm, start, size, { pio: false, assign: true });
  }

  coalescedDelete(start: number, size: number): void {
    setCoalesced(this.#system, this.#kvm, start, size, { pio: false, assign: false });
  }

  /**
   * kvm_mem_flags: of the region itself. RAM of which an alias alone is read-only, as the i440FX's PAM makes it, stays writable for
   * the guest.
   */
  #flagsOf({ readonly, romd, logged }: MemoryRegion): number {
    const protects = (readonly || romd) && this.#kvm.readonlyMemory;
    return (logged ? KVM_MEM_LOG_DIRTY_PAGES : 0) | (protects ? KVM_MEM_READONLY : 0);
  }

  /**
   * kvm_align_section: whole host pages only. Undefined for what gets no slot: registers, and a ROM device if KVM has no read-only
   * slots.
   */
  #align(range: FlatRange): Pick<Slot, 'start' | 'offset' | 'size' | 'host'> | undefined {
    const { isRam, host } = range.region;
    if (host === undefined || !(isRam || range.romd)) return undefined;
    if (range.romd && !this.#kvm.readonlyMemory) return undefined;
    const start = Math.ceil(range.start / PAGE_SIZE) * PAGE_SIZE;
    const size = Math.floor((range.end - start) / PAGE_SIZE) * PAGE_SIZE;
    if (size <= 0) return undefined;
    const offset = range.offset + (start - range.start);
    return { start, offset, size, host: host + offset };
  }

  /** kvm_set_user_memory_region. */
  #set(slot: Slot, size: number): number {
    const result = this.#system.ioctlStruct(this.#kvm.vm, KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, {
      slot: slot.number,
      flags: slot.flags,
      guest_phys_addr: BigInt(slot.start),
      memory_size: BigInt(size),
      userspace_addr: BigInt(slot.host),
    });
    if (kvmSetUserMemory.on) {
      const fields = { slot: slot.number, flags: slot.flags, gpa: slot.start, size, ua: slot.host, ret: result };
      kvmSetUserMemory(this.#system.stream, fields);
    }
    if (result < 0) {
      const where = `start=0x${slot.start.toString(16)}, size=0x${size.toString(16)}`;
      const what = `kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=${slot.number}, ${where}`;
      this.#system.error(`${what}: ${strerror(-result)}`);
    }
    return result;
  }
}
