/** KVM_SET_USER_MEMORY_REGION: the order of its checks, overlap, and what counts as a generation. */

import { describe, expect, test } from 'vitest';
import { EEXIST, EINVAL } from '../../../src/linux/uapi/errno.ts';
import { Bench } from './bench.ts';

const PAGE = 4096;
const READONLY = 2;
const LOG_DIRTY = 1;

describe('checks', () => {
  const bench = new Bench();
  const hva = bench.qemu.map(16 * PAGE);
  test.each([
    ['a slot number of KVM’s own', 32764, 0, PAGE, hva, 0, -EINVAL],
    ['unknown flags', 0, 0, PAGE, hva, 4, -EINVAL],
    ['half a page', 0, 0, PAGE / 2, hva, 0, -EINVAL],
    ['an unaligned guest address', 0, 0x800, PAGE, hva, 0, -EINVAL],
    ['an unaligned user address', 0, 0, PAGE, hva + 8, 0, -EINVAL],
    ['a kernel address', 0, 0, PAGE, 2 ** 47, 0, -EINVAL],
    ['address space 2', 0x20000, 0, PAGE, hva, 0, -EINVAL],
    ['deleting what is not there', 5, 0, 0, hva, 0, -EINVAL],
    ['above the highest physical address', 0, 2 ** 46, PAGE, hva, 0, -EINVAL],
    ['the last page below it', 1, 2 ** 46 - PAGE, PAGE, hva, 0, 0],
    ['memory that is not mapped: found out at the first access', 2, 0x100000, PAGE, 0x10000, 0, 0],
  ] as const)('%s', (_name, slot, gpa, size, user, flags, result) => {
    expect(bench.setSlot(slot, gpa, size, user, flags)).toBe(result);
  });

  test('an address that wraps', () => {
    expect(
      bench.vm.memslots.setUserRegion({
        slot: 0,
        flags: 0,
        guest_phys_addr: 0xffff_ffff_ffff_f000n,
        memory_size: 4096n,
        userspace_addr: BigInt(hva),
      }),
    ).toBe(-EINVAL);
  });
});

describe('changes', () => {
  const setUp = () => {
    const bench = new Bench();
    const hva = bench.qemu.map(16 * PAGE);
    expect(bench.setSlot(0, 0x10000, 4 * PAGE, hva)).toBe(0);
    return { bench, hva, generation: () => bench.vm.memslots.generation() };
  };

  test('the address spaces count 0, 2, 4 … and 1, 3, 5 …', () => {
    const { bench, hva, generation } = setUp();
    expect(generation()).toBe(2);
    expect(bench.vm.memslots.generation(1)).toBe(1);
    expect(bench.setSlot(0x10000, 0x10000, PAGE, hva)).toBe(0);
    expect([generation(), bench.vm.memslots.generation(1)]).toEqual([2, 3]);
  });

  test('a move that is refused behind its overlaps has unmapped the slot, and made two generations', () => {
    // kvm_main.c: kvm_set_memslot
    const { bench, hva, generation } = setUp();
    bench.listen('kvm_mmu_zap_all_fast');
    expect(bench.setSlot(0, 2 ** 46, 4 * PAGE, hva)).toBe(-EINVAL);
    expect([generation(), bench.events.length]).toEqual([6, 1]);
    expect(bench.vm.memslots.get(0)!.baseGfn).toBe(0x10);
    expect(bench.setSlot(1, 2 ** 46, 4 * PAGE, hva)).toBe(-EINVAL);
    expect([generation(), bench.events.length]).toEqual([6, 1]);
  });

  test('the same again changes nothing, not even the generation', () => {
    const { bench, hva, generation } = setUp();
    expect(bench.setSlot(0, 0x10000, 4 * PAGE, hva)).toBe(0);
    expect(generation()).toBe(2);
  });

  test('flags count once, moving and deleting twice', () => {
    const { bench, hva, generation } = setUp();
    expect(bench.setSlot(0, 0x10000, 4 * PAGE, hva, LOG_DIRTY)).toBe(0);
    expect(generation()).toBe(4);
    expect(bench.setSlot(0, 0x20000, 4 * PAGE, hva, LOG_DIRTY)).toBe(0);
    expect(generation()).toBe(8);
    expect(bench.vm.memslots.find(0x10)).toBeUndefined();
    expect(bench.vm.memslots.find(0x23)?.id).toBe(0);
    expect(bench.setSlot(0, 0, 0, 0)).toBe(0);
    expect(generation()).toBe(12);
    expect(bench.vm.memslots.all()).toEqual([]);
  });

  test.each([
    ['other memory', 4 * PAGE, PAGE, 0],
    ['another size', 2 * PAGE, 0, 0],
    ['READONLY', 4 * PAGE, 0, READONLY],
  ])('%s needs a delete first', (_name, size, shift, flags) => {
    const { bench, hva } = setUp();
    expect(bench.setSlot(0, 0x10000, size, hva + shift, flags)).toBe(-EINVAL);
    expect(bench.setSlot(0, 0, 0, 0)).toBe(0);
    expect(bench.setSlot(0, 0x10000, size, hva + shift, flags)).toBe(0);
  });

  test('overlap with another slot is EEXIST, with itself a move, in another address space nothing', () => {
    const { bench, hva } = setUp();
    expect(bench.setSlot(1, 0x13000, PAGE, hva)).toBe(-EEXIST);
    expect(bench.setSlot(1, 0xf000, 2 * PAGE, hva)).toBe(-EEXIST);
    expect(bench.setSlot(1, 0x14000, PAGE, hva)).toBe(0);
    expect(bench.setSlot(0, 0x11000, 4 * PAGE, hva)).toBe(-EEXIST);
    expect(bench.setSlot(0, 0xe000, 4 * PAGE, hva)).toBe(0);
    expect(bench.setSlot(0x10000, 0xe000, PAGE, hva)).toBe(0);
  });

  test('all 32764 of them, in any order: each is found, and overlaps are', () => {
    const { bench, hva } = setUp();
    const number = 32764;
    // A step prime to the number visits each once.
    const place = (id: number) => 0x100000 + ((id * 12345) % number) * 2 * PAGE;
    for (let id = 1; id < number; id++) expect(bench.setSlot(id, place(id), PAGE, hva)).toBe(0);
    for (const id of [1, 2, 777, number - 1]) expect(bench.vm.memslots.find(place(id) / PAGE)?.id).toBe(id);
    expect(bench.vm.memslots.find(place(777) / PAGE + 1)).toBeUndefined();
    expect(bench.setSlot(0, place(777) - PAGE, 2 * PAGE, hva)).toBe(-EINVAL);
    for (const id of [777, 1]) expect(bench.setSlot(id, 0, 0, hva)).toBe(0);
    expect(bench.setSlot(1, place(777), PAGE, hva)).toBe(0);
    expect(bench.setSlot(2, place(777), PAGE, hva)).toBe(-EEXIST);
  });
});
