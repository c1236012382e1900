/** page_track: a tracked frame's writes are emulated and reported; large pages, slots and counts. */

import { expect, test } from 'vitest';
import { type Gpa, MiB } from '../../../src/address.ts';
import { EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import {
  kvm_page_track_register_notifier,
  kvm_page_track_unregister_notifier,
  kvm_slot_page_track_add_page,
  kvm_slot_page_track_remove_page,
} from '../../../src/linux/kvm/page-track-api.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { memoryAccess, store } from './scripted-cpu.ts';

const touch = (bench: Bench, gpa: number, write: boolean) =>
  bench.enter(memoryAccess(gpa, write, store(gpa, [7, 8])), memoryAccess(gpa, write, store(gpa, [7, 8])));

function tracked(hugetlb = false) {
  const bench = new Bench();
  bench.kernel.hugePages.ofSize(21)!.resize(1);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | (hugetlb ? MAP_HUGETLB : 0);
  const hva = bench.qemu.user.syscalls.mmap(MiB(2), 3, flags, -1, 0);
  bench.setSlot(0, MiB(2), MiB(2), hva);
  const seen: string[] = [];
  const notifier = {
    trackWrite: (gpa: Gpa, data: Uint8Array) => seen.push(`${gpa.toString(16)}: ${[...data]}`),
    trackFlushSlot: () => seen.push('flush'),
  };
  kvm_page_track_register_notifier(bench.vm, notifier);
  return { bench, hva, seen, notifier, slot: bench.vm.memslots.get(0)! };
}

test('a write faults, happens, and is reported with its bytes; reads run natively', () => {
  const { bench, seen, slot, hva } = tracked();
  touch(bench, MiB(2), true);
  kvm_slot_page_track_add_page(bench.vm, slot, 512);
  expect(bench.cpu.access(MiB(2), false)).toBeUndefined();
  expect(bench.cpu.access(MiB(2), true)).toBe(EXIT_REASON.EPT_VIOLATION);
  bench.enter(memoryAccess(MiB(2) + 16, true, store(MiB(2) + 16, [7, 8])));
  expect(seen).toEqual(['200010: 7,8']);
  expect([...bench.qemu.user.memory.read((hva + 16) as never, 2)]).toEqual([7, 8]);
});

test('tracking counts; after the last removal the next write maps the page writable', () => {
  const { bench, slot } = tracked();
  for (let i = 0; i < 2; i++) kvm_slot_page_track_add_page(bench.vm, slot, 512);
  kvm_slot_page_track_remove_page(bench.vm, slot, 512);
  touch(bench, MiB(2), false);
  expect(bench.cpu.access(MiB(2), true)).toBe(EXIT_REASON.EPT_VIOLATION);
  kvm_slot_page_track_remove_page(bench.vm, slot, 512);
  touch(bench, MiB(2), true);
  expect(bench.cpu.access(MiB(2), true)).toBeUndefined();
});

test('a large page with a tracked frame is protected whole; a write in it makes room for small ones, and no large one is made', () => {
  // mmu.c: kvm_mmu_slot_gfn_write_protect; tdp_mmu.c: kvm_tdp_mmu_map
  const { bench, slot } = tracked(true);
  touch(bench, MiB(2), true);
  const leafBytes = () => {
    bench.cpu.leaf(MiB(2));
    return bench.cpu.leafBytes;
  };
  expect(leafBytes()).toBe(MiB(2));
  kvm_slot_page_track_add_page(bench.vm, slot, 515);
  expect(leafBytes()).toBe(MiB(2));
  expect(bench.cpu.access(MiB(2) + 0x3000, false)).toBeUndefined();
  expect(bench.cpu.access(MiB(2), true)).toBe(EXIT_REASON.EPT_VIOLATION);
  bench.listen('kvm_tdp_mmu_spte_changed,kvm_mmu_split_huge_page');
  touch(bench, MiB(2), true);
  expect(leafBytes()).toBe(4096);
  expect(bench.events.map((text) => text.replace(/spte [0-9a-f]{4,}/g, 'spte …'))).toEqual([
    'kvm_tdp_mmu_spte_changed: as id 0 gfn 200 level 2 old_spte … new_spte 5a0',
    'kvm_tdp_mmu_spte_changed: as id 0 gfn 200 level 2 old_spte 0 new_spte …',
    'kvm_tdp_mmu_spte_changed: as id 0 gfn 200 level 1 old_spte 0 new_spte …',
  ]);
  expect(bench.cpu.access(MiB(2), true)).toBeUndefined();
  expect(bench.cpu.access(MiB(2) + 0x3000, false)).toBe(EXIT_REASON.EPT_VIOLATION);
});

test('deleting the slot tells the notifier; unregistered, it hears nothing', () => {
  const { bench, seen, notifier } = tracked();
  bench.setSlot(0, 0, 0, 0);
  expect(seen).toEqual(['flush']);
  kvm_page_track_unregister_notifier(bench.vm, notifier);
  bench.setSlot(0, 0, 4096, bench.qemu.map(4096));
  bench.setSlot(0, 0, 0, 0);
  expect(seen).toEqual(['flush']);
});
