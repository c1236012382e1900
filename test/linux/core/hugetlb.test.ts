/** Pools of large pages, and files in memory that may be made of them: what their numbers say, and what is refused. */

import { describe, expect, test } from 'vitest';
import { GiB, type Hva, hva, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { EBADF, EFAULT, EINVAL, ENODEV, ENOMEM } from '../../../src/linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_HUGE_1GB,
  MAP_HUGE_2MB,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/linux/uapi/syscalls.ts';
import { boot, program } from './machine.ts';

const RW = PROT_READ | PROT_WRITE;
const HUGE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
const folder = (size: number) => `/sys/kernel/mm/hugepages/hugepages-${size}kB`;

function user(kernel = boot()) {
  const shell = program(kernel);
  const count = (name: string, size = 2048) => Number(shell.cat(`${folder(size)}/${name}`));
  return {
    kernel,
    ...shell,
    resize: (pages: number | string, size = 2048) => shell.echo(`${folder(size)}/nr_hugepages`, `${pages}\n`, O_WRONLY),
    /** nr, free, reserved, surplus. */
    numbers: (size = 2048) => ['nr', 'free', 'resv', 'surplus'].map((name) => count(`${name}_hugepages`, size)),
    map: (bytes: number, more = 0) => shell.syscalls.mmap(bytes, RW, HUGE | more, -1, 0),
  };
}

describe('a pool', () => {
  test('has as many pages as it is told, and as there are', () => {
    const { kernel, resize, numbers } = user();
    resize(0);
    const { used } = kernel.pages;
    expect([resize(3), numbers()]).toEqual([2, [3, 3, 0, 0]]);
    expect([resize(1000), numbers()[0]! < 8]).toEqual([5, true]);
    expect([resize(0), numbers(), kernel.pages.used]).toEqual([2, [0, 0, 0, 0], used]);
    expect([resize('0x1'), resize('-1'), resize('')]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
  });

  test('promises a mapping its pages, and refuses one that it has too few for', () => {
    const { map, resize, numbers, memory, syscalls } = user();
    expect(map(MiB(2))).toBe(-ENOMEM);
    resize(3);
    const at = hva(map(MiB(4)));
    expect(numbers()).toEqual([3, 3, 2, 0]);
    expect(map(MiB(4))).toBe(-ENOMEM);
    memory.write(at, Uint8Array.of(1));
    expect(numbers()).toEqual([3, 2, 1, 0]);
    // A page that is promised stays, whatever is written.
    resize(0);
    expect(numbers()).toEqual([2, 1, 1, 2]);
    expect(syscalls.munmap(at, MiB(2))).toBe(0);
    expect(numbers()).toEqual([1, 1, 1, 1]);
    expect(syscalls.munmap((at + MiB(2)) as Hva, MiB(2))).toBe(0);
  });

  test('gives a page of zeros, also the second time', () => {
    const { map, resize, memory, syscalls } = user();
    resize(1);
    for (let time = 0; time < 2; time++) {
      const at = hva(map(MiB(2)));
      expect(memory.read((at + 12345) as Hva, 1)).toEqual(Uint8Array.of(0));
      memory.write((at + 12345) as Hva, Uint8Array.of(7));
      syscalls.munmap(at, MiB(2));
    }
  });

  test('gets a page back when the last who holds it lets it go', () => {
    const { process, map, resize, numbers, syscalls } = user();
    resize(1);
    const at = hva(map(MiB(2)));
    const frame = process.mm.pin(at + 4096, true);
    syscalls.munmap(at, MiB(2));
    expect(numbers()).toEqual([1, 0, 0, 0]);
    process.mm.unpin(frame as never);
    expect(numbers()).toEqual([1, 1, 0, 0]);
  });

  test('of 1 GiB needs a host that has one to spare', () => {
    const small = user();
    small.resize(1, 1048576);
    expect(small.numbers(1048576)).toEqual([0, 0, 0, 0]);
    const large = user(new Kernel({ memory: new PhysicalMemory(GiB(2)), stream: new EventStream(() => 0n) }));
    large.resize(0, 1048576);
    const { used } = large.kernel.pages;
    large.resize(2, 1048576);
    expect(large.numbers(1048576)).toEqual([1, 1, 0, 0]);
    const at = large.map(GiB(1), MAP_HUGE_1GB);
    expect(at % GiB(1)).toBe(0);
    large.memory.write((at + GiB(1) - 1) as Hva, Uint8Array.of(9));
    expect(large.process.mm.frame(at, true)).toBe(GiB(1));
    expect(large.process.mm.mappingLevel(at as Hva)).toBe(3);
    expect(large.kernel.memory.bytes[GiB(2) - 1]).toBe(9);
    // A frame in its middle is held as the whole.
    const held = large.process.mm.pin(at + MiB(700), true) as never;
    expect(large.syscalls.munmap((at + MiB(2)) as Hva, MiB(2))).toBe(-EINVAL);
    expect(large.syscalls.munmap(at as Hva, GiB(1))).toBe(0);
    expect(large.numbers(1048576)).toEqual([1, 0, 0, 0]);
    large.process.mm.unpin(held);
    large.resize(0, 1048576);
    expect([large.numbers(1048576), large.kernel.pages.used]).toEqual([[0, 0, 0, 0], used]);
    // What it was made of can be had in small pieces again.
    expect(large.kernel.pages.allocate(10)).toBe(GiB(1));
  });
});

describe('memfd_create', () => {
  test.each([
    ['unknown flags', 'x', 0x10, EINVAL],
    ['a size without MFD_HUGETLB', 'x', MAP_HUGE_2MB, EINVAL],
    ['a size that x86 has not', 'x', MFD_HUGETLB | (24 << 26), ENODEV],
    ['a long name', 'x'.repeat(250), 0, EINVAL],
  ])('refuses %s', (_case, name, flags, errno) => {
    expect(user().syscalls.memfd_create(name, flags)).toBe(-errno);
  });

  test('makes memory that mappings and reads share, and that goes with the last of them', () => {
    const { kernel, syscalls, memory, scratch } = user();
    memory.write(scratch, new TextEncoder().encode('shared memory'));
    const { used } = kernel.pages;
    const fd = syscalls.memfd_create('m', MFD_CLOEXEC);
    expect(syscalls.pwrite(fd, scratch, 13, 4090)).toBe(13);
    const [one, other] = [0, 0].map(() => hva(syscalls.mmap(8192, RW, MAP_SHARED, fd, 0)));
    memory.write((one! + 4090) as Hva, Uint8Array.of(0x53));
    expect(new TextDecoder().decode(memory.read((other! + 4090) as Hva, 13))).toBe('Shared memory');
    expect(syscalls.pread(fd, scratch, 100, 4096)).toBe(7);
    syscalls.close(fd);
    syscalls.munmap(one!, 8192);
    expect(memory.read((other! + 4090) as Hva, 1)).toEqual(Uint8Array.of(0x53));
    syscalls.munmap(other!, 8192);
    expect(kernel.pages.used).toBe(used);
  });

  test('ftruncate cuts off what mappings see; beyond the end is nothing', () => {
    const { process, syscalls, memory } = user();
    const fd = syscalls.memfd_create('m', 0);
    expect([syscalls.ftruncate(fd, 8192), syscalls.ftruncate(fd, -1), syscalls.ftruncate(99, 0)]).toEqual([
      0,
      -EINVAL,
      -EBADF,
    ]);
    expect(syscalls.ftruncate(syscalls.eventfd(0, 0), 0)).toBe(-EINVAL);
    const at = hva(syscalls.mmap(8192, RW, MAP_SHARED, fd, 0));
    memory.write((at + 4096) as Hva, Uint8Array.of(1));
    syscalls.ftruncate(fd, 4096);
    expect(process.mm.frame(at + 4096, false)).toBe(-EFAULT);
    syscalls.ftruncate(fd, 8192);
    expect(memory.read((at + 4096) as Hva, 1)).toEqual(Uint8Array.of(0));
  });

  test('of large pages: reserved by the first mapping, not by the second, whole pages only', () => {
    const { resize, numbers, process, syscalls, memory } = user();
    const fd = syscalls.memfd_create('m', MFD_HUGETLB);
    expect(syscalls.ftruncate(fd, MiB(4))).toBe(0);
    expect([syscalls.ftruncate(fd, 4096), syscalls.mmap(MiB(4), RW, MAP_SHARED, fd, 0)]).toEqual([-EINVAL, -ENOMEM]);
    resize(2);
    expect(syscalls.mmap(2 ** 46, RW, MAP_SHARED, fd, 0)).toBe(-ENOMEM);
    const at = hva(syscalls.mmap(MiB(4), RW, MAP_SHARED, fd, 0));
    expect(syscalls.mmap(MiB(2), RW, MAP_SHARED, fd, 4096)).toBe(-EINVAL);
    const second = hva(syscalls.mmap(4096, RW, MAP_SHARED, fd, MiB(2)));
    expect([numbers(), second % MiB(2), process.mm.mappingLevel(second)]).toEqual([[2, 2, 2, 0], 0, 2]);
    memory.write((at + MiB(2) + 5) as Hva, Uint8Array.of(5));
    expect(memory.read((second + 5) as Hva, 1)).toEqual(Uint8Array.of(5));
    syscalls.munmap(at, MiB(4));
    syscalls.munmap(second, MiB(2));
    expect(numbers()).toEqual([2, 1, 1, 0]);
    syscalls.close(fd);
    expect(numbers()).toEqual([2, 2, 0, 0]);
  });
});
