/** The page tables that the driver builds, as the hardware walks them. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hpa, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import {
  CONTEXT_ENTRY,
  entryAddress,
  FAULT_REASON,
  Iommu,
  ROOT_ENTRY,
  SECOND_LEVEL,
  secondLevelIndex,
} from '../../../src/hardware/iommu.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { PageAllocator } from '../../../src/linux/core/page-allocator.ts';
import { SecondLevelDomain } from '../../../src/linux/iommu/domain.ts';

const SOURCE = 0x0108;
const PAGE = 0x1000n;
const TWO_MIB = 0x20_0000n;

/** A unit whose tables lead `SOURCE` to one domain. */
function machine(size = MiB(8)) {
  const memory = new PhysicalMemory(size);
  const pages = new PageAllocator(memory, hpa(0x1000));
  const domain = SecondLevelDomain.allocate(memory, pages, 1)!;
  const [root, context] = [pages.allocate()!, pages.allocate()!];
  memory.writeEntry(hpa(root + (SOURCE >> 8) * ROOT_ENTRY.BYTES), BigInt(context) | ROOT_ENTRY.PRESENT);
  memory.writeEntry(hpa(context + (SOURCE & 0xff) * CONTEXT_ENTRY.BYTES), BigInt(domain.root) | CONTEXT_ENTRY.PRESENT);
  const unit = new Iommu(memory, new EventStream(() => 0n));
  unit.rootTable = root;
  return { memory, pages, domain, unit };
}

describe('leaves', () => {
  test('2 MiB where both addresses and the size admit it, 4 KiB elsewhere', () => {
    const { memory, pages, domain, unit } = machine();
    const used = pages.used;
    expect(domain.map(TWO_MIB - PAGE, hpa(0x1f_f000), TWO_MIB + 2n * PAGE, 3)).toBe(0);
    // One table each of levels 3 and 2, and two of level 1 at the edges: the middle is one entry.
    expect(pages.used - used).toBe(4);
    let table = domain.root;
    for (const level of [4, 3])
      table = entryAddress(memory.readEntry(hpa(table + secondLevelIndex(TWO_MIB, level) * 8)));
    expect(memory.readEntry(hpa(table + 8))).toBe(
      TWO_MIB | SECOND_LEVEL.READ | SECOND_LEVEL.WRITE | SECOND_LEVEL.SUPERPAGE,
    );
    expect(unit.translate(SOURCE, TWO_MIB + 0x1_2345n, true)).toEqual({ host: 0x21_2345 });
    expect(unit.translate(SOURCE, 2n * TWO_MIB, false)).toEqual({ host: 0x40_0000 });
    expect(domain.unmap(TWO_MIB - PAGE, TWO_MIB + 2n * PAGE)).toBe(TWO_MIB + 2n * PAGE);
    expect(pages.used).toBe(used);
  });

  test('what is mapped is not mapped again, and the attempt changes nothing', () => {
    const { domain, unit } = machine();
    domain.map(PAGE, hpa(0x5000), PAGE, 1);
    expect(domain.map(0n, hpa(0x8000), 2n * PAGE, 3)).toBe(-17);
    expect(unit.translate(SOURCE, 0n, false)).toEqual({ reason: FAULT_REASON.NO_READ });
    expect(unit.translate(SOURCE, PAGE, false)).toEqual({ host: 0x5000 });
    expect(unit.translate(SOURCE, PAGE, true)).toEqual({ reason: FAULT_REASON.NO_WRITE });
  });

  test('without a page for a table nothing is mapped', () => {
    const { pages, domain } = machine(0x10000);
    while (pages.available > 2) pages.allocate();
    const used = pages.used;
    expect([domain.map(0n, hpa(0x5000), PAGE, 3), domain.toHost(0n)]).toEqual([-12, undefined]);
    // Tables that the attempt made stay until the domain goes.
    expect(pages.used).toBe(used + 2);
    domain.free();
    expect(pages.used).toBe(used - 1);
  });
});

test('after any maps and unmaps the hardware agrees with a list of pages, and freeing leaves no table', () => {
  const step = fc.record({
    map: fc.boolean(),
    page: fc.bigInt({ min: 0n, max: 1100n }),
    count: fc.bigInt({ min: 1n, max: 600n }),
    high: fc.boolean(),
    rights: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const { pages, domain, unit } = machine();
      const used = pages.used;
      const mapped = new Map<bigint, { host: bigint; rights: number; start: bigint; count: bigint }>();
      for (const { map, page, count, high, rights } of steps) {
        const start = page + (high ? 1n << 35n : 0n);
        if (map) {
          const taken = [...Array(Number(count)).keys()].some((i) => mapped.has(start + BigInt(i)));
          const error = domain.map(start * PAGE, hpa(Number(page * PAGE)), count * PAGE, rights);
          expect(error).toBe(taken ? -17 : 0);
          if (taken) continue;
          for (let i = 0n; i < count; i++) mapped.set(start + i, { host: page + i, rights, start, count });
        } else {
          const hit = mapped.get(start);
          if (hit === undefined) continue;
          // As VFIO does: whole, as it was mapped.
          expect(domain.unmap(hit.start * PAGE, hit.count * PAGE)).toBe(hit.count * PAGE);
          for (let i = 0n; i < hit.count; i++) mapped.delete(hit.start + i);
        }
        for (const at of [start, start + count - 1n, start + count]) {
          const hit = mapped.get(at);
          const seen = unit.translate(SOURCE, at * PAGE + 5n, true);
          const writable = hit !== undefined && (hit.rights & 2) !== 0;
          expect(seen).toEqual(writable ? { host: Number(hit.host * PAGE) + 5 } : { reason: FAULT_REASON.NO_WRITE });
        }
      }
      for (const { start, count } of new Set(mapped.values()))
        if (domain.toHost(start * PAGE) !== undefined) domain.unmap(start * PAGE, count * PAGE);
      expect(pages.used).toBe(used);
      domain.free();
      expect(pages.used).toBe(used - 1);
    }),
    { numRuns: 40 },
  );
});
