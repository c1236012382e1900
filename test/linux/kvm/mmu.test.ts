/** EPT as KVM fills it: the entries' bits, faults, zapping, and that no change leaves a stale translation. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Gpa, type Hpa, type Hva, MiB } from '../../../src/address.ts';
import { EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import { slotHva } from '../../../src/linux/kvm/memslots.ts';
import {
  eptPointer,
  forbidWrite,
  leafSpte,
  mmioSpte,
  mmioSpteGeneration,
  partOfHugeSpte,
  tableSpte,
} from '../../../src/linux/kvm/spte.ts';
import type { KvmVcpu } from '../../../src/linux/kvm/vcpu.ts';
import { EFAULT } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { memoryAccess, store } from './scripted-cpu.ts';

const plain = { hostWritable: true, writeTracked: false, accessedDirty: true, device: false };

describe('entries (Linux 6.1 on VMX)', () => {
  test.each([
    ['EPTP: write-back, 4 levels, accessed and dirty bits', BigInt(eptPointer(0x5000 as Hpa, true)), 0x505en],
    ['EPTP without them', BigInt(eptPointer(0x5000 as Hpa, false)), 0x501en],
    ['table', tableSpte(0x5000 as Hpa, true), 0x5907n],
    ['table without A/D', tableSpte(0x5000 as Hpa, false), 0x0010_0000_0000_5807n],
    ['4K leaf', leafSpte(0x1234000 as Hpa, 1, plain), 0x0600_0000_0123_4b77n],
    ['device page', leafSpte(0xe000_1000 as Hpa, 1, { ...plain, device: true }), 0x0600_0000_e000_1b07n],
    ['2M leaf', leafSpte(0x1200000 as Hpa, 2, plain), 0x0600_0000_0120_0bf7n],
    ['4K leaf without A/D', leafSpte(0x1234000 as Hpa, 1, { ...plain, accessedDirty: false }), 0x0610_0000_0123_4877n],
    [
      '4K leaf of a read-only host page',
      leafSpte(0x1234000 as Hpa, 1, { ...plain, hostWritable: false }),
      0x0000_0000_0123_4975n,
    ],
    [
      '4K leaf of a tracked page',
      leafSpte(0x1234000 as Hpa, 1, { ...plain, writeTracked: true }),
      0x0200_0000_0123_4975n,
    ],
    [
      '4K leaf, write-protected by dirty logging',
      forbidWrite(leafSpte(0x1234000 as Hpa, 1, plain)),
      0x0600_0000_0123_4b75n,
    ],
    ['third 4K part of a 2M leaf', partOfHugeSpte(leafSpte(0x1200000 as Hpa, 2, plain), 1, 2), 0x0600_0000_0120_2b77n],
    ['third 2M part of a 1G leaf', partOfHugeSpte(leafSpte(0x40000000 as Hpa, 3, plain), 2, 2), 0x0600_0000_4040_0bf7n],
    ['MMIO, generation 0x12', mmioSpte(0xfebc0123 as Gpa, 0x12), 0xfebc0096n],
    ['MMIO, generation 0x100: the next bit is 52', mmioSpte(0xfebc0000 as Gpa, 0x100), 0x0010_0000_febc_0006n],
    ['MMIO, all bits of the generation', mmioSpte(0 as Gpa, 0x7ffff), 0x7ff0_0000_0000_07fen],
  ])('%s', (_name, entry, expected) => {
    expect(entry).toBe(expected);
  });

  test('the generation is 19 bits and comes back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 30 }), (generation) => {
        expect(mmioSpteGeneration(mmioSpte(0xfebc0000 as Gpa, generation))).toBe(generation % 2 ** 19);
      }),
    );
  });
});

/** One access that must end in RAM: enter until it goes through. */
const touch = (bench: Bench, gpa: number, write = true) => bench.enter(memoryAccess(gpa, write, () => 'undecodable'));

describe('faults', () => {
  test('memory is mapped page by page at its first touch, with the events', () => {
    const bench = new Bench();
    const hva = bench.qemu.map(4 * 4096);
    bench.setSlot(0, 0x100000, 4 * 4096, hva);
    bench.listen('kvm_mmu_s*');
    expect(touch(bench, 0x102abc)).toBe(0);
    const frame = bench.qemu.process.mm.frame((hva + 0x2000) as Hva, true) as number;
    expect(bench.cpu.leaf(0x102000)).toBe(leafSpte(frame as Hpa, 1, plain));
    expect(bench.cpu.leaf(0x101000)).toBe(0n);
    const pfn = (frame / 4096).toString(16);
    const spte = leafSpte(frame as Hpa, 1, plain).toString(16);
    expect(bench.events[0]).toBe(`kvm_mmu_spte_requested: gfn 102 pfn ${pfn} level 1`);
    expect(bench.events[1]).toMatch(
      new RegExp(`^kvm_mmu_set_spte: gfn 102 spte ${spte} \\(rwxu\\) level 1 at [0-9a-f]+$`),
    );
  });

  test('a slot over memory that is not mapped: KVM_RUN fails with EFAULT', () => {
    const bench = new Bench();
    bench.setSlot(0, 0, 4096, 0x20000);
    bench.listen('kvm_userspace_exit');
    expect(touch(bench, 0)).toBe(-EFAULT);
    expect(bench.events).toEqual(['kvm_userspace_exit: reason error (14)']);
  });

  test('munmap of a slot’s memory takes its entries away', () => {
    const bench = new Bench();
    const hva = bench.qemu.map(2 * 4096);
    bench.setSlot(0, 0, 2 * 4096, hva);
    touch(bench, 0);
    touch(bench, 0x1000);
    bench.listen('kvm_unmap_hva_range');
    bench.qemu.user.syscalls.munmap((hva + 4096) as Hva, 4096);
    expect(bench.events).toHaveLength(1);
    expect(bench.cpu.leaf(0)).not.toBe(0n);
    expect(bench.cpu.leaf(0x1000)).toBe(0n);
    expect(bench.cpu.access(0x1000, false)).toBe(EXIT_REASON.EPT_VIOLATION);
    expect(touch(bench, 0x1000)).toBe(-EFAULT);
  });

  test('deleting a slot drops the whole tree and its pages', () => {
    const bench = new Bench();
    const hva = bench.qemu.map(4096);
    const other = bench.qemu.map(4096);
    bench.setSlot(0, 0, 4096, hva);
    bench.setSlot(1, 0x200000, 4096, other);
    touch(bench, 0);
    touch(bench, 0x200000);
    const used = bench.kernel.pages.used;
    bench.listen('kvm_mmu_zap_all_fast');
    bench.setSlot(1, 0, 0, 0);
    expect(bench.kernel.pages.used).toBe(used - 5); // root, two upper tables, two leaf tables
    expect(bench.events).toEqual(['kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 0 used_pages 0']);
    touch(bench, 0);
    expect(bench.cpu.access(0, true)).toBeUndefined();
  });

  test('… and tells of it entry by entry: what is below 1 GiB first, and all entries of a table that goes', () => {
    // tdp_mmu.c: tdp_mmu_zap_root, handle_removed_pt
    const bench = new Bench();
    bench.setSlot(0, 0x200000, 4096, bench.qemu.map(4096));
    touch(bench, 0x200000);
    bench.listen('kvm_tdp_mmu_spte_changed,kvm_mmu_prepare_zap_page');
    bench.setSlot(0, 0, 0, 0);
    const told = bench.events.map((text) => text.replace(/old_spte [0-9a-f]{2,}/, 'old_spte …'));
    const page = (gfn: string, level: number) =>
      `kvm_mmu_prepare_zap_page: sp gen 0 gfn ${gfn} l${level} 8-byte q0 direct wux nxe ad root 0 sync`;
    const change = (gfn: string, level: number, before: string, after: string) =>
      `kvm_tdp_mmu_spte_changed: as id 0 gfn ${gfn} level ${level} old_spte ${before} new_spte ${after}`;
    expect(told.slice(0, 7)).toEqual([
      change('0', 3, '…', '0'),
      page('0', 2),
      change('0', 2, '0', '5a0'),
      change('200', 2, '…', '5a0'),
      page('200', 1),
      change('200', 1, '…', '5a0'),
      change('201', 1, '0', '5a0'),
    ]);
    // One change each of the root's entry and of that below it, and of each entry of three tables.
    expect(told).toHaveLength(2 + 3 + 3 * 512);
    expect(told.at(-1)).toBe(change('7fc0000', 3, '0', '5a0'));
  });

  test('fast_page_fault is told whenever it is tried; an entry that allows the access is spurious', () => {
    // mmu.c: fast_page_fault
    const bench = new Bench();
    bench.setSlot(0, 0, 4096, bench.qemu.map(4096), 2);
    bench.enter(memoryAccess(0, false, () => 'undecodable'));
    bench.listen('fast_page_fault');
    bench.enter(memoryAccess(0, true, store(0, [1])));
    expect(bench.events.at(-1)).toMatch(/error_code P\|W .* spurious 0 fixed 0$/);
    const tracking = new Bench({ features: { accessedDirty: false, modificationLog: false } });
    tracking.listen('fast_page_fault');
    tracking.setSlot(0, 0, 4096, tracking.qemu.map(4096));
    touch(tracking, 0, false);
    expect(tracking.events.at(-1)).toMatch(/error_code U .* old 0x0 new 0 spurious 0 fixed 0$/);
    const { stats } = tracking.vm.vcpus[0] as KvmVcpu;
    expect(stats.pf_fast).toBe(0);
    tracking.qemu.process.mm.age(tracking.vm.memslots.get(0)!.userspaceAddress as Hva, 4096);
    touch(tracking, 0, false);
    expect(tracking.events.at(-1)).toMatch(/spurious 0 fixed 1$/);
    expect(stats.pf_fast).toBe(1);
  });

  test('an MMIO entry outlives the memory that comes to its place and goes', () => {
    const bench = new Bench();
    bench.enter(memoryAccess(0x5000, true, store(0x5000, [1])));
    const hva = bench.qemu.map(4096);
    bench.setSlot(0, 0x5000, 4096, hva);
    bench.qemu.user.syscalls.munmap(hva, 4096);
    bench.cpu.leaf(0x5000);
    expect(bench.cpu.leaf(0x5000) & 7n).toBe(6n);
    expect((bench.vm.vcpus[0] as KvmVcpu).stats.pf_mmio_spte_created).toBe(1);
  });

  test('frame 0 is in no memory of MMIO pages: its entry is looked at each time', () => {
    const bench = new Bench();
    bench.listen('check_mmio_spte,vcpu_match_mmio');
    for (let access = 0; access < 3; access++) bench.enter(memoryAccess(0, true, store(0, [1])));
    expect(bench.events.map((text) => text.slice(0, text.indexOf(':')))).toEqual([
      'check_mmio_spte',
      'check_mmio_spte',
    ]);
  });

  test('an address above the highest frame is emulated without an entry', () => {
    const bench = new Bench();
    bench.enter();
    const high = 2 ** 46;
    bench.cpu.script.push((cpu) => {
      cpu.exit.guestPhysical = high as Gpa;
      cpu.exit.qualification = 0x182;
      cpu.instruction = store(high, [1]);
      return EXIT_REASON.EPT_VIOLATION;
    });
    bench.enter();
    expect(bench.exitReason).toBe(run.KVM_EXIT_MMIO);
    expect(bench.run.getUint32(run.RUN_MMIO_PHYS_ADDR + 4, true)).toBe(2 ** 14);
  });
});

test('no sequence of slot changes and unmappings leaves a stale translation', () => {
  const PAGES = 8;
  const command = fc.oneof(
    fc.record({
      kind: fc.constant('set' as const),
      slot: fc.nat({ max: 2 }),
      at: fc.nat({ max: PAGES - 1 }),
      pages: fc.integer({ min: 1, max: 3 }),
      from: fc.nat({ max: 5 }),
    }),
    fc.record({ kind: fc.constant('delete' as const), slot: fc.nat({ max: 2 }) }),
    fc.record({ kind: fc.constant('unmap' as const), page: fc.nat({ max: 7 }) }),
    fc.record({ kind: fc.constant('touch' as const), page: fc.nat({ max: PAGES - 1 }), write: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const bench = new Bench();
      const hva = bench.qemu.map(8 * 4096);
      const { mm } = bench.qemu.process;
      for (const step of commands) {
        if (step.kind === 'set') bench.setSlot(step.slot, step.at * 4096, step.pages * 4096, hva + step.from * 4096);
        else if (step.kind === 'delete') bench.setSlot(step.slot, 0, 0, 0);
        else if (step.kind === 'unmap') mm.munmap(hva + step.page * 4096, 4096);
        else bench.enter(memoryAccess(step.page * 4096, step.write, store(step.page * 4096, [1])));
        // What the CPU can reach without asking must be what a walk through slots and mappings finds now.
        for (let page = 0; page < PAGES; page++) {
          const gpa = page * 4096;
          if (bench.cpu.eptPointer === 0 || bench.vm.mmu.tables === undefined) continue;
          if (bench.cpu.access(gpa, false) !== undefined) continue;
          const user = bench.vm.memslots.hva(gpa as Gpa);
          expect(user).toBeDefined();
          expect(bench.cpu.translated(gpa)).toBe(mm.frame(user!, false));
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('after 2^19 generations an old MMIO entry would look valid again: all entries go before', () => {
  const bench = new Bench();
  const hva = BigInt(bench.qemu.map(4096));
  const { memslots } = bench.vm;
  const region = { slot: 0, guest_phys_addr: 0n, memory_size: 4096n, userspace_addr: hva };
  memslots.setUserRegion({ ...region, flags: 0 });
  const mmio = 0xfebc0000;
  bench.enter(memoryAccess(mmio, true, store(mmio, [1])));
  const stamped = mmioSpteGeneration(bench.cpu.leaf(mmio));
  expect(stamped).toBe(memslots.generation());
  bench.listen('kvm_mmu_zap_all_fast');
  const turns = 2 ** 18;
  for (let n = 1; n <= turns; n++) memslots.setUserRegion({ ...region, flags: n & 1 });
  expect(memslots.generation() % 2 ** 19).toBe(stamped);
  expect(bench.events).toHaveLength(1);
  bench.listen('check_mmio_spte,mark_mmio_spte');
  bench.enter(memoryAccess(mmio, true, store(mmio, [2])));
  expect(bench.events.at(-1)).toMatch(/^mark_mmio_spte: /);
});

/** Every change that touches EPT at once, on memory of 2 MiB pages. */
test.each([
  ['write protection', { accessedDirty: true, modificationLog: false }],
  ['the modification log', { accessedDirty: true, modificationLog: true }],
  ['access tracking', { accessedDirty: false, modificationLog: false }],
])('with %s: what the CPU has cached is always what a walk from scratch finds, or less', (_name, features) => {
  const SLOT = MiB(4);
  const at = fc.constantFrom(0, 0x1000, 0x7000, MiB(2) - 4096, MiB(2), MiB(2) + 0x3000, MiB(4) - 4096);
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('touch' as const), at, write: fc.boolean() }) },
    fc.record({ kind: fc.constant('log' as const), on: fc.boolean() }),
    fc.record({ kind: fc.constant('get' as const) }),
    fc.record({ kind: fc.constant('age' as const), at }),
    fc.record({ kind: fc.constant('track' as const), at, on: fc.boolean() }),
    fc.record({ kind: fc.constant('move' as const), to: fc.constantFrom(0, MiB(2), MiB(8), 0x5000) }),
    fc.record({ kind: fc.constant('delete' as const) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 30 }), (commands) => {
      const bench = new Bench({ features });
      bench.kernel.hugePages.ofSize(21)!.resize(SLOT / MiB(2));
      const hva = bench.qemu.user.syscalls.mmap(SLOT, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
      const { mm } = bench.qemu.process;
      let [base, flags] = [0, 0];
      const place = () => bench.setSlot(0, base, SLOT, hva, flags);
      place();
      for (const step of commands) {
        const slot = bench.vm.memslots.get(0);
        if (step.kind === 'touch') {
          const gpa = base + step.at;
          bench.enter(memoryAccess(gpa, step.write, store(gpa, [1])), memoryAccess(gpa, step.write, store(gpa, [1])));
        } else if (step.kind === 'log') {
          flags = step.on ? uapi.KVM_MEM_LOG_DIRTY_PAGES : 0;
          place();
        } else if (step.kind === 'get') {
          const dirty_bitmap = BigInt(bench.qemu.scratch + 4096);
          bench.qemu.pass(bench.vmFd, uapi.KVM_GET_DIRTY_LOG, uapi.kvm_dirty_log, { slot: 0, dirty_bitmap });
        } else if (step.kind === 'age') mm.age((hva + step.at) as Hva, 4096);
        else if (step.kind === 'track' && slot !== undefined) {
          if (step.on) bench.vm.pageTrack.add(slot, (base + step.at) / 4096);
          else bench.vm.pageTrack.remove(slot, (base + step.at) / 4096);
        } else if (step.kind === 'move') {
          base = step.to;
          place();
        } else if (step.kind === 'delete') bench.setSlot(0, 0, 0, 0);
        if (bench.vm.mmu.tables === undefined || bench.cpu.eptPointer === 0) continue;
        for (let gpa = 0; gpa < MiB(12); gpa += 4096) {
          const cached = bench.cpu.cached(gpa);
          if (cached === undefined) continue;
          const walked = bench.cpu.walked(gpa);
          expect(cached.rights & ~walked.rights).toBe(0);
          expect(cached.host).toBe(walked.host);
          const now = bench.vm.memslots.find(gpa / 4096);
          expect(now && mm.frame(slotHva(now, gpa / 4096), false)).toBe(walked.host);
          if (walked.rights & 2) expect(now!.tracked.has(gpa / 4096)).toBe(false);
        }
      }
    }),
    { numRuns: 40 },
  );
});
