import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MEMTX_ACCESS_ERROR, MEMTX_OK } from '../../../src/qemu/memory/access.ts';
import { type MemoryRegionOps, sizes } from '../../../src/qemu/memory/region.ts';
import { Recorder, read, topologyOf, write } from './io-space.ts';

const nobody: MemoryRegionOps = { read: () => 0xff, write: () => undefined, valid: sizes(0, 0), impl: sizes(0, 0) };
const SHAPES = [
  [sizes(1, 4), sizes(1, 4)],
  [sizes(1, 4, true), sizes(1, 4, true)],
  [sizes(0, 0), sizes(1, 1)],
  [sizes(2, 4), sizes(4, 4)],
] as const;

/** Twelve ports, three devices that come, go and move about in them, and two address spaces that show them. */
function twoSpaces() {
  const topology = topologyOf();
  const recorder = new Recorder();
  const root = topology.io('io', 12, nobody);
  const devices = SHAPES.map((shape, index) => topology.io(`d${index}`, 4, recorder.ops(`d${index}`, ...shape)));
  for (const [index, device] of devices.entries()) root.addSubregion(index * 2, device, index);
  return { topology, recorder, root, devices, kept: topology.addressSpace('kept', root) };
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('move' as const), device: fc.nat(3), to: fc.nat(8) }),
  fc.record({ kind: fc.constant('enable' as const), device: fc.nat(3), on: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom('read' as const, 'write' as const),
    at: fc.nat(9),
    size: fc.constantFrom(1, 2, 4),
  }),
);

test('an address space that has seen an access before answers as one that has not', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const { topology, recorder, root, devices, kept } = twoSpaces();
      for (const one of steps) {
        if (one.kind === 'move') {
          const device = devices[one.device]!;
          root.deleteSubregion(device);
          root.addSubregion(one.to, device, one.device);
        } else if (one.kind === 'enable') devices[one.device]!.setEnabled(one.on);
        else {
          const made = [kept, topology.addressSpace('fresh', root)].map((space) => {
            recorder.calls.length = 0;
            const told: string[] = [];
            space.onOddAccess = ({ why, region, address, size }) => told.push(`${why} ${region} ${address} ${size}`);
            const answer =
              one.kind === 'read' ? read(space, one.at, one.size) : write(space, one.at, one.size, 0x44332211n);
            return { answer, told, calls: [...recorder.calls] };
          });
          expect(made[0]).toEqual(made[1]);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('a write that takes its own register out of the way is the last one there', () => {
  const topology = topologyOf();
  const writes: number[] = [];
  const root = topology.io('io', 0x100, nobody);
  const space = topology.addressSpace('I/O', root);
  const bar = topology.io('bar', 4, {
    read: () => 0,
    write: (_offset, _size, value) => {
      writes.push(value);
      bar.setEnabled(false);
    },
    valid: sizes(1, 4),
    impl: sizes(1, 4),
  });
  root.addSubregion(0x40, bar);
  write(space, 0x40, 1, 1n);
  write(space, 0x40, 1, 2n);
  expect(writes).toEqual([1]);
});

test('a device that is accessed by its own register access is refused the second time as well', () => {
  const topology = topologyOf();
  const results: number[] = [];
  const told: string[] = [];
  let nested = false;
  const ops: MemoryRegionOps = {
    read: () => 0,
    write: () => {
      if (nested) results.push(write(space, 0x40, 1, 7n));
    },
    valid: sizes(1, 4),
    impl: sizes(1, 4),
  };
  const root = topology.io('io', 0x100, nobody);
  const space = topology.addressSpace('I/O', root);
  root.addSubregion(0x40, topology.io('bar', 4, ops, { engaged: false }));
  space.onOddAccess = ({ why }) => told.push(why);
  expect(write(space, 0x40, 1, 1n)).toBe(MEMTX_OK);
  nested = true;
  expect(write(space, 0x40, 1, 1n)).toBe(MEMTX_OK);
  expect(results).toEqual([MEMTX_ACCESS_ERROR]);
  expect(told).toEqual(['nested']);
});
