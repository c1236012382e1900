/** How large an EPT leaf may be: KVM's rules, as a table, and 2 MiB pages from mmap to the CPU. */

import { describe, expect, test } from 'vitest';
import { GiB, type Hva, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { mappingLevel } from '../../../src/linux/kvm/huge-pages.ts';
import { initKvm } from '../../../src/linux/kvm/kvm.ts';
import type { Memslot } from '../../../src/linux/kvm/memslots.ts';
import { kvm_slot_page_track_add_page } from '../../../src/linux/kvm/page-track-api.ts';
import { EINVAL } from '../../../src/linux/uapi/errno.ts';
import {
  KVM_CLEAR_DIRTY_LOG,
  KVM_ENABLE_CAP,
  KVM_MEM_LOG_DIRTY_PAGES,
  kvm_clear_dirty_log,
  kvm_enable_cap,
} from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import {
  MAP_ANONYMOUS,
  MAP_HUGE_1GB,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_HUGETLB,
} from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { memoryAccess, ScriptedCpu } from './scripted-cpu.ts';

const slot = (gpa: number, bytes: number, hva: number, more: Partial<Memslot> = {}): Memslot => ({
  id: 0,
  asId: 0,
  baseGfn: gpa / 4096,
  pages: bytes / 4096,
  flags: 0,
  userspaceAddress: hva as Hva,
  dirty: undefined,
  tracked: new Map(),
  ...more,
});

test.each([
  ['a slot of 1 GiB pages, aligned alike', slot(GiB(1), GiB(2), GiB(5)), GiB(2), 3, 3],
  ['host pages of 2 MiB', slot(GiB(1), GiB(2), GiB(5)), GiB(2), 2, 2],
  ['host pages of 4 KiB', slot(GiB(1), GiB(2), GiB(5)), GiB(2), 1, 1],
  ['addresses alike modulo 2 MiB only', slot(GiB(1), GiB(2), GiB(5) + MiB(2)), GiB(2), 3, 2],
  ['addresses not even alike modulo 2 MiB', slot(GiB(1), GiB(2), GiB(5) + 4096), GiB(2), 3, 1],
  ['the part before the first whole GiB', slot(MiB(512), GiB(2), MiB(512)), MiB(700), 3, 2],
  ['the whole GiB after it', slot(MiB(512), GiB(2), MiB(512)), GiB(1), 3, 3],
  ['the rest after the last whole 2 MiB', slot(GiB(1), MiB(3), GiB(1)), GiB(1) + MiB(2), 3, 1],
  ['dirty logging', slot(GiB(1), GiB(1), GiB(1), { flags: KVM_MEM_LOG_DIRTY_PAGES }), GiB(1), 3, 1],
  [
    'a tracked frame in the same 2 MiB',
    slot(GiB(1), GiB(1), GiB(1), { tracked: new Map([[262149, 1]]) }),
    GiB(1),
    3,
    1,
  ],
  [
    'a tracked frame in the same 1 GiB',
    slot(GiB(1), GiB(1), GiB(1), { tracked: new Map([[262149, 1]]) }),
    GiB(1) + MiB(2),
    3,
    2,
  ],
])('%s', (_name, memslot, gpa, hostLevel, level) => {
  expect(mappingLevel(memslot, gpa / 4096, hostLevel)).toBe(level);
});

describe('memory of 1 GiB pages', () => {
  /** A VM on a host with 2 GiB of RAM, and a mapping of its one large page. */
  const bench = () => {
    const kernel = new Kernel({ memory: new PhysicalMemory(GiB(2)), stream: new EventStream(() => 0n) });
    const made = new Bench({ host: { kernel, module: initKvm(kernel, (memory) => new ScriptedCpu(memory)) } });
    kernel.hugePages.ofSize(30)!.resize(1);
    const fd = made.qemu.user.syscalls.memfd_create('ram', MFD_HUGETLB | MAP_HUGE_1GB);
    const hva = made.qemu.user.syscalls.mmap(GiB(1), 3, MAP_SHARED, fd, 0);
    const touch = (gpa: number) => {
      made.enter(memoryAccess(gpa, true, () => 'undecodable'));
      made.cpu.leaf(gpa);
      return made.cpu.leafBytes;
    };
    return { ...made, made, hva, touch };
  };

  test('one fault maps 1 GiB; a log splits it twice; without the log it comes back', () => {
    const { made, hva, touch } = bench();
    made.setSlot(0, GiB(3), GiB(1), hva);
    expect(touch(GiB(3) + 0x1234)).toBe(GiB(1));
    expect(made.cpu.access(GiB(4) - 1, true)).toBeUndefined();
    expect(made.cpu.translated(GiB(4) - 1)).toBe(GiB(2) - 1);
    const used = made.kernel.pages.used;
    made.setSlot(0, GiB(3), GiB(1), hva, KVM_MEM_LOG_DIRTY_PAGES);
    // A table of 512 leaves of 2 MiB, and one for each of these; and twice 32 KiB for the log itself.
    expect(made.kernel.pages.used - used).toBe(513 + 2 * 8);
    expect(made.cpu.access(GiB(4) - 1, true)).toBe(EXIT_REASON.EPT_VIOLATION);
    expect(touch(GiB(4) - 1)).toBe(4096);
    made.setSlot(0, GiB(3), GiB(1), hva);
    expect(made.kernel.pages.used).toBe(used);
    expect(touch(GiB(3))).toBe(GiB(1));
  });

  test.each([
    ['where the slot has less than a whole one', 0, GiB(1) - MiB(2), 0, MiB(2)],
    ['where guest and host lie apart by 2 MiB', MiB(2), GiB(1), 0, MiB(2)],
    ['where they lie apart by a page', 4096, GiB(1), 0, 4096],
    ['while a page of it is write-tracked', 0, GiB(1), MiB(700), MiB(2)],
  ])('is smaller %s', (_case, gpa, bytes, tracked, leaf) => {
    const { made, hva, touch } = bench();
    made.setSlot(0, gpa, bytes, hva);
    if (tracked > 0) kvm_slot_page_track_add_page(made.vm, made.vm.memslots.get(0)!, tracked / 4096);
    expect(touch(gpa + MiB(4))).toBe(leaf);
  });
});

describe('memory of 2 MiB pages', () => {
  const map = (bench: Bench, bytes: number) =>
    bench.qemu.user.syscalls.mmap(bytes, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

  test('a log that begins full leaves a leaf whole until a page of it is cleared, and splits it for two', () => {
    // mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked
    const bench = new Bench();
    bench.kernel.hugePages.ofSize(21)!.resize(1);
    const cap = { cap: KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2, arg0: 3n };
    expect(bench.qemu.pass(bench.vmFd, KVM_ENABLE_CAP, kvm_enable_cap, cap)).toBe(0);
    const hva = map(bench, MiB(2));
    bench.setSlot(0, MiB(2), MiB(2), hva);
    bench.enter(memoryAccess(MiB(2), true, () => 'undecodable'));
    bench.setSlot(0, MiB(2), MiB(2), hva, KVM_MEM_LOG_DIRTY_PAGES);
    const clear = (bits: number) => {
      const dirty_bitmap = BigInt(bench.qemu.scratch + 4096);
      bench.qemu.user.memory.write(Number(dirty_bitmap) as Hva, new Uint8Array(BigUint64Array.of(BigInt(bits)).buffer));
      const log = { slot: 0, num_pages: 64, dirty_bitmap };
      expect(bench.qemu.pass(bench.vmFd, KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, log)).toBe(0);
      bench.cpu.leaf(MiB(2));
      return [bench.cpu.leafBytes, bench.cpu.access(MiB(2), true)];
    };
    bench.cpu.leaf(MiB(2));
    expect([bench.cpu.leafBytes, bench.cpu.access(MiB(2), true)]).toEqual([MiB(2), undefined]);
    expect(clear(1)).toEqual([MiB(2), EXIT_REASON.EPT_VIOLATION]);
    expect(clear(6)).toEqual([4096, EXIT_REASON.EPT_VIOLATION]);
  });

  test('one fault maps 2 MiB; the page goes as a whole, and comes back', () => {
    const bench = new Bench();
    const pool = bench.kernel.hugePages.ofSize(21)!;
    pool.resize(2);
    const { used } = bench.kernel.pages;
    const hva = map(bench, MiB(4));
    expect(hva % MiB(2)).toBe(0);
    bench.setSlot(0, 0, MiB(4), hva);
    bench.enter(memoryAccess(MiB(2) + 0x5123, true, () => 'undecodable'));
    for (const offset of [0, 0x5123, MiB(2) - 1]) {
      expect(bench.cpu.access(MiB(2) + offset, true)).toBeUndefined();
      expect(bench.cpu.translated(MiB(2) + offset)).toBe(
        (bench.qemu.process.mm.frame((hva + MiB(2) + offset - (offset % 4096)) as Hva, true) as number) +
          (offset % 4096),
      );
    }
    expect(bench.qemu.user.syscalls.munmap((hva + 4096) as Hva, 4096)).toBe(-EINVAL);
    expect(bench.qemu.user.syscalls.munmap((hva + MiB(2)) as Hva, MiB(2))).toBe(0);
    expect(bench.cpu.access(MiB(2), false)).toBe(EXIT_REASON.EPT_VIOLATION);
    bench.qemu.process.exit();
    expect(pool.free).toBe(2);
    expect(bench.kernel.pages.used).toBeLessThan(used);
  });
});
