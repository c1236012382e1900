import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Hpa, hpa, MiB, PAGE_SIZE } from '../../../src/address.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { PageAllocator } from '../../../src/linux/core/page-allocator.ts';

const make = (size: number, first = 0x3000) => {
  const memory = new PhysicalMemory(size);
  return { memory, pages: new PageAllocator(memory, hpa(first)) };
};

test('pages come lowest first, aligned to the size of the block', () => {
  const { pages } = make(MiB(8));
  expect(pages.allocate()).toBe(0x3000);
  expect(pages.allocate()).toBe(0x4000);
  expect(pages.allocate(2)).toBe(0x8000);
  expect(pages.allocate(10)).toBe(MiB(4));
  expect(pages.used).toBe(2 + 4 + 1024);
});

test('a freed page comes back zeroed', () => {
  const { memory, pages } = make(MiB(1));
  const page = pages.allocate() as Hpa;
  memory.page(page).fill(0xaa);
  pages.free(page);
  expect(pages.allocate()).toBe(page);
  expect(memory.page(page).every((byte) => byte === 0)).toBe(true);
});

test('memory runs out, and a double free is our mistake', () => {
  const { pages } = make(65536, 0);
  for (let i = 0; i < 16; i++) expect(pages.allocate()).toBe(i * PAGE_SIZE);
  expect(pages.allocate()).toBeUndefined();
  pages.free(hpa(0));
  expect(() => pages.free(hpa(0))).toThrow('freed twice');
  expect(pages.allocate(1)).toBeUndefined();
});

test('a held block outlives its owner, whichever of its pages is held', () => {
  const { pages } = make(MiB(1), 0);
  const [page, block] = [pages.allocate() as Hpa, pages.allocate(2) as Hpa];
  pages.get(page);
  pages.get(hpa(block + 2 * PAGE_SIZE));
  pages.free(page);
  pages.free(block, 2);
  expect([pages.used, pages.pinned]).toEqual([5, 0]);
  pages.put(hpa(block + 3 * PAGE_SIZE));
  pages.put(page);
  expect(pages.used).toBe(0);
  expect(() => pages.get(page)).toThrow('nobody allocated it');
  expect(() => pages.put(page)).toThrow('nobody holds it');
});

test('blocks never overlap, and buddies join again when all is freed', () => {
  const step = fc.oneof(fc.record({ order: fc.integer({ min: 0, max: 5 }) }), fc.record({ free: fc.nat(1000) }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { pages } = make(MiB(1));
      const held: { at: Hpa; order: number }[] = [];
      const owner = new Map<number, number>();
      for (const [i, taken] of steps.entries()) {
        if ('order' in taken) {
          const at = pages.allocate(taken.order);
          if (at === undefined) continue;
          expect(at % (PAGE_SIZE << taken.order)).toBe(0);
          for (let page = 0; page < 1 << taken.order; page++) {
            const key = at / PAGE_SIZE + page;
            expect(owner.has(key)).toBe(false);
            owner.set(key, i);
          }
          held.push({ at, order: taken.order });
        } else if (held.length > 0) {
          const [block] = held.splice(taken.free % held.length, 1);
          if (block === undefined) continue;
          pages.free(block.at, block.order);
          for (let page = 0; page < 1 << block.order; page++) owner.delete(block.at / PAGE_SIZE + page);
        }
        expect(pages.used).toBe(owner.size);
      }
      for (const block of held) pages.free(block.at, block.order);
      expect(pages.available).toBe(pages.total);
      // The largest aligned block of 1 MiB less the first pages is 128 pages: all halves have joined.
      expect(pages.allocate(7)).toBe(MiB(0.5));
    }),
    { numRuns: 50 },
  );
});
