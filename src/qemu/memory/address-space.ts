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
import { dispatchRead, dispatchWrite, MEMTX_OK, memoryAccessSize } from './access.ts';
import { type FlatRange, FlatView, renderFlatView, sameRange } from './flat-view.ts';
import type { MemoryListener } from './listener.ts';
import { MemoryRegion, type MemoryRegionOps, sizes } from './region.ts';

/** unassigned_mem_ops: nothing is accepted, so reads give 0 and writes nothing, with a decode error. */
const unassignedMemory: MemoryRegionOps = {
  read: () => 0,
  write: () => undefined,
  accepts: () => false,
  valid: sizes(0, 0),
  impl: sizes(0, 0),
};

export class AddressSpace {
  readonly name: string;
  readonly root: MemoryRegion;
  readonly #memory: UserMemory;
  readonly #stream: EventStream;
  readonly #hole: MemoryRegion;
  readonly #listeners: MemoryListener[] = [];
  #view = new FlatView([]);
  /** get_cpu_index() of the accesses being made: -1 outside of a vCPU. */
  cpu = -1;

  constructor(name: string, root: MemoryRegion, memory: UserMemory, stream: EventStream) {
    this.name = name;
    this.root = root;
    this.#memory = memory;
    this.#stream = stream;
    const untracked = { begin() {}, commit() {} };
    this.#hole = new MemoryRegion(untracked, 'io', 'unassigned', 2 ** 64, { ops: unassignedMemory });
    this.#view = renderFlatView(root);
  }

  get view(): FlatView {
    return this.#view;
  }

  /** memory_listener_register: replays every range there is. */
  register(listener: MemoryListener): void {
    const behind = this.#listeners.findIndex((other) => listener.priority < other.priority);
    this.#listeners.splice(behind < 0 ? this.#listeners.length : behind, 0, listener);
    for (const range of this.#view.ranges) listener.regionAdd(range);
    listener.commit?.();
  }

  /** address_space_update_topology: first everything that went, then everything that came. */
  update(): void {
    const before = this.#view;
    const after = renderFlatView(this.root);
    this.#compare(before, after, false);
    this.#view = after;
    this.#compare(before, after, true);
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
        i++;
        j++;
      } else if (old !== undefined && (now === undefined || old.start <= now.start)) {
        if (!adding) for (const listener of [...this.#listeners].reverse()) listener.regionDelete(old);
        i++;
      } else {
        if (adding) for (const listener of this.#listeners) listener.regionAdd(now!);
        j++;
      }
    }
  }

  /** address_space_read: `length` bytes at `address` into `data` at `at`. Returns a MemTxResult, pieces ORed. Hot. */
  read(address: number, data: DataView, at: number, length: number): number {
    let result = MEMTX_OK;
    let done = 0;
    while (done < length) {
      const range = this.#view.lookup(address + done);
      if (range?.region.host !== undefined) {
        done += this.#readRam(range, address + done, data, at + done, length - done);
        continue;
      }
      const region = range === undefined ? this.#hole : range.region;
      const offset = range === undefined ? address + done : address + done - range.start + range.offset;
      const size = memoryAccessSize(region.ops!, length - done, offset);
      result |= dispatchRead(this.#stream, this.cpu, region, offset, size, data, at + done);
      done += size;
    }
    return result;
  }

  /** address_space_write. Hot. */
  write(address: number, data: DataView, at: number, length: number): number {
    let result = MEMTX_OK;
    let done = 0;
    while (done < length) {
      const range = this.#view.lookup(address + done);
      if (range?.region.host !== undefined) {
        done += this.#writeRam(range, address + done, data, at + done, length - done);
        continue;
      }
      const region = range === undefined ? this.#hole : range.region;
      const offset = range === undefined ? address + done : address + done - range.start + range.offset;
      const size = memoryAccessSize(region.ops!, length - done, offset);
      result |= dispatchWrite(this.#stream, this.cpu, region, offset, size, data, at + done);
      done += size;
    }
    return result;
  }

  /** RAM is the only kind whose length is clipped to its section. Returns the bytes done. */
  #readRam(range: FlatRange, address: number, data: DataView, at: number, length: number): number {
    const size = Math.min(length, range.end - address);
    const host = hva(range.region.host! + range.offset + (address - range.start));
    new Uint8Array(data.buffer, data.byteOffset + at, size).set(this.#memory.read(host, size));
    return size;
  }

  #writeRam(range: FlatRange, address: number, data: DataView, at: number, length: number): number {
    const size = Math.min(length, range.end - address);
    const host = hva(range.region.host! + range.offset + (address - range.start));
    if (!range.readonly) this.#memory.write(host, new Uint8Array(data.buffer, data.byteOffset + at, size).slice());
    return size;
  }
}
