/** An address space over regions that record what their callbacks are given. */

import { EventStream } from '../../../src/event.ts';
import type { UserMemory } from '../../../src/linux/uapi/syscalls.ts';
import type { AddressSpace } from '../../../src/qemu/memory/address-space.ts';
import type { AccessSizes, MemoryRegion, MemoryRegionOps } from '../../../src/qemu/memory/region.ts';
import { MemoryTopology } from '../../../src/qemu/memory/topology.ts';

export const noMemory: UserMemory = {
  view: () => new Uint8Array(0),
  read: () => new Uint8Array(0),
  write() {},
};

/** `write 2 @6 = 0xbbaa`. */
export class Recorder {
  readonly calls: string[] = [];

  /** Callbacks that record; a read gives the low bytes of its offset counted up: 03 02 01 … */
  ops(name: string, valid: AccessSizes, impl: AccessSizes): MemoryRegionOps {
    const say = (what: string, size: number, offset: number, value: number | bigint) =>
      this.calls.push(`${name}: ${what} ${size} @${offset} = 0x${value.toString(16)}`);
    const pattern = (offset: number, size: number) =>
      Array.from({ length: size }, (_, i) => BigInt(offset + i) << BigInt(8 * i)).reduce((a, b) => a | b, 0n);
    return {
      read: (offset, size) => {
        const value = Number(pattern(offset, size));
        say('read', size, offset, value);
        return value;
      },
      write: (offset, size, value) => say('write', size, offset, value),
      readWide: (offset) => {
        const value = pattern(offset, 8);
        say('read', 8, offset, value);
        return value;
      },
      writeWide: (offset, value) => say('write', 8, offset, value),
      valid,
      impl,
    };
  }
}

export const topologyOf = () => new MemoryTopology(noMemory, new EventStream(() => 0n));

/** Write `size` bytes of `value` at `address`; returns the MemTxResult. */
export function write(space: AddressSpace, address: number, size: number, value: bigint): number {
  const data = new DataView(new ArrayBuffer(16));
  data.setBigUint64(0, value, true);
  return space.write(address, data, 0, size);
}

/** Read `size` bytes at `address` as an unsigned value. */
export function read(space: AddressSpace, address: number, size: number): bigint {
  const data = new DataView(new ArrayBuffer(16));
  space.read(address, data, 0, size);
  return data.getBigUint64(0, true);
}

export type { AddressSpace, MemoryRegion };
