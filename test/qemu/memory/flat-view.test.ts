import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hva } from '../../../src/address.ts';
import { type FlatRange, renderFlatView } from '../../../src/qemu/memory/flat-view.ts';
import type { MemoryListener } from '../../../src/qemu/memory/listener.ts';
import { type MemoryRegion, sizes } from '../../../src/qemu/memory/region.ts';
import type { MemoryTopology } from '../../../src/qemu/memory/topology.ts';
import { Recorder, topologyOf } from './io-space.ts';

const SPACE = 64;

/** A region as the generator describes it; `of` makes an alias of an earlier one. */
interface Plan {
  readonly kind: 'container' | 'io' | 'ram' | 'alias';
  readonly size: number;
  readonly at: number;
  readonly priority: number;
  readonly parent: number;
  readonly enabled: boolean;
  readonly of: number;
  readonly offset: number;
}
const plan: fc.Arbitrary<Plan> = fc.record({
  kind: fc.constantFrom('container', 'io', 'ram', 'alias'),
  size: fc.integer({ min: 0, max: 24 }),
  at: fc.integer({ min: 0, max: SPACE }),
  priority: fc.integer({ min: -1, max: 2 }),
  parent: fc.nat(8),
  enabled: fc.boolean(),
  of: fc.nat(8),
  offset: fc.nat(12),
});

function build(topology: MemoryTopology, plans: readonly Plan[]): MemoryRegion {
  const recorder = new Recorder();
  const root = topology.container('root', SPACE);
  // What is aliased holds no other regions, or an alias inside it could lead back to itself: QEMU would recurse as well.
  const holders: MemoryRegion[] = [root];
  const targets: MemoryRegion[] = [];
  plans.forEach((one, i) => {
    const name = `r${i}`;
    const target = targets[one.of % Math.max(1, targets.length)];
    const region =
      one.kind === 'alias' && target !== undefined
        ? topology.alias(name, target, one.offset, one.size)
        : one.kind === 'io'
          ? topology.io(name, one.size, recorder.ops(name, sizes(1, 4), sizes(1, 4)))
          : one.kind === 'ram'
            ? topology.ram(name, one.size, hva(0x1000))
            : topology.container(name, one.size);
    holders[one.parent % holders.length]!.addSubregion(one.at, region, one.priority);
    region.setEnabled(one.enabled);
    if (region.kind === 'container' || (region.kind === 'io' && one.of % 2 === 0)) holders.push(region);
    else if (region.kind !== 'alias') targets.push(region);
  });
  return root;
}

/** Who answers at `address` of `region`, asked byte by byte: the first subregion that has an answer, else itself. */
function answer(region: MemoryRegion, address: number): { region: MemoryRegion; offset: number } | undefined {
  if (!region.enabled || address < 0 || address >= region.size) return undefined;
  if (region.alias !== undefined) return answer(region.alias, address + region.aliasOffset);
  for (const subregion of region.subregions) {
    const found = answer(subregion, address - subregion.address);
    if (found !== undefined) return found;
  }
  return region.terminates ? { region, offset: address } : undefined;
}

describe('rendering', () => {
  test('agrees with a byte-by-byte search through the tree', () => {
    fc.assert(
      fc.property(fc.array(plan, { maxLength: 8 }), (plans) => {
        const root = build(topologyOf(), plans);
        const view = renderFlatView(root);
        for (let address = 0; address < SPACE; address++) {
          const range = view.lookup(address);
          const got = range && { region: range.region, offset: address - range.start + range.offset };
          expect(got?.region.name).toBe(answer(root, address)?.region.name);
          expect(got?.offset).toBe(answer(root, address)?.offset);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('gives disjoint ranges in ascending order, none that could be merged', () => {
    fc.assert(
      fc.property(fc.array(plan, { maxLength: 8 }), (plans) => {
        const { ranges } = renderFlatView(build(topologyOf(), plans));
        ranges.forEach((range, i) => {
          const before = ranges[i - 1];
          expect(range.start).toBeLessThan(range.end);
          if (before === undefined) return;
          expect(before.end).toBeLessThanOrEqual(range.start);
          const continues =
            before.region === range.region && before.offset + before.end - before.start === range.offset;
          expect(before.end === range.start && continues && before.readonly === range.readonly).toBe(false);
        });
      }),
    );
  });

  test('of equal priorities the later added one is in front; a higher priority wins over both', () => {
    const topology = topologyOf();
    const root = topology.container('root', 16);
    const at = (address: number) => renderFlatView(root).lookup(address)?.region.name;
    root.addSubregion(0, topology.ram('first', 16, hva(0)));
    root.addSubregion(4, topology.ram('second', 8, hva(0)));
    root.addSubregion(6, topology.ram('low', 2, hva(0)), -1);
    const high = topology.ram('high', 2, hva(0));
    root.addSubregion(8, high, 1);
    root.addSubregion(8, topology.ram('third', 2, hva(0)));
    expect([at(0), at(5), at(6), at(8), at(13)]).toEqual(['first', 'second', 'second', 'high', 'first']);
    root.deleteSubregion(high);
    expect(at(8)).toBe('third');
  });

  test('a readonly alias makes RAM readonly', () => {
    const topology = topologyOf();
    const root = topology.container('root', 16);
    root.addSubregion(0, topology.rom('rom', 8, hva(0)));
    root.addSubregion(8, topology.ram('ram', 8, hva(0)));
    expect(renderFlatView(root).ranges.map((range) => range.readonly)).toEqual([true, false]);
  });
});

describe('listeners', () => {
  const listener = (name: string, priority: number, calls: string[]): MemoryListener => {
    const say = (what: string) => (range: FlatRange) =>
      calls.push(`${name} ${what} ${range.region.name} ${range.start}-${range.end}`);
    return {
      name,
      priority,
      regionAdd: say('add'),
      regionDelete: say('del'),
      commit: () => calls.push(`${name} commit`),
    };
  };

  test('vfio (0) hears of new RAM before KVM (10), and of RAM that goes after it', () => {
    const topology = topologyOf();
    const root = topology.container('root', 64);
    const space = topology.addressSpace('memory', root);
    const calls: string[] = [];
    space.register(listener('kvm', 10, calls));
    space.register(listener('vfio', 0, calls));
    calls.length = 0;
    const ram = topology.ram('ram', 16, hva(0));
    root.addSubregion(0, ram);
    root.deleteSubregion(ram);
    expect(calls).toEqual([
      'vfio add ram 0-16',
      'kvm add ram 0-16',
      'vfio commit',
      'kvm commit',
      'kvm del ram 0-16',
      'vfio del ram 0-16',
      'vfio commit',
      'kvm commit',
    ]);
  });

  test('moving a region is one del and one add, after which everything is told at once', () => {
    const topology = topologyOf();
    const root = topology.container('root', 64);
    const space = topology.addressSpace('memory', root);
    const ram = topology.ram('ram', 16, hva(0));
    const calls: string[] = [];
    root.addSubregion(0, ram);
    space.register(listener('kvm', 10, calls));
    expect(calls).toEqual(['kvm add ram 0-16', 'kvm commit']);
    calls.length = 0;
    topology.transaction(() => {
      root.deleteSubregion(ram);
      root.addSubregion(32, ram);
    });
    expect(calls).toEqual(['kvm del ram 0-16', 'kvm add ram 32-48', 'kvm commit']);
  });

  test('what they were told always adds up to the view', () => {
    fc.assert(
      fc.property(fc.array(plan, { minLength: 1, maxLength: 6 }), (plans) => {
        const topology = topologyOf();
        const held = new Map<string, true>();
        const key = (r: FlatRange) => `${r.start}-${r.end} ${r.region.name}+${r.offset} ${r.readonly}`;
        const root = topology.container('outer', SPACE);
        const space = topology.addressSpace('memory', root);
        space.register({
          name: 'sum',
          priority: 0,
          regionAdd: (range) => {
            expect(held.has(key(range))).toBe(false);
            held.set(key(range), true);
          },
          regionDelete: (range) => expect(held.delete(key(range))).toBe(true),
        });
        const inner = build(topology, plans);
        root.addSubregion(0, inner);
        for (const subregion of [...inner.subregions]) {
          subregion.setEnabled(!subregion.enabled);
          expect([...held.keys()].sort()).toEqual(space.view.ranges.map(key).sort());
        }
      }),
      { numRuns: 200 },
    );
  });
});
