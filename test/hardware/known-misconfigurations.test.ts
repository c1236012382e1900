/** Walks of the nested tables that are remembered, beside walks that are made: whoever writes the tables need not tell. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventStream } from '../../src/event.ts';
import { EPT_OUTCOME, EPTP, EptWalker } from '../../src/hardware/ept.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import { OUTCOME } from '../../src/hardware/vcpu/interpreter/js-code.ts';
import { KnownMisconfigurations } from '../../src/hardware/vcpu/known-misconfigurations.ts';
import { NestedPaging } from '../../src/hardware/vcpu/nested-paging.ts';
import { PendingEvent } from '../../src/hardware/vcpu/pending-event.ts';

const PAGE = 4096;
/** Two sets of tables, of one table a level; the guest's pages are the first of the last table's. */
const ROOTS = [0x1_0000, 0x2_0000];
const LEVELS = 4;
const PAGES = 20;
const RWX = 7n;
/** What KVM marks MMIO by: writable and executable, not readable. */
const MMIO = 6n;

/** Entry of `level` on the way to `page`. */
const entryAt = (root: number, level: number, page: number): number =>
  root + (LEVELS - level) * PAGE + (level === 1 ? page * 8 : 0);

/** Tables in which every page is misconfigured. */
function tables(): PhysicalMemory {
  const memory = new PhysicalMemory(0x4_0000);
  for (const root of ROOTS) {
    for (let level = LEVELS; level > 1; level--)
      memory.view.setBigUint64(entryAt(root, level, 0), BigInt(root + (LEVELS - level + 1) * PAGE) | RWX, true);
    for (let page = 0; page < PAGES; page++) memory.view.setBigUint64(entryAt(root, 1, page), MMIO, true);
  }
  return memory;
}

type Step =
  | { readonly kind: 'walk'; readonly page: number }
  /** Bits that make an entry absent, misconfigured or another one. */
  | { readonly kind: 'change'; readonly page: number; readonly level: number; readonly bits: number }
  | { readonly kind: 'root'; readonly root: number };

const page = fc.nat(PAGES - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('walk' as const), page }),
  fc.record({
    kind: fc.constant('change' as const),
    page,
    level: fc.integer({ min: 1, max: LEVELS }),
    bits: fc.constantFrom(1, 2, 4, 6, 7, 8, 0x20),
  }),
  fc.record({ kind: fc.constant('root' as const), root: fc.nat(ROOTS.length - 1) }),
);

test('a walk that is known to end in a misconfigured entry would end in one', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const memory = tables();
      const known = new KnownMisconfigurations(memory);
      const walker = new EptWalker(memory);
      let root = ROOTS[0]!;
      const isMisconfigured = (page: number) =>
        walker.walk(root | EPTP.WALK_LENGTH_4, page * PAGE) === EPT_OUTCOME.MISCONFIGURED;
      for (const each of steps) {
        if (each.kind === 'root') {
          root = ROOTS[each.root]!;
          known.forget();
        } else if (each.kind === 'change') {
          const at = entryAt(root, each.level, each.page) >> 2;
          memory.words[at] = memory.words[at]! ^ each.bits;
        } else if (isMisconfigured(each.page)) {
          known.keep(each.page * PAGE, walker);
          expect(known.holds(each.page * PAGE)).toBe(walker.depth === LEVELS);
        }
        for (let page = 0; page < PAGES; page++)
          if (known.holds(page * PAGE)) expect(isMisconfigured(page), `page ${page}`).toBe(true);
      }
    }),
  );
});

test('a page is known again when others have been walked to, and not under other tables', () => {
  const memory = tables();
  const event = new PendingEvent();
  const nested = new NestedPaging(memory, event, new EventStream(() => 0n));
  const reasons = (page: number) => {
    const outcome = nested.translate(page * PAGE, 'read', true, 0);
    return outcome === OUTCOME.EXIT ? event.exit.reason : outcome;
  };
  nested.setPointer(ROOTS[0]! | EPTP.WALK_LENGTH_4);
  expect([3, 4, 3].map(reasons)).toEqual(Array(3).fill(EXIT_REASON.EPT_MISCONFIG));
  memory.view.setBigUint64(entryAt(ROOTS[1]!, 1, 3), 0n, true);
  nested.setPointer(ROOTS[1]! | EPTP.WALK_LENGTH_4);
  expect(reasons(3)).toBe(EXIT_REASON.EPT_VIOLATION);
  expect(reasons(4)).toBe(EXIT_REASON.EPT_MISCONFIG);
});
