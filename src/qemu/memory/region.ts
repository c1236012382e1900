/**
 * Memory regions: the tree from which QEMU renders an address space (docs/devel/memory.rst, softmmu/memory.c).
 *
 * A region is a container of others, device registers (io), RAM of this process, or a window on another region (alias).
 * Addresses and sizes are numbers: nothing a guest can reach lies above 2^52. A change to the tree takes effect when the
 * outermost transaction ends.
 */

import type { Hva } from '../../address.ts';

/** Widths of access in bytes. `max` 0 in `valid` means "any width is taken, and the core cuts at 4". */
export interface AccessSizes {
  readonly min: number;
  readonly max: number;
  readonly unaligned: boolean;
}

/** Callbacks of an io region. Values are unsigned; an access of 8 bytes goes through the `Wide` pair. */
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

/** Who renders the tree: a change is bracketed by begin and commit. */
export interface Transactions {
  begin(): void;
  /** The outermost commit renders every address space anew and tells the listeners. */
  commit(): void;
}

export type RegionKind = 'container' | 'io' | 'ram' | 'alias';
let created = 0;

/** One node of the tree. Made by {@link MemoryTopology}'s methods, named as QEMU names it. */
export class MemoryRegion {
  /** Stands for `mr %p` in traces: order of creation. */
  readonly id = ++created;
  readonly kind: RegionKind;
  readonly name: string;
  readonly size: number;
  readonly ops: MemoryRegionOps | undefined;
  /** RAM: where it lies in this process. */
  readonly host: Hva | undefined;
  readonly readonly: boolean;
  readonly alias: MemoryRegion | undefined;
  readonly aliasOffset: number;
  readonly #topology: Transactions;
  #container: MemoryRegion | undefined;
  #address = 0;
  #priority = 0;
  #enabled = true;
  /** In rendering order: higher priority first, of equal ones the later added. */
  readonly #subregions: MemoryRegion[] = [];

  constructor(
    topology: Transactions,
    kind: RegionKind,
    name: string,
    size: number,
    target: { ops?: MemoryRegionOps; host?: Hva; readonly?: boolean; alias?: MemoryRegion; aliasOffset?: number } = {},
  ) {
    this.#topology = topology;
    this.kind = kind;
    this.name = name;
    this.size = size;
    this.ops = target.ops;
    this.host = target.host;
    this.readonly = target.readonly ?? false;
    this.alias = target.alias;
    this.aliasOffset = target.aliasOffset ?? 0;
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

  /** Whether accesses end here: everything but a pure container and an alias. */
  get terminates(): boolean {
    return this.kind === 'io' || this.kind === 'ram';
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
    this.#topology.begin();
    this.#enabled = enabled;
    this.#topology.commit();
  }

  /** memory_region_to_absolute_addr: where `offset` of this region lies in its root, as traces print it. */
  absolute(offset: number): number {
    let address = offset + this.#address;
    for (let root = this.#container; root !== undefined; root = root.#container) address += root.#address;
    return address;
  }
}
