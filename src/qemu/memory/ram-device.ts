/**
 * Memory of a device that is mapped into this process, as QEMU itself accesses it (softmmu/memory.c: ram_device_mem_ops):
 * with loads and stores of exactly the width asked for, since registers may stand behind it. The guest does not come here:
 * KVM has mapped it the same pages.
 */

import { type Hva, hva } from '../../address.ts';
import type { UserMemory } from '../../linux/uapi/syscalls.ts';
import { type MemoryRegionOps, sizes } from './region.ts';

/** Callbacks over the mapping at `host`. */
export function ramDeviceOps(memory: UserMemory, host: Hva): MemoryRegionOps {
  const bytes = new Uint8Array(8);
  const word = new DataView(bytes.buffer);
  const load = (offset: number, size: number) => bytes.set(memory.read(hva(host + offset), size));
  const store = (offset: number, size: number) => memory.write(hva(host + offset), bytes.slice(0, size));
  return {
    read(offset, size) {
      load(offset, size);
      return size === 1 ? bytes[0]! : size === 2 ? word.getUint16(0, true) : word.getUint32(0, true);
    },
    write(offset, size, value) {
      word.setUint32(0, value, true);
      store(offset, size);
    },
    readWide(offset) {
      load(offset, 8);
      return word.getBigUint64(0, true);
    },
    writeWide(offset, value) {
      word.setBigUint64(0, value, true);
      store(offset, 8);
    },
    valid: sizes(1, 8, true),
    impl: sizes(1, 8, true),
  };
}
