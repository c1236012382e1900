import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Hva, hva, PAGE_SIZE } from '../../../src/address.ts';
import { OpenFile } from '../../../src/linux/core/file.ts';
import { MMAP_BASE, TASK_SIZE } from '../../../src/linux/core/mm.ts';
import { copyFromUser, copyToUser, stringFromUser } from '../../../src/linux/core/uaccess.ts';
import { EFAULT, EINVAL, ENODEV, ENOMEM } from '../../../src/linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_HUGE_1GB,
  MAP_HUGE_2MB,
  MAP_HUGE_SHIFT,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDWR,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/linux/uapi/syscalls.ts';
import { boot } from './machine.ts';

const RW = PROT_READ | PROT_WRITE;
const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS;

function machine() {
  const kernel = boot();
  const { process } = kernel.spawn('test', () => {});
  kernel.current = process;
  const map = (pages: number, protection = RW) =>
    process.mm.mmap(pages * PAGE_SIZE, protection, ANONYMOUS, undefined, 0) as Hva;
  return { kernel, process, mm: process.mm, map };
}

test('mappings go to the highest gap, top down', () => {
  const { mm, map } = machine();
  const first = map(4);
  const second = map(1);
  expect(first).toBe(MMAP_BASE - 4 * PAGE_SIZE);
  expect(second).toBe(first - PAGE_SIZE);
  expect(mm.munmap(first, 2 * PAGE_SIZE)).toBe(0);
  expect(map(1)).toBe(first + PAGE_SIZE);
  expect(map(2)).toBe(second - 2 * PAGE_SIZE);
});

test.each([
  ['the default', 0, 0],
  ['2 MiB', MAP_HUGE_2MB, 0],
  ['1 GiB, which nobody has set aside', MAP_HUGE_1GB, -ENOMEM],
  ['16 MiB, which x86 has not', 24 << MAP_HUGE_SHIFT, -EINVAL],
])('large pages of %s', (_name, size, error) => {
  const { kernel, mm } = machine();
  kernel.hugePages.ofSize(21)!.resize(1);
  const at = mm.mmap(2 ** 21, RW, ANONYMOUS | MAP_HUGETLB | size, undefined, 0);
  expect(error === 0 ? at % 2 ** 21 : at).toBe(error);
  if (error === 0) expect(mm.mappingLevel(at as Hva)).toBe(2);
});

test('anonymous pages appear at the first touch, zeroed, and go with the mapping', () => {
  const { kernel, mm, map } = machine();
  const at = map(3);
  expect(kernel.pages.used).toBe(0);
  const frame = mm.frame(at + PAGE_SIZE + 5, true);
  expect(kernel.pages.used).toBe(1);
  expect(mm.frame(at + PAGE_SIZE, false)).toBe(frame);
  mm.munmap(at, 3 * PAGE_SIZE);
  expect(kernel.pages.used).toBe(0);
  expect(mm.frame(at + PAGE_SIZE, false)).toBe(-EFAULT);
});

test('a mapping of 32 TiB with three pages in it: they go with the part that they lie in, in no time', () => {
  const { kernel, mm, map } = machine();
  const bytes = 2 ** 45;
  const at = map(bytes / PAGE_SIZE);
  const places = [at, at + bytes / 2, at + bytes - PAGE_SIZE];
  const frames = places.map((place) => mm.frame(place, true));
  expect(mm.munmap(at + bytes / 4, bytes / 2 + PAGE_SIZE)).toBe(0);
  expect(places.map((place) => mm.frame(place, false))).toEqual([frames[0], -EFAULT, frames[2]]);
  expect(kernel.pages.used).toBe(2);
  mm.release();
  expect(kernel.pages.used).toBe(0);
});

test('protection is minded: read-only refuses writes, PROT_NONE both', () => {
  const { mm, map } = machine();
  const readOnly = map(1, PROT_READ);
  expect(mm.frame(readOnly, true)).toBe(-EFAULT);
  expect(mm.frame(readOnly, false)).toBeGreaterThan(0);
  expect(mm.frame(readOnly, true)).toBe(-EFAULT);
  expect(mm.frame(map(1, PROT_NONE), false)).toBe(-EFAULT);
});

test.each([
  ['length 0', 0, ANONYMOUS, 0, EINVAL],
  ['neither shared nor private', 4096, MAP_ANONYMOUS, 0, EINVAL],
  ['shared and private', 4096, ANONYMOUS | MAP_SHARED, 0, EINVAL],
  ['unaligned offset', 4096, ANONYMOUS, 5, EINVAL],
  ['no room', TASK_SIZE, ANONYMOUS, 0, ENOMEM],
])('mmap refuses: %s', (_case, length, flags, offset, errno) => {
  expect(machine().mm.mmap(length, RW, flags, undefined, offset)).toBe(-errno);
});

test.each([
  ['unaligned', MMAP_BASE + 1, 4096],
  ['length 0', MMAP_BASE, 0],
  ['kernel space', TASK_SIZE, 4096],
])('munmap refuses with EINVAL: %s', (_case, address, length) => {
  expect(machine().mm.munmap(address, length)).toBe(-EINVAL);
});

test('the mmu notifier is told before pages go, and no more after it left', () => {
  const { mm, map } = machine();
  const told: [number, number, number][] = [];
  const leave = mm.onInvalidate((start, length) => told.push([start, length, mm.frame(start, false)]));
  const at = map(4);
  const frame = mm.frame(at + PAGE_SIZE, true);
  mm.munmap(at + PAGE_SIZE, PAGE_SIZE);
  expect(told).toEqual([[at + PAGE_SIZE, PAGE_SIZE, frame]]);
  leave();
  mm.munmap(at, PAGE_SIZE);
  expect(told).toHaveLength(1);
});

test('a file maps its own frames; the mapping keeps it open, also in pieces', () => {
  const { kernel, process, mm } = machine();
  const frames = [kernel.pages.allocate(), kernel.pages.allocate(), kernel.pages.allocate()];
  let released = 0;
  const file = new OpenFile(
    'anon_inode:shared',
    {
      mmap: (_file, vma) => {
        vma.fault = (page) => frames[page] ?? -EINVAL;
        return 0;
      },
      release: () => {
        released++;
      },
    },
    O_RDWR,
    undefined,
  );
  const fd = process.files.install(file);
  const at = mm.mmap(3 * PAGE_SIZE, RW, MAP_SHARED, file, 0);
  process.files.close(fd);
  mm.munmap(at + PAGE_SIZE, PAGE_SIZE);
  expect(mm.frame(at, true)).toBe(frames[0]);
  expect(mm.frame(at + 2 * PAGE_SIZE, true)).toBe(frames[2]);
  mm.munmap(at, PAGE_SIZE);
  expect(released).toBe(0);
  process.exit();
  expect(released).toBe(1);
  expect(kernel.pages.used).toBe(3);
});

test('a file without mmap is ENODEV', () => {
  const { mm } = machine();
  expect(mm.mmap(4096, RW, MAP_SHARED, new OpenFile('/x', {}, O_RDWR, undefined), 0)).toBe(-ENODEV);
});

test('copies cross pages and stop at a hole with EFAULT', () => {
  const { kernel, mm, map } = machine();
  const at = map(3);
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i & 255);
  expect(copyToUser(kernel, at + 3000, bytes)).toBe(0);
  const back = new Uint8Array(5000);
  expect(copyFromUser(kernel, back, at + 3000)).toBe(0);
  expect(back).toEqual(bytes);
  mm.munmap(at + 2 * PAGE_SIZE, PAGE_SIZE);
  expect(copyToUser(kernel, at + 2 * PAGE_SIZE - 4, new Uint8Array(8).fill(7))).toBe(-EFAULT);
  expect(copyFromUser(kernel, new Uint8Array(8), 0)).toBe(-EFAULT);
  expect(copyFromUser(kernel, new Uint8Array(8), -1)).toBe(-EFAULT);
  // What lies in the page below zero is nothing, and not what an empty place of the look-aside cache is taken for.
  expect(copyFromUser(kernel, new Uint8Array(8), -4000)).toBe(-EFAULT);
  expect(copyToUser(kernel, -4000, new Uint8Array(8))).toBe(-EFAULT);
  // Nothing may be copied from and to anywhere in user space.
  for (const address of [at, 0]) {
    expect(copyFromUser(kernel, new Uint8Array(0), address)).toBe(0);
    expect(copyToUser(kernel, address, new Uint8Array(0))).toBe(0);
  }
});

test('strings end at NUL, at the limit or at a hole', () => {
  const { kernel, map } = machine();
  const at = map(1);
  copyToUser(kernel, at, new TextEncoder().encode('0000:06:0d.0\0'));
  expect(stringFromUser(kernel, at, 64)).toBe('0000:06:0d.0');
  expect(stringFromUser(kernel, at, 12)).toBe(-EINVAL);
  copyToUser(kernel, at + PAGE_SIZE - 2, new Uint8Array([65, 66]));
  expect(stringFromUser(kernel, hva(at + PAGE_SIZE - 2), 64)).toBe(-EFAULT);
});

test('any sequence of mmap, write and munmap agrees with a simple model, and exit gives every frame back', () => {
  const step = fc.oneof(
    fc.record({ map: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ unmap: fc.nat(40), pages: fc.integer({ min: 1, max: 8 }) }),
    fc.record({ write: fc.nat(40), value: fc.integer({ min: 1, max: 255 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { kernel, process, mm } = machine();
      // Page number below MMAP_BASE to the value of its first byte.
      const model = new Map<number, number>();
      const addressOf = (page: number) => hva(MMAP_BASE - (page + 1) * PAGE_SIZE);
      for (const taken of steps) {
        if ('map' in taken) {
          const at = mm.mmap(taken.map * PAGE_SIZE, RW, ANONYMOUS, undefined, 0);
          for (let i = 0; i < taken.map; i++) {
            const page = (MMAP_BASE - at) / PAGE_SIZE - 1 - i;
            expect(model.has(page)).toBe(false);
            model.set(page, 0);
          }
        } else if ('unmap' in taken) {
          expect(mm.munmap(addressOf(taken.unmap), taken.pages * PAGE_SIZE)).toBe(0);
          for (let i = 0; i < taken.pages; i++) model.delete(taken.unmap - i);
        } else {
          const written = copyToUser(kernel, addressOf(taken.write), new Uint8Array([taken.value]));
          expect(written).toBe(model.has(taken.write) ? 0 : -EFAULT);
          if (written === 0) model.set(taken.write, taken.value);
        }
        for (let page = 0; page < 48; page++) {
          const byte = new Uint8Array(1);
          const read = copyFromUser(kernel, byte, addressOf(page));
          expect(read === 0 ? byte[0] : undefined).toBe(model.get(page));
        }
      }
      process.exit();
      expect(kernel.pages.used).toBe(0);
    }),
    { numRuns: 60 },
  );
});
