/**
 * An address space: a root region, its flat view, its listeners, and the accesses made in it
 * (softmmu/physmem.c: address_space_rw, flatview_read_continue, flatview_write_continue).
 *
 * An access that crosses regions or is not aligned is cut into pieces, and each piece finds its own region. The length is
 * not clipped at the end of an io region: a dword at 0xcf8 belongs to the device at 0xcf8 although 0xcf9 is another's.
 */

import { hva } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { UserMemory } from '../../linux/uapi/syscalls.ts';
import {
  dispatchRead,
  dispatchWholeRead,
  dispatchWholeWrite,
  dispatchWrite,
  MEMTX_ACCESS_ERROR,
  MEMTX_DECODE_ERROR,
  MEMTX_OK,
} from './access.ts';
import { type FlatRange, FlatView, renderFlatView, sameRange } from './flat-view.ts';
import { tellChanges, visibleIoeventfds } from './ioeventfds.ts';
import type { Ioeventfd, MemoryListener } from './listener.ts';
import { MemoryRegion, type MemoryRegionOps, sizes } from './region.ts';
import { WholeAccesses } from './whole-access.ts';

/** unassigned_mem_ops: nothing is accepted, so reads give 0 and writes nothing, with a decode error. */
export const unassignedMemory: MemoryRegionOps = {
  read: () => 0,
  write: () => undefined,
  accepts: () => false,
  valid: sizes(0, 0),
  impl: sizes(0, 0),
};

/** An access that did not go as its maker may have thought. */
export interface OddAccess {
  readonly space: string;
  /** The device whose DMA it is; undefined for the guest's own. */
  readonly device: string | undefined;
  readonly address: number | bigint;
  /** Of the address in the region. */
  readonly offset: number;
  readonly size: number;
  readonly write: boolean;
  /**
   * `nothing`: no region is there. `refused`: the region does not take this width or alignment. `read-only`: a write to
   * ROM. `nested`: the region's device is being accessed already. `crossing`: the access goes over the end of the region; of DMA, to where
   * not all of it is served. `no-master`: the device may not begin one.
   */
  readonly why: 'nothing' | 'refused' | 'read-only' | 'nested' | 'crossing' | 'no-master';
  /** Name of the region; undefined where there is none. */
  readonly region: string | undefined;
}

export class AddressSpace {
  readonly name: string;
  readonly root: MemoryRegion;
  readonly #coalescing: { readonly flushCoalesced: () => void };
  readonly #memory: UserMemory;
  readonly #stream: EventStream;
  readonly #hole: MemoryRegion;
  readonly #listeners: MemoryListener[] = [];
  #view = new FlatView([]);
  readonly #whole: WholeAccesses;
  #ioeventfds: readonly Ioeventfd[] = [];
  /** get_cpu_index() of the accesses being made: -1 outside of a vCPU. */
  cpu = -1;
  /** Name of the device whose DMA is being served. */
  device: string | undefined;
  /** Who is told of accesses that did not go as their maker may have thought. */
  onOddAccess: ((access: OddAccess) => void) | undefined;

  constructor(
    name: string,
    root: MemoryRegion,
    coalescing: { readonly flushCoalesced: () => void },
    memory: UserMemory,
    stream: EventStream,
  ) {
    this.name = name;
    this.root = root;
    this.#coalescing = coalescing;
    this.#memory = memory;
    this.#stream = stream;
    const untracked = { begin() {}, commit() {}, nextId: () => 0 };
    this.#hole = new MemoryRegion(untracked, 'io', 'unassigned', 2 ** 64, { ops: unassignedMemory, unassigned: true });
    this.#whole = new WholeAccesses(this.#hole);
    this.#view = renderFlatView(root);
    this.#ioeventfds = visibleIoeventfds(this.#view);
  }

  get view(): FlatView {
    return this.#view;
  }

  /** memory_listener_register: replays every range and eventfd there is. */
  register(listener: MemoryListener): void {
    const behind = this.#listeners.findIndex((other) => listener.priority < other.priority);
    this.#listeners.splice(behind < 0 ? this.#listeners.length : behind, 0, listener);
    for (const range of this.#view.ranges) {
      listener.regionAdd(range);
      tellCoalesced(range, (start, size) => listener.coalescedAdd?.(start, size));
    }
    for (const eventfd of this.#ioeventfds) listener.eventfdAdd?.(eventfd);
    listener.commit?.();
  }

  /** memory_listener_unregister: every range and eventfd goes, as far as it is concerned. */
  unregister(listener: MemoryListener): void {
    const at = this.#listeners.indexOf(listener);
    if (at < 0) return;
    this.#listeners.splice(at, 1);
    for (const range of this.#view.ranges) {
      tellCoalesced(range, (start, size) => listener.coalescedDelete?.(start, size));
      listener.regionDelete(range);
    }
    for (const eventfd of this.#ioeventfds) listener.eventfdDelete?.(eventfd);
    listener.commit?.();
  }

  /** address_space_update_topology: first everything that went, then everything that came. */
  update(): void {
    const before = this.#view;
    const after = renderFlatView(this.root);
    this.#compare(before, after, false);
    this.#view = after;
    this.#whole.forget();
    this.#compare(before, after, true);
    this.#updateIoeventfds();
  }

  /** Tell the listeners that the transaction is over. */
  committed(): void {
    for (const listener of this.#listeners) listener.commit?.();
  }

  /** address_space_update_topology_pass. */
  #compare(before: FlatView, after: FlatView, adding: boolean): void {
    let i = 0;
    let j = 0;
    while (i < before.ranges.length || j < after.ranges.length) {
      const old = before.ranges[i];
      const now = after.ranges[j];
      if (old !== undefined && now !== undefined && sameRange(old, now)) {
        if (adding && old.logged !== now.logged) this.#logChanged(now);
        i++;
        j++;
      } else if (old !== undefined && (now === undefined || old.start <= now.start)) {
        if (!adding) this.#deleted(old);
        i++;
      } else {
        if (adding) this.#added(now!);
        j++;
      }
    }
  }

  #logChanged(range: FlatRange): void {
    for (const listener of this.#listeners) {
      if (range.logged) listener.logStart?.(range);
      else listener.logStop?.(range);
    }
  }

  /**
   * memory_region_snapshot_and_clear_dirty: offsets in `region` of the pages that have been written since this was last asked; of a
   * region whose log is off, none.
   */
  takeDirtyPages(region: MemoryRegion): readonly number[] {
    if (!region.logged) return [];
    for (const range of this.#view.ranges) {
      if (range.region !== region) continue;
      for (const listener of this.#listeners) listener.logSync?.(range);
    }
    return region.takeWritten();
  }

  #added(range: FlatRange): void {
    for (const listener of this.#listeners) listener.regionAdd(range);
    tellCoalesced(range, (start, size) => {
      for (const listener of this.#listeners) listener.coalescedAdd?.(start, size);
    });
  }

  #deleted(range: FlatRange): void {
    const backwards = [...this.#listeners].reverse();
    tellCoalesced(range, (start, size) => {
      for (const listener of backwards) listener.coalescedDelete?.(start, size);
    });
    for (const listener of backwards) listener.regionDelete(range);
  }

  /** address_space_update_ioeventfds: to the listeners, unlike regions, deleted forwards and added backwards. */
  #updateIoeventfds(): void {
    const before = this.#ioeventfds;
    const now = visibleIoeventfds(this.#view);
    this.#ioeventfds = now;
    tellChanges(before, now, {
      gone: (eventfd) => {
        for (const listener of this.#listeners) listener.eventfdDelete?.(eventfd);
      },
      come: (eventfd) => {
        for (const listener of [...this.#listeners].reverse()) listener.eventfdAdd?.(eventfd);
      },
    });
  }

  /** address_space_read: `length` bytes at `address` into `data` at `at`. Returns a MemTxResult, pieces ORed. Hot. */
  read(address: number, data: DataView, at: number, length: number): number {
    const whole = this.#whole.find(address, length);
    if (whole !== undefined) {
      if (whole.plain !== true && whole.region.flushCoalesced) this.#coalescing.flushCoalesced();
      if (dispatchWholeRead(this.#stream, this.cpu, whole, data, at, length) === MEMTX_OK) return MEMTX_OK;
    }
    let result = MEMTX_OK;
    let done = 0;
    let odd: OddAccess['why'] | undefined;
    let crosses = false;
    while (done < length) {
      const view = this.#view;
      const range = view.lookup(address + done);
      if (range?.region.readsDirectly) {
        done += this.#readRam(range, address + done, data, at + done, length - done);
        continue;
      }
      const region = range === undefined ? this.#hole : range.region;
      const offset = range === undefined ? address + done : address + done - range.start + range.offset;
      if (region.flushCoalesced) this.#coalescing.flushCoalesced();
      const size = region.rules!.cut(within(range, address + done, length - done), offset);
      const outcome = dispatchRead(this.#stream, this.cpu, region, offset, size, data, at + done);
      if (done > 0) crosses ||= this.#crosses(range, address);
      else if (outcome !== MEMTX_OK || region.unassigned) odd = oddness(outcome, region);
      // The callback may have changed what is where.
      else if (size === length && this.#view === view) this.#whole.remember(address, length, region, offset);
      result |= outcome;
      done += size;
    }
    if (odd !== undefined || crosses) this.#tell(crosses ? 'crossing' : odd!, address, length, false, result);
    return result;
  }

  /** address_space_write. Hot. */
  write(address: number, data: DataView, at: number, length: number): number {
    const whole = this.#whole.find(address, length);
    if (whole !== undefined) {
      if (whole.plain !== true && whole.region.flushCoalesced) this.#coalescing.flushCoalesced();
      if (dispatchWholeWrite(this.#stream, this.cpu, whole, data, at, length) === MEMTX_OK) return MEMTX_OK;
    }
    let result = MEMTX_OK;
    let done = 0;
    let odd: OddAccess['why'] | undefined;
    let crosses = false;
    while (done < length) {
      const view = this.#view;
      const range = view.lookup(address + done);
      if (range?.region.plainRam) {
        const size = Math.min(length - done, range.end - address - done);
        result |= this.#writeRam(range, address + done, data, at + done, size);
        done += size;
        continue;
      }
      const region = range === undefined ? this.#hole : range.region;
      const offset = range === undefined ? address + done : address + done - range.start + range.offset;
      if (region.flushCoalesced) this.#coalescing.flushCoalesced();
      const size = region.rules!.cut(within(range, address + done, length - done), offset);
      const outcome = dispatchWrite(this.#stream, this.cpu, region, offset, size, data, at + done);
      if (done > 0) crosses ||= this.#crosses(range, address);
      else if (outcome !== MEMTX_OK || region.unassigned) odd = oddness(outcome, region);
      // The callback may have changed what is where.
      else if (size === length && this.#view === view) this.#whole.remember(address, length, region, offset);
      result |= outcome;
      done += size;
    }
    if (odd !== undefined || crosses) this.#tell(crosses ? 'crossing' : odd!, address, length, true, result);
    return result;
  }

  /** RAM is the only kind whose length is clipped to its section. Returns the bytes done. */
  #readRam(range: FlatRange, address: number, data: DataView, at: number, length: number): number {
    const size = Math.min(length, range.end - address);
    const host = hva(range.region.host! + range.offset + (address - range.start));
    new Uint8Array(data.buffer, data.byteOffset + at, size).set(this.#memory.read(host, size));
    return size;
  }

  #writeRam(range: FlatRange, address: number, data: DataView, at: number, size: number): number {
    const offset = range.offset + (address - range.start);
    // memory_access_is_direct asks the RAM itself: where only an alias of it is read-only, QEMU's own writes go through.
    if (range.region.readonly) {
      const region = range.region.name;
      const { name: space, device } = this;
      this.onOddAccess?.({ space, device, address, offset, size, write: true, why: 'read-only', region });
      return MEMTX_DECODE_ERROR;
    }
    const host = hva(range.region.host! + offset);
    if (range.region.logged) range.region.noteWrite(offset, size);
    this.#memory.write(host, new Uint8Array(data.buffer, data.byteOffset + at, size).slice());
    return MEMTX_OK;
  }

  /** One word about an access, however many pieces it had: what its first piece met, or that it went on elsewhere. */
  #tell(why: OddAccess['why'], address: number, size: number, write: boolean, result: number): void {
    const { name: space, device } = this;
    if (this.onOddAccess === undefined || (why === 'crossing' && device !== undefined && result === MEMTX_OK)) return;
    const first = this.#view.lookup(address);
    const region = isNothing(first) ? undefined : first!.region.name;
    const offset = first === undefined ? address : first.offset + (address - first.start);
    this.onOddAccess({ space, device, address, offset, size, write, why, region });
  }

  /** Whether a further piece, in `range`, of an access to `address` lies in another region than the first; from nothing to nothing is one. */
  #crosses(range: FlatRange | undefined, address: number): boolean {
    const first = this.#view.lookup(address);
    return first !== range && !(isNothing(first) && isNothing(range));
  }
}

/** address_space_translate_internal: RAM's accesses end with its section, a mapped device's as well; registers' do not. */
const within = (range: FlatRange | undefined, address: number, length: number): number =>
  range?.region.kind === 'ram-device' ? Math.min(length, range.end - address) : length;

const isNothing = (range: FlatRange | undefined): boolean => range === undefined || range.region.unassigned;

/** Why an access of which this came is odd. */
function oddness(outcome: number, region: MemoryRegion): OddAccess['why'] {
  if (region.unassigned) return 'nothing';
  return outcome & MEMTX_ACCESS_ERROR ? 'nested' : 'refused';
}

/** flat_range_coalesced_io_add, _del: the parts of the range whose writes may be collected. */
function tellCoalesced(range: FlatRange, tell: (start: number, size: number) => void): void {
  for (const { offset, size } of range.region.coalesced) {
    const start = Math.max(range.start, range.start + offset - range.offset);
    const end = Math.min(range.end, range.start + offset + size - range.offset);
    if (start < end) tell(start, end - start);
  }
}
