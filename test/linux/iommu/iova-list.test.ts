import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IovaList, type IovaRun } from '../../../src/linux/iommu/iova-list.ts';

const PAGE = 4096n;
const mapping = (page: number, pages: number): IovaRun => ({
  iova: BigInt(page) * PAGE,
  size: BigInt(pages) * PAGE,
});
const text = (mappings: readonly IovaRun[]) => mappings.map(({ iova, size }) => `${iova / PAGE}+${size / PAGE}`);

/** A naive model: an unordered list, searched from end to end. */
class Naive {
  list: IovaRun[] = [];
  overlapping(start: bigint, end: bigint): IovaRun[] {
    return this.list
      .filter((each) => each.iova < end && start < each.iova + each.size)
      .sort((a, b) => Number(a.iova - b.iova));
  }
}

const page = fc.integer({ min: 0, max: 40 });
const pages = fc.integer({ min: 1, max: 8 });
const step = fc.oneof(
  fc.record({ kind: fc.constant('map' as const), page, pages }),
  fc.record({ kind: fc.constant('unmap' as const), page, pages }),
);

test('after any maps and unmaps, look-ups agree with a list searched from end to end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), page, pages, (steps, queryPage, queryPages) => {
      const list = new IovaList();
      const naive = new Naive();
      for (const { kind, page: at, pages: count } of steps) {
        const start = BigInt(at) * PAGE;
        const end = start + BigInt(count) * PAGE;
        const hit = naive.overlapping(start, end);
        expect(text(list.overlapping(start, end))).toEqual(text(hit));
        if (kind === 'map' && hit.length === 0) {
          const fresh = mapping(at, count);
          list.insert(fresh);
          naive.list.push(fresh);
        }
        if (kind === 'unmap') {
          for (const each of hit) list.remove(each);
          naive.list = naive.list.filter((each) => !hit.includes(each));
        }
        expect(list.size).toBe(naive.list.length);
      }
      const start = BigInt(queryPage) * PAGE;
      const end = start + BigInt(queryPages) * PAGE;
      expect(list.find(start, end)).toBe(naive.overlapping(start, end)[0]);
    }),
  );
});

test('a mapping may end at 2^64', () => {
  const list = new IovaList();
  const last = { ...mapping(0, 1), iova: (1n << 64n) - PAGE };
  list.insert(last);
  expect(list.find((1n << 64n) - 1n, 1n << 64n)).toBe(last);
  expect(list.find(0n, (1n << 64n) - PAGE)).toBe(undefined);
});
