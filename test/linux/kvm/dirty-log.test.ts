/** Dirty logging: ioctls and their errnos, write protection, PML, and that the bitmap is what a naive model says. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Gpa, type Hva, MiB } from '../../../src/address.ts';
import { EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import { kvm_write_guest } from '../../../src/linux/kvm/guest-memory.ts';
import { isWritable } from '../../../src/linux/kvm/spte.ts';
import { EFAULT, EINVAL, ENOENT } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { memoryAccess } from './scripted-cpu.ts';

const PAGE = 4096;
const LOG = uapi.KVM_MEM_LOG_DIRTY_PAGES;
const BAD_POINTER = 0x10;

const logBuffer = (bench: Bench) => (bench.qemu.scratch + 4096) as Hva;
const getLog = (bench: Bench, slot = 0, at: number = logBuffer(bench)) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_GET_DIRTY_LOG, uapi.kvm_dirty_log, { slot, dirty_bitmap: BigInt(at) });
const clearLog = (bench: Bench, first: number, count: number, at: number = logBuffer(bench), slot = 0) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_CLEAR_DIRTY_LOG, uapi.kvm_clear_dirty_log, {
    slot,
    first_page: BigInt(first),
    num_pages: count,
    dirty_bitmap: BigInt(at),
  });
const manual = (bench: Bench, mode: bigint, flags = 0) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, {
    cap: KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2,
    flags,
    arg0: mode,
  });
/** Pages whose bits the last log has. */
function pagesOf(bench: Bench, pages: number): number[] {
  const bytes = bench.qemu.user.memory.read(logBuffer(bench), Math.ceil(pages / 64) * 8);
  return Array.from({ length: pages }, (_, page) => page).filter((page) => bytes[page >> 3]! & (1 << (page & 7)));
}
const dirtyPages = (bench: Bench, pages: number) => {
  expect(getLog(bench)).toBe(0);
  return pagesOf(bench, pages);
};
/** One access by the guest, entered until it goes through. */
const touch = (bench: Bench, gpa: number, write = true) =>
  expect(
    bench.enter(
      memoryAccess(gpa, write, () => 'undecodable'),
      memoryAccess(gpa, write, () => 'undecodable'),
    ),
  ).toBe(0);

function logged(pages = 200, features = { accessedDirty: true, modificationLog: false }) {
  const bench = new Bench({ features });
  const hva = bench.qemu.map(pages * PAGE);
  bench.setSlot(0, 0, pages * PAGE, hva, LOG);
  return { bench, hva };
}

describe('errnos', () => {
  test('GET: EINVAL no such address space, ENOENT no slot or no log, EFAULT', () => {
    const { bench, hva } = logged();
    bench.setSlot(1, 0x1000000, PAGE, hva);
    expect(getLog(bench, 0x20000)).toBe(-EINVAL);
    expect(getLog(bench, 32764)).toBe(-EINVAL);
    expect(getLog(bench, 7)).toBe(-ENOENT);
    expect(getLog(bench, 1)).toBe(-ENOENT);
    expect(getLog(bench, 0, BAD_POINTER)).toBe(-EFAULT);
    expect(getLog(bench)).toBe(0);
  });

  test.each([
    ['a first page that is no multiple of 64', 32, 64, -EINVAL],
    ['a first page beyond the slot', 256, 0, -EINVAL],
    ['more pages than the slot has', 64, 137, -EINVAL],
    ['an odd number that does not reach the end', 64, 63, -EINVAL],
    ['an odd number that does', 192, 8, 0],
    ['all', 0, 200, 0],
  ])('CLEAR of %s', (_name, first, count, result) => {
    expect(clearLog(logged().bench, first, count)).toBe(result);
  });

  test('CLEAR: ENOENT without a log, EFAULT', () => {
    const { bench } = logged();
    expect(clearLog(bench, 0, 64, logBuffer(bench), 3)).toBe(-ENOENT);
    expect(clearLog(bench, 0, 64, BAD_POINTER)).toBe(-EFAULT);
  });

  test.each([
    [0n, 0, 0],
    [1n, 0, 0],
    [3n, 0, 0],
    [2n, 0, -EINVAL],
    [4n, 0, -EINVAL],
    [1n, 1, -EINVAL],
  ])('manual protection %i with flags %i: %i', (mode, flags, result) => {
    expect(manual(logged().bench, mode, flags)).toBe(result);
  });
});

describe('by write protection', () => {
  test('a page is dirty once, until it is reported; then its next write faults and is fixed without a mapping', () => {
    const { bench } = logged();
    touch(bench, 5 * PAGE);
    expect(dirtyPages(bench, 200)).toEqual([5]);
    expect(dirtyPages(bench, 200)).toEqual([]);
    expect(isWritable(bench.cpu.leaf(5 * PAGE))).toBe(false);
    touch(bench, 5 * PAGE, false);
    expect(dirtyPages(bench, 200)).toEqual([]);
    bench.listen('fast_page_fault,kvm_mmu_set_spte,kvm_page_fault');
    touch(bench, 5 * PAGE);
    expect(bench.events).toHaveLength(2);
    expect(bench.events[0]).toMatch(/^kvm_page_fault: .*error_code 0x1aa$/);
    expect(bench.events[1]).toMatch(/^fast_page_fault: vcpu 0 gva 5000 error_code P\|W .* spurious 0 fixed 1$/);
    expect(dirtyPages(bench, 200)).toEqual([5]);
  });

  test('switching it on protects what is mapped; switching it off ends it', () => {
    const bench = new Bench();
    const hva = bench.qemu.map(4 * PAGE);
    bench.setSlot(0, 0, 4 * PAGE, hva);
    touch(bench, 0);
    bench.setSlot(0, 0, 4 * PAGE, hva, LOG);
    expect(bench.cpu.access(0, true)).toBe(EXIT_REASON.EPT_VIOLATION);
    touch(bench, 0);
    expect(dirtyPages(bench, 4)).toEqual([0]);
    bench.setSlot(0, 0, 4 * PAGE, hva);
    expect(getLog(bench)).toBe(-ENOENT);
  });

  test('manual protection: GET keeps the bits, CLEAR takes those it names', () => {
    const { bench } = logged();
    manual(bench, 1n);
    for (const page of [1, 70, 71]) touch(bench, page * PAGE);
    expect(dirtyPages(bench, 200)).toEqual([1, 70, 71]);
    expect(bench.cpu.access(PAGE, true)).toBeUndefined();
    bench.qemu.user.memory.write(logBuffer(bench), Uint8Array.of(1 << 6, 0, 0, 0, 0, 0, 0, 0));
    expect(clearLog(bench, 64, 64)).toBe(0);
    expect(dirtyPages(bench, 200)).toEqual([1, 71]);
    expect(bench.cpu.access(70 * PAGE, true)).toBe(EXIT_REASON.EPT_VIOLATION);
    expect(bench.cpu.access(71 * PAGE, true)).toBeUndefined();
  });

  test('initially set: a new log says that all is dirty', () => {
    const bench = new Bench();
    manual(bench, 3n);
    bench.setSlot(0, 0, 70 * PAGE, bench.qemu.map(70 * PAGE), LOG);
    expect(dirtyPages(bench, 70)).toHaveLength(70);
  });

  test('a slot that moves takes its bitmap along', () => {
    const { bench, hva } = logged(64);
    touch(bench, 3 * PAGE);
    bench.setSlot(0, 0x100000, 64 * PAGE, hva, LOG);
    expect(dirtyPages(bench, 64)).toEqual([3]);
  });

  test('kvm_write_guest outside KVM_RUN loses the mark, and Linux 6.1 warns once', () => {
    const { bench } = logged();
    const lines: string[] = [];
    bench.kernel.log.subscribe((line) => lines.push(String(line)));
    bench.kernel.current = bench.qemu.process;
    for (let i = 0; i < 2; i++) expect(kvm_write_guest(bench.vm, 0x3000 as Gpa, Uint8Array.of(1), 1)).toBe(0);
    expect(dirtyPages(bench, 200)).toEqual([]);
    expect(lines.filter((line) => line.includes('mark_page_dirty_in_slot'))).toHaveLength(1);
  });
});

describe('by the CPU’s modification log', () => {
  const features = { accessedDirty: true, modificationLog: true };

  test('no write fault: the CPU logs the page, and the exit empties the log', () => {
    const { bench } = logged(200, features);
    touch(bench, 5 * PAGE);
    expect(dirtyPages(bench, 200)).toEqual([5]);
    bench.listen('kvm_page_fault');
    expect(bench.cpu.access(5 * PAGE, true)).toBeUndefined();
    expect(dirtyPages(bench, 200)).toEqual([5]);
    expect(bench.events).toEqual([]);
  });

  test('512 pages fill it: PML_FULL, and no page is lost', () => {
    const { bench } = logged(600, features);
    const all = Array.from({ length: 600 }, (_, page) => page);
    for (const page of all) touch(bench, page * PAGE, false);
    dirtyPages(bench, 600);
    bench.listen('kvm_pml_full');
    bench.enter((cpu) => {
      for (const page of all) {
        const exit = cpu.access(page * PAGE, true);
        if (exit !== undefined) return exit;
      }
      return EXIT_REASON.HLT;
    });
    expect(bench.events).toEqual(['kvm_pml_full: vcpu 0: PML full']);
    expect(dirtyPages(bench, 600)).toEqual(all.slice(0, 512));
  });

  test('without a logged slot the CPU logs nothing', () => {
    const bench = new Bench({ features });
    bench.setSlot(0, 0, PAGE, bench.qemu.map(PAGE));
    touch(bench, 0);
    expect(bench.cpu.modificationLog.page).toBeUndefined();
  });
});

describe('large pages', () => {
  test('logging splits them, ending it lets them come back', () => {
    const bench = new Bench();
    bench.kernel.hugePages.ofSize(21)!.resize(2);
    const hva = bench.qemu.user.syscalls.mmap(MiB(4), 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    bench.setSlot(0, MiB(2), MiB(4), hva);
    touch(bench, MiB(2));
    bench.cpu.leaf(MiB(2));
    expect(bench.cpu.leafBytes).toBe(MiB(2));
    bench.listen('kvm_mmu_split_huge_page');
    bench.setSlot(0, MiB(2), MiB(4), hva, LOG);
    expect(bench.events).toHaveLength(1);
    touch(bench, MiB(2) + 7 * PAGE);
    expect(dirtyPages(bench, 1024)).toEqual([7]);
    bench.setSlot(0, MiB(2), MiB(4), hva);
    touch(bench, MiB(2) + 8 * PAGE);
    expect(bench.cpu.leaf(MiB(2)) & 0x80n).toBe(0x80n);
  });
});

describe.each([
  ['write protection', { accessedDirty: true, modificationLog: false }],
  ['the modification log', { accessedDirty: true, modificationLog: true }],
  ['write protection and access tracking', { accessedDirty: false, modificationLog: false }],
])('by %s', (_name, features) => {
  test('the log is what a naive model says: a page is dirty when written, or mapped writable', () => {
    const PAGES = 70;
    const page = fc.nat({ max: PAGES - 1 });
    const command = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('touch' as const), page, write: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('get' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), page }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('age' as const), page }) },
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(command, { maxLength: 60 }), (byHand, commands) => {
        const { bench } = logged(PAGES, features);
        const hva = bench.vm.memslots.get(0)!.userspaceAddress;
        if (byHand) manual(bench, 1n);
        const dirty = new Set<number>();
        const mapped = new Set<number>();
        for (const step of commands) {
          if (step.kind === 'touch') {
            touch(bench, step.page * PAGE, step.write);
            if (step.write || !mapped.has(step.page)) dirty.add(step.page);
            mapped.add(step.page);
          } else if (step.kind === 'age') bench.qemu.process.mm.age((hva + step.page * PAGE) as Hva, PAGE);
          else if (step.kind === 'clear') {
            const bits = new Uint8Array(8);
            bits[(step.page & 63) >> 3] = 1 << (step.page & 7);
            bench.qemu.user.memory.write(logBuffer(bench), bits);
            const first = step.page - (step.page % 64);
            expect(clearLog(bench, first, Math.min(64, PAGES - first))).toBe(0);
            dirty.delete(step.page);
          } else {
            expect(dirtyPages(bench, PAGES)).toEqual([...dirty].sort((a, b) => a - b));
            if (!byHand) dirty.clear();
          }
        }
        expect(dirtyPages(bench, PAGES)).toEqual([...dirty].sort((a, b) => a - b));
      }),
      { numRuns: 60 },
    );
  });
});
