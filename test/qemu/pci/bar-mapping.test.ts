/** When a BAR decodes, and through which bridge windows its ports are reached (hw/pci/pci.c: pci_bar_address). */

import { describe, expect, test } from 'vitest';
import { EventStream, matchingEvents } from '../../../src/event.ts';
import { PciBus } from '../../../src/qemu/hw/pci/pci-bus.ts';
import { type DeviceBus, PciDevice } from '../../../src/qemu/hw/pci/pci-device.ts';
import { sizes } from '../../../src/qemu/memory/region.ts';
import type { MemoryTopology } from '../../../src/qemu/memory/topology.ts';
import { Recorder, topologyOf } from '../memory/io-space.ts';
import { Unplugged } from './unplugged.ts';

const COMMAND = 4;
const IO = 1;
const MEMORY = 2;

/** A function with an I/O BAR of 8 bytes, a memory BAR of 4 KiB, and a 64-bit one of 1 MiB. */
class TestDevice extends PciDevice {
  constructor(topology: MemoryTopology, stream: EventStream, bus: DeviceBus) {
    super(stream, bus, 3 << 3, 'test', 'dut');
    const ops = new Recorder().ops('bar', sizes(1, 4), sizes(1, 4));
    this.identify({ vendor: 0x1234, device: 0x5678, class: 0xff00 });
    this.registerBar(0, 1, topology.io('ports', 8, ops));
    this.registerBar(1, 0, topology.io('registers', 0x1000, ops));
    this.registerBar(2, 0xc, topology.io('big', 0x10_0000, ops));
  }
}

function setUp() {
  const topology = topologyOf();
  const stream = new EventStream(() => 0n);
  const trace: string[] = [];
  stream.subscribe(matchingEvents('pci_update_mappings_*'), ({ event, fields }) =>
    trace.push(`${event.title} ${event.text(fields as never)}`),
  );
  const [memory, io] = [topology.container('pci', 2 ** 64), topology.container('io', 0x1_0000)];
  const spaces = { memory: topology.addressSpace('memory', memory), io: topology.addressSpace('I/O', io) };
  const bus = new PciBus('pci.0', { memory, io, dma: spaces.memory });
  const device = new TestDevice(topology, stream, bus);
  const ranges = (space: 'memory' | 'io') =>
    spaces[space].view.ranges.map((range) => `${range.region.name} ${range.start.toString(16)}`);
  return { device, trace, ranges };
}

test('sizing: all ones read back as the size and the type bits', () => {
  const { device } = setUp();
  for (const at of [0x10, 0x14, 0x18, 0x1c, 0x20]) device.writeConfig(at, 0xffff_ffff, 4);
  const bars = [0x10, 0x14, 0x18, 0x1c, 0x20].map((at) => device.readConfig(at, 4).toString(16));
  expect(bars).toEqual(['fffffff9', 'fffff000', 'fff0000c', 'ffffffff', '0']);
});

test('a BAR decodes only while COMMAND lets it, and moves with its register', () => {
  const { device, trace, ranges } = setUp();
  device.writeConfig(0x10, 0xc105, 4);
  expect(device.readConfig(0x10, 4)).toBe(0xc101);
  expect(ranges('io')).toEqual([]);
  device.writeConfig(COMMAND, IO, 2);
  expect(ranges('io')).toEqual(['ports c100']);
  device.writeConfig(0x11, 0xd2, 1);
  expect(ranges('io')).toEqual(['ports d200']);
  device.writeConfig(COMMAND, 0, 2);
  expect(ranges('io')).toEqual([]);
  expect(trace).toEqual([
    'pci_update_mappings_add test 00:03.0 0,0xc100+0x8',
    'pci_update_mappings_del test 00:03.0 0,0xc100+0x8',
    'pci_update_mappings_add test 00:03.0 0,0xd200+0x8',
    'pci_update_mappings_del test 00:03.0 0,0xd200+0x8',
  ]);
});

test.each([
  ['base 0 is no address', 0x14, 0, []],
  ['all ones while sizing', 0x14, 0xffff_ffff, []],
  ['the last page of 32 bits: its end is 0xffffffff', 0x14, 0xffff_f000, []],
  ['one page below', 0x14, 0xffff_e000, ['registers ffffe000']],
])('32-bit memory BAR, %s', (_why, at, value, mapped) => {
  const { device, ranges } = setUp();
  device.writeConfig(COMMAND, IO | MEMORY, 2);
  device.writeConfig(at, value, 4);
  expect(ranges('memory')).toEqual(mapped);
});

test('a 64-bit BAR takes its upper half from the next register', () => {
  const { device, ranges } = setUp();
  device.writeConfig(COMMAND, MEMORY, 2);
  device.writeConfig(0x1c, 0x12, 4);
  device.writeConfig(0x18, 0x8010_0000, 4);
  expect(ranges('memory')).toEqual(['big 1280100000']);
});

test('an I/O BAR above 64 KiB is mapped where no port reaches it', () => {
  const { device, ranges } = setUp();
  device.writeConfig(COMMAND, IO, 2);
  device.writeConfig(0x10, 0x2_0000, 4);
  expect(ranges('io')).toEqual([]);
});

test('reset unmaps, and leaves identity and type bits', () => {
  const { device, ranges } = setUp();
  device.writeConfig(0x10, 0xc100, 4);
  device.writeConfig(COMMAND, IO | MEMORY, 2);
  device.reset();
  expect(ranges('io')).toEqual([]);
  expect([0, COMMAND, 0x10, 0x18].map((at) => device.readConfig(at, 4).toString(16))).toEqual([
    '56781234',
    '0',
    '1',
    'c',
  ]);
});

test('a BAR whose size is no power of two is refused', () => {
  const topology = topologyOf();
  const [memory, io] = [topology.container('pci', 64), topology.container('io', 64)];
  const bus = new PciBus('pci.0', { memory, io, dma: topology.addressSpace('memory', memory) });
  const device = new PciDevice(new EventStream(() => 0n), bus, 0, 'test', undefined);
  const ops = new Recorder().ops('bar', sizes(1, 4), sizes(1, 4));
  expect(() => device.registerBar(0, 1, topology.io('ports', 6, ops))).toThrow('power of two - type=0x1, size=0x6');
});

describe('windows of a bridge', () => {
  const BRIDGE = 5 << 3;
  /** A machine whose bridge `br` has bus number 1 and a test device at 01:03.0 with BAR0 at `port`. */
  function behindBridge(port: number) {
    const board = new Unplugged(['-device', 'pci-bridge,id=br,chassis_nr=1,addr=5']);
    const bus = board.machine.pciBus('br');
    bus.attach(new TestDevice(board.machine.topology, board.stream, bus));
    board.configWrite(0, BRIDGE, 0x18, 4, 0x0001_0100);
    board.configWrite(1, 3 << 3, 0x10, 4, port);
    board.configWrite(1, 3 << 3, COMMAND, 2, IO | MEMORY);
    return board;
  }
  /** 4 KiB windows: base in bits 7:4 of byte 0x1c, limit of 0x1d. */
  const openIo = (board: Unplugged, base: number, limit: number) =>
    board.configWrite(0, BRIDGE, 0x1c, 2, (base >> 8) | (limit & 0xf000));

  test('the device behind is found by a type 1 cycle, and not without bus numbers', () => {
    const board = behindBridge(0xc000);
    expect(board.configRead(1, 3 << 3, 0)).toBe(0x5678_1234);
    board.configWrite(0, BRIDGE, 0x18, 4, 0);
    expect(board.configRead(1, 3 << 3, 0)).toBe(0xffff_ffff);
  });

  test.each([
    ['its ports are reached through the window', 0xc000, 0xc000, 0xcfff, IO, 0x0302_0100],
    ['a window elsewhere hides them', 0xc000, 0xd000, 0xdfff, IO, 0xffff_ffff],
    ['a limit below the base closes the window', 0xc000, 0xf000, 0x0fff, IO, 0xffff_ffff],
    ['COMMAND.IO of the bridge closes it', 0xc000, 0xc000, 0xcfff, MEMORY, 0xffff_ffff],
    ['a window of 8 KiB holds the second 4 KiB too', 0xd000, 0xc000, 0xdfff, IO, 0x0302_0100],
  ])('%s', (_what, port, base, limit, command, answer) => {
    const board = behindBridge(port);
    board.configWrite(0, BRIDGE, COMMAND, 2, command);
    openIo(board, base, limit);
    expect(board.in(port, 4)).toBe(answer);
  });

  test('memory goes through a window in steps of 1 MiB', () => {
    const board = behindBridge(0);
    const data = new DataView(new ArrayBuffer(8));
    const answer = () => {
      board.machine.memory.read(0xfe20_0000, data, 0, 4);
      return data.getUint32(0, true);
    };
    board.configWrite(1, 3 << 3, 0x14, 4, 0xfe20_0000);
    board.configWrite(0, BRIDGE, COMMAND, 2, MEMORY);
    board.configWrite(0, BRIDGE, 0x20, 4, 0xfe20_fe20);
    expect(answer()).toBe(0x0302_0100);
    board.configWrite(0, BRIDGE, 0x20, 4, 0xfe30_fe30);
    expect(answer()).toBe(0);
    board.configWrite(0, BRIDGE, 0x24, 4, 0xfe20_fe20);
    expect(answer()).toBe(0x0302_0100);
  });

  test('a secondary bus reset takes the BARs away', () => {
    const board = behindBridge(0xc000);
    board.configWrite(0, BRIDGE, COMMAND, 2, IO);
    openIo(board, 0xc000, 0xcfff);
    expect(board.in(0xc000, 1)).toBe(0);
    board.configWrite(0, BRIDGE, 0x3e, 2, 0x40);
    expect(board.in(0xc000, 1)).toBe(0xff);
  });
});
