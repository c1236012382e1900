/** kvm_read_guest and kvm_write_guest: page splits, slots side by side, and where they stop (virt/kvm/kvm_main.c). */

import { describe, expect, test } from 'vitest';
import type { Gpa, Hva } from '../../../src/address.ts';
import { kvm_read_guest, kvm_write_guest } from '../../../src/linux/kvm/guest-memory.ts';
import { EFAULT } from '../../../src/linux/uapi/errno.ts';
import { Bench, User } from './bench.ts';

const gpa = (value: number) => value as Gpa;

/** Two slots side by side whose memory is not, a READONLY one, and one over nothing. */
function setUp() {
  const bench = new Bench();
  const low = bench.qemu.map(2 * 4096);
  const high = bench.qemu.map(4096);
  const rom = bench.qemu.map(4096);
  bench.setSlot(0, 0, 2 * 4096, low);
  bench.setSlot(1, 0x2000, 4096, high);
  bench.setSlot(2, 0x8000, 4096, rom, 2);
  bench.setSlot(3, 0x9000, 4096, 0x20000);
  bench.kernel.current = bench.qemu.process;
  return { bench, low, high, rom };
}

describe('kvm_read_guest', () => {
  // [gpa, length, result, bytes copied]
  test.each([
    [0x0, 0, 0, 0],
    [0x0, 16, 0, 16],
    [0xff8, 16, 0, 16],
    [0x1ff8, 16, 0, 16],
    [0x0, 0x3000, 0, 0x3000],
    [0x2ff8, 16, -EFAULT, 8],
    [0x3000, 1, -EFAULT, 0],
    [0xfebc0000, 4, -EFAULT, 0],
    [0x8ff8, 16, -EFAULT, 8],
    [0x8000, 8, 0, 8],
    [0x9000, 0, 0, 0],
  ])('%i, %i bytes: %i, %i copied', (at, length, result, copied) => {
    const { bench, low, high, rom } = setUp();
    for (const [start, pages] of [
      [low, 2],
      [high, 1],
      [rom, 1],
    ] as const)
      bench.qemu.user.memory.write(start, new Uint8Array(pages * 4096).fill(0xab));
    const buffer = new Uint8Array(length);
    expect(kvm_read_guest(bench.vm, gpa(at), buffer, length)).toBe(result);
    expect(buffer.filter((byte) => byte === 0xab)).toHaveLength(copied);
  });

  test('it reads the memory of the process it runs in: another process’s is EFAULT', () => {
    const { bench } = setUp();
    bench.kernel.current = new User(bench.kernel, 'kworker').process;
    bench.kernel.current.mm.release();
    expect(kvm_read_guest(bench.vm, gpa(0), new Uint8Array(4), 4)).toBe(-EFAULT);
  });

  test('something that is no kvm pointer is a bug of the driver', () => {
    expect(() => kvm_read_guest({}, gpa(0), new Uint8Array(1), 1)).toThrow(/kvm pointer/);
  });
});

describe('kvm_write_guest', () => {
  test('crosses slots', () => {
    const { bench, low, high } = setUp();
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    expect(kvm_write_guest(bench.vm, gpa(0x1ff8), bytes, 16)).toBe(0);
    expect(bench.qemu.user.memory.read((low + 0x1ff8) as Hva, 8)).toEqual(bytes.subarray(0, 8));
    expect(bench.qemu.user.memory.read(high, 8)).toEqual(bytes.subarray(8));
  });

  test.each([
    [0x8000, 4], // READONLY
    [0x9000, 4], // nothing mapped
    [0x2ffe, 4], // runs past the last slot
  ])('%i is EFAULT', (at, length) => {
    const { bench } = setUp();
    expect(kvm_write_guest(bench.vm, gpa(at), new Uint8Array(length), length)).toBe(-EFAULT);
  });
});
