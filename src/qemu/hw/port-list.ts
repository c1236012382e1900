/**
 * Byte-wide ports side by side, as QEMU's lists of ports have them (softmmu/ioport.c: portio_read, portio_write): a word is made of two
 * of them, with ones where the second is nobody's; a dword reads as ones and writes nothing.
 */

import { type MemoryRegionOps, sizes } from '../memory/region.ts';

/** The callbacks of a region with `length` ports; `read` and `write` get offsets in it. */
export const portList = (
  length: number,
  read: (offset: number) => number,
  write: (offset: number, value: number) => void,
): MemoryRegionOps => ({
  read(offset, size) {
    if (size === 4) return 0xffff_ffff;
    if (size === 1) return read(offset);
    return read(offset) | ((offset + 1 < length ? read(offset + 1) : 0xff) << 8);
  },
  write(offset, size, value) {
    if (size === 4) return;
    write(offset, value & 0xff);
    if (size === 2 && offset + 1 < length) write(offset + 1, value >> 8);
  },
  valid: sizes(0, 0, true),
  impl: sizes(0, 0, true),
});
