/**
 * Memory regions: the tree from which QEMU renders an address space (docs/devel/memory.rst, softmmu/memory.c).
 *
 * A region is a container of others, device registers (io), RAM of this process, ROM, a device's own mapped memory, or a
 * window on another region (alias). Addresses and sizes are numbers: nothing a guest can reach lies above 2^52. A change to
 * the tree takes effect when the outermost transaction ends.
 */

import { type Hva, PAGE_SIZE } from '../../address.ts';
import { AccessRules, type AccessSizes } from './access-rules.ts';

export type { AccessSizes } from './access-rules.ts';

/**
 * Callbacks of an io region. Values are unsigned, but for a -1 that is read: all ones, to 64 bits in a trace. An access of
 * 8 bytes goes through the `Wide` pair.
 */
export interface MemoryRegionOps {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
  /** Needed where `impl.max` or `impl.min` is 8. */
  readWide?(offset: number): bigint;
  writeWide?(offset: number, value: bigint): void;
  /** valid.accepts: false refuses the access whatever its width. */
  accepts?(offset: number, size: number): boolean;
  /** Accesses the guest may make; others read 0 and write nothing. */
  readonly valid: AccessSizes;
  /** Accesses the callbacks take; the core splits or widens to them. */
  readonly impl: AccessSizes;
}

/** `{ min, max, unaligned }`, written short. */
export const sizes = (min: number, max: number, unaligned = false): AccessSizes => ({ min, max, unaligned });

/** mem_reentrancy_guard: a device that is being accessed is not accessed again, by its own DMA for instance. */
export interface ReentrancyGuard {
  engaged: boolean;
}

/** An eventfd that KVM signals instead of letting a write through: memory_region_add_eventfd. */
export interface RegionEventfd {
  /** In the region, in bytes. */
  readonly offset: number;
  /** 1, 2, 4 or 8 bytes; 0 for any width. */
  readonly size: number;
  /** Only writes of this value; undefined for every value. */
  readonly data: bigint | undefined;
  readonly fd: number;
}

/** Part of a region whose writes KVM may collect in its ring: memory_region_add_coalescing. */
export interface CoalescedRange {
  readonly offset: number;
  readonly size: number;
}

/** A file that serves a region by KVM's hand: offset 0 of the region is `offset` of the file. Experimental. */
export interface RegionFile {
  readonly fd: number;
  readonly offset: number;
}

/** Who renders the tree: a change is bracketed by begin and commit. */
export interface Transactions {
  begin(): void;
  /** The outermost commit renders every address space anew and tells the listeners. */
  commit(): void;
  /** Numbers a new region. */
  nextId(): number;
}

/**
 * `ram`: memory of this process (ROM if `readonly`). `rom-device`: read as memory, written by callbacks. `ram-device`: a
 * device's registers mapped into this process; the guest gets them as memory, QEMU itself accesses them by callbacks.
 */
export type RegionKind = 'container' | 'io' | 'ram' | 'rom-device' | 'ram-device' | 'alias';

/** What stands behind a region, by its kind. */
export interface RegionTarget {
  readonly ops?: MemoryRegionOps;
  readonly host?: Hva;
  readonly readonly?: boolean;
  /** Stands for nothing: what answers where there is no device. */
  readonly unassigned?: boolean;
  readonly guard?: ReentrancyGuard | undefined;
  readonly alias?: MemoryRegion;
  readonly aliasOffset?: number;
}

/** One node of the tree. Made by `MemoryTopology`'s methods, named as QEMU names it. */
export class MemoryRegion {
  /** Stands for `mr %p` in traces: order of creation. */
  readonly id: number;
  readonly kind: RegionKind;
  /** The kind is `ram`. Asked at every access, where the engine would look twice at a string. */
  readonly plainRam: boolean;
  readonly name: string;
  readonly size: number;
  readonly ops: MemoryRegionOps | undefined;
  /** What accesses the ops take. */
  readonly rules: AccessRules | undefined;
  /** Where its memory lies in this process. */
  readonly host: Hva | undefined;
  readonly guard: ReentrancyGuard | undefined;
  readonly unassigned: boolean;
  readonly alias: MemoryRegion | undefined;
  readonly aliasOffset: number;
  readonly #topology: Transactions;
  readonly #romDevice: boolean;
  #container: MemoryRegion | undefined;
  #address = 0;
  #priority = 0;
  #enabled = true;
  #readonly: boolean;
  #romd = true;
  #logged = false;
  #flushCoalesced = false;
  #ioregion: RegionFile | undefined;
  /** In rendering order: higher priority first, of equal ones the later added. */
  readonly #subregions: MemoryRegion[] = [];
  readonly #eventfds: RegionEventfd[] = [];
  /** Numbers of the pages that are known to have been written while its log was on. */
  readonly #written = new Set<number>();
  readonly #coalesced: CoalescedRange[] = [];

  constructor(topology: Transactions, kind: RegionKind, name: string, size: number, target: RegionTarget = {}) {
    this.#topology = topology;
    this.id = topology.nextId();
    this.kind = kind;
    this.plainRam = kind === 'ram';
    this.#romDevice = kind === 'rom-device';
    this.name = name;
    this.size = size;
    this.ops = target.ops;
    this.rules = target.ops && new AccessRules(target.ops);
    this.host = target.host;
    this.#readonly = target.readonly ?? false;
    this.guard = target.guard;
    this.unassigned = target.unassigned ?? false;
    this.alias = target.alias;
    this.aliasOffset = target.aliasOffset ?? 0;
  }

  get priority(): number {
    return this.#priority;
  }

  get address(): number {
    return this.#address;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  get container(): MemoryRegion | undefined {
    return this.#container;
  }

  get subregions(): readonly MemoryRegion[] {
    return this.#subregions;
  }

  get eventfds(): readonly RegionEventfd[] {
    return this.#eventfds;
  }

  get coalesced(): readonly CoalescedRange[] {
    return this.#coalesced;
  }

  get ioregion(): RegionFile | undefined {
    return this.#ioregion;
  }

  get readonly(): boolean {
    return this.#readonly;
  }

  /** Whether somebody wants to know which of its pages are written. */
  get logged(): boolean {
    return this.#logged;
  }

  /** Whether accesses end here: everything but a pure container and an alias. */
  get terminates(): boolean {
    return this.kind !== 'container' && this.kind !== 'alias';
  }

  /** memory_region_is_ram. */
  get isRam(): boolean {
    return this.kind === 'ram' || this.kind === 'ram-device';
  }

  /** romd_mode of a ROM device: reads go to its memory, not to its callbacks. */
  get romd(): boolean {
    return this.#romDevice && this.#romd;
  }

  /** memory_access_is_direct for a read: QEMU takes the bytes from its own memory. Hot. */
  get readsDirectly(): boolean {
    return this.plainRam || (this.#romDevice && this.#romd);
  }

  /** Whether an access must find KVM's coalesced ring empty. Hot. */
  get flushCoalesced(): boolean {
    return this.#flushCoalesced;
  }

  /** memory_region_add_subregion_overlap: `region` appears at `offset` of this one. */
  addSubregion(offset: number, region: MemoryRegion, priority = 0): void {
    if (region.#container !== undefined) throw new Error(`memory region '${region.name}' already has a container`);
    region.#container = this;
    region.#address = offset;
    region.#priority = priority;
    this.#topology.begin();
    const behind = this.#subregions.findIndex((other) => priority >= other.#priority);
    this.#subregions.splice(behind < 0 ? this.#subregions.length : behind, 0, region);
    this.#topology.commit();
  }

  /** memory_region_del_subregion. */
  deleteSubregion(region: MemoryRegion): void {
    if (region.#container !== this) throw new Error(`memory region '${region.name}' is not in '${this.name}'`);
    this.#topology.begin();
    region.#container = undefined;
    this.#subregions.splice(this.#subregions.indexOf(region), 1);
    this.#topology.commit();
  }

  /** memory_region_set_enabled: a disabled region is as if it were not there. */
  setEnabled(enabled: boolean): void {
    if (enabled === this.#enabled) return;
    this.#change(() => {
      this.#enabled = enabled;
    });
  }

  /** memory_region_set_readonly: RAM that the guest may only read, from now on. */
  setReadonly(readonly: boolean): void {
    if (readonly === this.#readonly) return;
    this.#change(() => {
      this.#readonly = readonly;
    });
  }

  /** memory_region_set_log: note which pages are written, for `AddressSpace.takeDirtyPages`. */
  setLog(logged: boolean): void {
    if (logged === this.#logged) return;
    this.#change(() => {
      this.#logged = logged;
    });
  }

  /** cpu_physical_memory_set_dirty_lebitmap: a bit for each page from `offset` on that has been written. */
  noteWritten(offset: number, bitmap: Uint8Array): void {
    for (let page = 0; page < bitmap.length * 8; page++) {
      if (((bitmap[page >> 3]! >> (page & 7)) & 1) !== 0) this.#written.add(offset / PAGE_SIZE + page);
    }
  }

  /** invalidate_and_set_dirty: this process itself writes `size` bytes at `offset`. */
  noteWrite(offset: number, size: number): void {
    for (let page = Math.floor(offset / PAGE_SIZE); page * PAGE_SIZE < offset + size; page++) this.#written.add(page);
  }

  /** Offsets of the pages noted so far, which are forgotten. */
  takeWritten(): readonly number[] {
    const pages = [...this.#written].sort((a, b) => a - b);
    this.#written.clear();
    return pages.map((page) => page * PAGE_SIZE);
  }

  /** memory_region_rom_device_set_romd. */
  setRomd(romd: boolean): void {
    if (romd === this.#romd) return;
    this.#change(() => {
      this.#romd = romd;
    });
  }

  /** memory_region_add_eventfd: takes effect wherever the region is visible. */
  addEventfd(eventfd: RegionEventfd): void {
    this.#change(() => this.#eventfds.push(eventfd));
  }

  /** memory_region_del_eventfd: `eventfd` is the object that was added. */
  deleteEventfd(eventfd: RegionEventfd): void {
    const at = this.#eventfds.indexOf(eventfd);
    if (at < 0) throw new Error(`memory region '${this.name}' has no such eventfd`);
    this.#change(() => this.#eventfds.splice(at, 1));
  }

  /**
   * memory_region_add_coalescing, before the region is added anywhere. An access that does reach the region finds the ring
   * flushed.
   */
  addCoalescing(offset: number, size: number): void {
    if (this.#container !== undefined) throw new Error(`memory region '${this.name}' is visible already`);
    this.#coalesced.push({ offset, size });
    this.#flushCoalesced = true;
  }

  /** Let a file serve the region, before it is added anywhere. */
  setIoregion(file: RegionFile): void {
    if (this.#container !== undefined) throw new Error(`memory region '${this.name}' is visible already`);
    this.#ioregion = file;
  }

  /** memory_region_set_flush_coalesced, before the region is added anywhere: accesses here need what was written elsewhere before them. */
  setFlushCoalesced(): void {
    if (this.#container !== undefined) throw new Error(`memory region '${this.name}' is visible already`);
    this.#flushCoalesced = true;
  }

  /** memory_region_to_absolute_addr: where `offset` of this region lies in its root, as traces print it. */
  absolute(offset: number): number {
    let address = offset + this.#address;
    for (let root = this.#container; root !== undefined; root = root.#container) address += root.#address;
    return address;
  }

  #change(change: () => void): void {
    this.#topology.begin();
    change();
    this.#topology.commit();
  }
}
