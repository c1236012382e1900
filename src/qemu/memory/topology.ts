/** The memory core of one machine: makes regions and address spaces, and renders them when a transaction ends. */

import type { Hva } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { UserMemory } from '../../linux/uapi/syscalls.ts';
import { AddressSpace } from './address-space.ts';
import { MemoryRegion, type MemoryRegionOps, type Transactions } from './region.ts';

export class MemoryTopology implements Transactions {
  readonly #memory: UserMemory;
  readonly #stream: EventStream;
  readonly #spaces: AddressSpace[] = [];
  #depth = 0;

  constructor(memory: UserMemory, stream: EventStream) {
    this.#memory = memory;
    this.#stream = stream;
  }

  /** memory_region_init: no answer of its own, only a place for others. */
  container(name: string, size: number): MemoryRegion {
    return new MemoryRegion(this, 'container', name, size);
  }

  /** memory_region_init_io. */
  io(name: string, size: number, ops: MemoryRegionOps): MemoryRegion {
    const wide = ops.impl.max === 8 || ops.impl.min === 8;
    if (wide && (ops.readWide === undefined || ops.writeWide === undefined)) {
      throw new Error(`memory region '${name}' declares 8-byte accesses without readWide and writeWide`);
    }
    return new MemoryRegion(this, 'io', name, size, { ops });
  }

  /** memory_region_init_ram: `host` is the mapping that backs it. */
  ram(name: string, size: number, host: Hva, readonly = false): MemoryRegion {
    return new MemoryRegion(this, 'ram', name, size, { host, readonly });
  }

  /** memory_region_init_alias: a window of `size` bytes on `target`, from `offset`. */
  alias(name: string, target: MemoryRegion, offset: number, size: number): MemoryRegion {
    return new MemoryRegion(this, 'alias', name, size, { alias: target, aliasOffset: offset });
  }

  /** address_space_init. */
  addressSpace(name: string, root: MemoryRegion): AddressSpace {
    const space = new AddressSpace(name, root, this.#memory, this.#stream);
    this.#spaces.push(space);
    return space;
  }

  begin(): void {
    this.#depth++;
  }

  commit(): void {
    if (--this.#depth > 0) return;
    for (const space of this.#spaces) space.update();
    for (const space of this.#spaces) space.committed();
  }

  /** Several changes, rendered once at the end of the outermost transaction. */
  transaction(change: () => void): void {
    this.begin();
    change();
    this.commit();
  }
}
