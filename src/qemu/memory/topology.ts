/** The memory core of one machine: makes regions and address spaces, and renders them when a transaction ends. */

import type { Hva } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { UserMemory } from '../../linux/uapi/syscalls.ts';
import { AddressSpace } from './address-space.ts';
import { ramDeviceOps } from './ram-device.ts';
import { MemoryRegion, type MemoryRegionOps, type ReentrancyGuard, type Transactions } from './region.ts';

export class MemoryTopology implements Transactions {
  readonly #memory: UserMemory;
  readonly #stream: EventStream;
  readonly #spaces: AddressSpace[] = [];
  #depth = 0;
  #regions = 0;
  /** qemu_flush_coalesced_mmio_buffer: do the writes that KVM has collected. Set by the accelerator. */
  flushCoalesced: () => void = () => undefined;

  constructor(memory: UserMemory, stream: EventStream) {
    this.#memory = memory;
    this.#stream = stream;
  }

  /** memory_region_init: no answer of its own, only a place for others. */
  container(name: string, size: number): MemoryRegion {
    return new MemoryRegion(this, 'container', name, size);
  }

  /** memory_region_init_io. `guard` is the owning device's. */
  io(name: string, size: number, ops: MemoryRegionOps, guard?: ReentrancyGuard): MemoryRegion {
    checkWide(name, ops);
    return new MemoryRegion(this, 'io', name, size, { ops, guard });
  }

  /** An io region that stands for nothing: ports nobody claims. */
  unassigned(name: string, size: number, ops: MemoryRegionOps): MemoryRegion {
    return new MemoryRegion(this, 'io', name, size, { ops, unassigned: true });
  }

  /** memory_region_init_ram: `host` is the mapping that backs it. */
  ram(name: string, size: number, host: Hva): MemoryRegion {
    return new MemoryRegion(this, 'ram', name, size, { host });
  }

  /** memory_region_init_rom: nothing writes it once it is made. */
  rom(name: string, size: number, host: Hva): MemoryRegion {
    return new MemoryRegion(this, 'ram', name, size, { host, readonly: true });
  }

  /** memory_region_init_rom_device: read as memory, written through `ops`; flash chips are such. */
  romDevice(name: string, size: number, host: Hva, ops: MemoryRegionOps): MemoryRegion {
    checkWide(name, ops);
    return new MemoryRegion(this, 'rom-device', name, size, { host, ops });
  }

  /** memory_region_init_ram_device_ptr: `host` is a mapping of a device's own memory. */
  ramDevice(name: string, size: number, host: Hva): MemoryRegion {
    return new MemoryRegion(this, 'ram-device', name, size, { host, ops: ramDeviceOps(this.#memory, host) });
  }

  /** memory_region_init_alias: a window of `size` bytes on `target`, from `offset`. */
  alias(name: string, target: MemoryRegion, offset: number, size: number): MemoryRegion {
    return new MemoryRegion(this, 'alias', name, size, { alias: target, aliasOffset: offset });
  }

  /** address_space_init. */
  addressSpace(name: string, root: MemoryRegion): AddressSpace {
    const space = new AddressSpace(name, root, this, this.#memory, this.#stream);
    this.#spaces.push(space);
    return space;
  }

  /** All address spaces, in order of creation. */
  get spaces(): readonly AddressSpace[] {
    return this.#spaces;
  }

  nextId(): number {
    return ++this.#regions;
  }

  begin(): void {
    if (this.#depth++ === 0) this.flushCoalesced();
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

function checkWide(name: string, ops: MemoryRegionOps): void {
  const wide = ops.impl.max === 8 || ops.impl.min === 8;
  if (wide && (ops.readWide === undefined || ops.writeWide === undefined)) {
    throw new Error(`memory region '${name}' declares 8-byte accesses without readWide and writeWide`);
  }
}
