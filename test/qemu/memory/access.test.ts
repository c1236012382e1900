import { describe, expect, test } from 'vitest';
import { MEMTX_DECODE_ERROR, MEMTX_OK } from '../../../src/qemu/memory/access.ts';
import { type AccessSizes, sizes } from '../../../src/qemu/memory/region.ts';
import { Recorder, read, topologyOf, write } from './io-space.ts';

const unassignedPorts = {
  read: (_offset: number, size: number) => 2 ** (8 * size) - 1,
  write: () => undefined,
  valid: sizes(0, 0),
  impl: sizes(0, 0),
};

/** Ports with one region `bar` of `size` bytes at 0xc000. */
function ports(size: number, valid: AccessSizes, impl: AccessSizes) {
  const topology = topologyOf();
  const recorder = new Recorder();
  const root = topology.io('io', 0x1_0000, unassignedPorts);
  const space = topology.addressSpace('I/O', root);
  root.addSubregion(0xc000, topology.io('bar', size, recorder.ops('bar', valid, impl)));
  return { topology, recorder, root, space };
}
const vfio = [sizes(1, 8), sizes(1, 8)] as const;

describe('outl 0xddccbbaa to the 8-byte BAR of a vfio device is cut at the BAR’s end and by alignment', () => {
  // As recorded on a real host: the pwrites that reached mtty.
  test.each([
    [0, ['write 4 @0 = 0xddccbbaa']],
    [1, ['write 1 @1 = 0xaa', 'write 2 @2 = 0xccbb', 'write 1 @4 = 0xdd']],
    [2, ['write 2 @2 = 0xbbaa', 'write 2 @4 = 0xddcc']],
    [3, ['write 1 @3 = 0xaa', 'write 2 @4 = 0xccbb', 'write 1 @6 = 0xdd']],
    [4, ['write 4 @4 = 0xddccbbaa']],
    [5, ['write 1 @5 = 0xaa', 'write 2 @6 = 0xccbb']],
    [6, ['write 2 @6 = 0xbbaa']],
    [7, ['write 1 @7 = 0xaa']],
  ])('at offset %i', (offset, calls) => {
    const { recorder, space } = ports(8, ...vfio);
    expect(write(space, 0xc000 + offset, 4, 0xddccbbaan)).toBe(MEMTX_OK);
    expect(recorder.calls).toEqual(calls.map((call) => `bar: ${call}`));
  });
});

test('reads mirror it: what lies behind the BAR reads all ones', () => {
  const { space } = ports(8, ...vfio);
  expect(read(space, 0xc006, 4)).toBe(0xffff0706n);
  expect(read(space, 0xc007, 4)).toBe(0xffffff07n);
  expect(read(space, 0xc007, 2)).toBe(0xff07n);
});

test('the rest of a crossing access reaches the neighbour', () => {
  const { topology, recorder, root, space } = ports(8, ...vfio);
  root.addSubregion(0xc008, topology.io('bar1', 8, recorder.ops('bar1', ...vfio)));
  write(space, 0xc006, 4, 0xddccbbaan);
  expect(recorder.calls).toEqual(['bar: write 2 @6 = 0xbbaa', 'bar1: write 2 @0 = 0xddcc']);
});

test('a BAR of 0x1000 gets both halves of outl at +6', () => {
  const { recorder, space } = ports(0x1000, ...vfio);
  write(space, 0xc006, 4, 0xddccbbaan);
  expect(recorder.calls).toEqual(['bar: write 2 @6 = 0xbbaa', 'bar: write 2 @8 = 0xddcc']);
});

test('an aligned access is not clipped at the end of an io region', () => {
  const { recorder, space } = ports(6, sizes(1, 4), sizes(1, 4));
  write(space, 0xc004, 4, 0xddccbbaan);
  expect(recorder.calls).toEqual(['bar: write 4 @4 = 0xddccbbaa']);
});

test('impl 4..4 widens a byte write with zeros and masks a byte read (e1000)', () => {
  const { recorder, space } = ports(0x100, sizes(0, 0), sizes(4, 4));
  write(space, 0xc000, 1, 0xeen);
  expect(recorder.calls).toEqual(['bar: write 4 @0 = 0xee']);
  expect(read(space, 0xc010, 1)).toBe(0x10n);
  expect(recorder.calls[1]).toBe('bar: read 4 @16 = 0x13121110');
});

test('valid 4..8 refuses a byte: reads 0, writes nothing, decode error (edu)', () => {
  const { recorder, space } = ports(0x100, sizes(4, 8), sizes(4, 8));
  expect(write(space, 0xc000, 1, 0xeen)).toBe(MEMTX_DECODE_ERROR);
  expect(read(space, 0xc000, 1)).toBe(0n);
  expect(recorder.calls).toEqual([]);
});

test('impl 1..1 cuts a dword into bytes in ascending order, little endian (serial)', () => {
  const { recorder, space } = ports(8, sizes(0, 0), sizes(1, 1));
  write(space, 0xc000, 4, 0xddccbbaan);
  const bytes = ['0 = 0xaa', '1 = 0xbb', '2 = 0xcc', '3 = 0xdd'];
  expect(recorder.calls).toEqual(bytes.map((call) => `bar: write 1 @${call}`));
  expect(read(space, 0xc004, 2)).toBe(0x0504n);
});

test('impl.unaligned lets a misaligned access through whole', () => {
  const { recorder, space } = ports(8, sizes(1, 4, true), sizes(1, 4, true));
  write(space, 0xc001, 4, 0xddccbbaan);
  expect(recorder.calls).toEqual(['bar: write 4 @1 = 0xddccbbaa']);
});

test('valid without a maximum takes 4 bytes at a time of 8', () => {
  const { recorder, space } = ports(16, sizes(0, 0), sizes(0, 0));
  write(space, 0xc000, 8, 0x8877665544332211n);
  expect(recorder.calls).toEqual(['bar: write 4 @0 = 0x44332211', 'bar: write 4 @4 = 0x88776655']);
});

test('8 bytes at offset 0 or 8 are one access where the region takes them, two at offset 4', () => {
  const { recorder, space } = ports(0x20, ...vfio);
  write(space, 0xc008, 8, 0x8877665544332211n);
  write(space, 0xc004, 8, 0x8877665544332211n);
  expect(read(space, 0xc010, 8)).toBe(0x1716151413121110n);
  expect(recorder.calls).toEqual([
    'bar: write 8 @8 = 0x8877665544332211',
    'bar: write 4 @4 = 0x44332211',
    'bar: write 4 @8 = 0x88776655',
    'bar: read 8 @16 = 0x1716151413121110',
  ]);
});

test('impl 8..8 widens a dword read and write', () => {
  const { recorder, space } = ports(0x20, sizes(1, 8), sizes(8, 8));
  write(space, 0xc008, 4, 0x44332211n);
  expect(read(space, 0xc010, 2)).toBe(0x1110n);
  expect(recorder.calls).toEqual(['bar: write 8 @8 = 0x44332211', 'bar: read 8 @16 = 0x1716151413121110']);
});

test('unassigned memory reads 0 with a decode error, unassigned ports all ones', () => {
  const topology = topologyOf();
  const memory = topology.addressSpace('memory', topology.container('system', 2 ** 64));
  const data = new DataView(new ArrayBuffer(16));
  data.setBigUint64(0, 0x1122334455667788n, true);
  expect(memory.read(0xf000_0000_0001, data, 0, 8)).toBe(MEMTX_DECODE_ERROR);
  expect(data.getBigUint64(0, true)).toBe(0n);
  expect(write(memory, 0xf000_0000, 4, 1n)).toBe(MEMTX_DECODE_ERROR);
  expect(read(ports(8, ...vfio).space, 0x1234, 4)).toBe(0xffffffffn);
});

test('an io region that declares 8 bytes must have the callbacks for them', () => {
  const ops = { read: () => 0, write: () => undefined, valid: sizes(1, 8), impl: sizes(1, 8) };
  expect(() => topologyOf().io('wide', 8, ops)).toThrow(/readWide and writeWide/);
});
