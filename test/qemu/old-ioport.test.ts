/** register_ioport_read/write and pci_register_bar of QEMU before 1.0, as qemu-io.md's table of defaults has them. */

import { describe, expect, test } from 'vitest';
import type { OldIoports, Width } from '../../src/qemu/hw/old-ioport.ts';
import { registerOldBar } from '../../src/qemu/hw/pci/old-bar.ts';
import { PciDevice } from '../../src/qemu/hw/pci/pci-device.ts';
import { Unplugged } from './pci/unplugged.ts';

/** Registers of `length` ports at 0x300, one function for each of `sizes`; what they are called with. */
function registered(length: number, sizes: readonly Width[]) {
  const board = new Unplugged([]);
  const calls: string[] = [];
  register(board.machine.ioports, calls, 0x300, length, sizes);
  return { board, calls };
}

function register(ports: OldIoports, calls: string[], start: number, length: number, sizes: readonly Width[]): void {
  const hex = (value: number) => value.toString(16);
  for (const size of sizes) {
    const read = (to: string[], address: number) => {
      to.push(`read${size} ${hex(address)}`);
      return address & 0xff;
    };
    const write = (to: string[], address: number, data: number) => {
      to.push(`write${size} ${hex(address)} ${hex(data)}`);
    };
    ports.registerRead(start, length, size, read, calls);
    ports.registerWrite(start, length, size, write, calls);
  }
}

describe('only bytes registered', () => {
  test('a word is two bytes; a dword reads all ones and its write is lost', () => {
    const { board, calls } = registered(8, [1]);
    board.out(0x302, 2, 0xbbaa);
    expect(board.in(0x304, 2)).toBe(0x0504);
    board.out(0x300, 4, 0xddccbbaa);
    expect(board.in(0x300, 4)).toBe(0xffff_ffff);
    expect(calls).toEqual(['write1 302 aa', 'write1 303 bb', 'read1 304', 'read1 305']);
  });

  test('a word over the end reads 0xff behind it', () => {
    const { board } = registered(8, [1]);
    expect(board.in(0x307, 2)).toBe(0xff07);
  });
});

test('each width has its own function, at the ports in steps of the width', () => {
  const { board, calls } = registered(4, [1, 2, 4]);
  expect([board.in(0x300, 1), board.in(0x302, 2), board.in(0x300, 4)]).toEqual([0, 2, 0]);
  // No word function stands at an odd port: two bytes.
  expect(board.in(0x301, 2)).toBe(0x0201);
  expect(calls).toEqual(['read1 300', 'read2 302', 'read4 300', 'read1 301', 'read1 302']);
});

test('a second opaque on a port, or another width, ends QEMU', () => {
  const { board } = registered(4, [1]);
  const { ioports } = board.machine;
  expect(() => ioports.registerRead(0x303, 1, 1, () => 0, {})).toThrow('invalid opaque for address 0x303');
  expect(() => ioports.registerRead(0x400, 4, 3 as Width, () => 0, {})).toThrow('register_ioport_read: invalid size');
});

test('unassigned ports are nobody’s again', () => {
  const { board, calls } = registered(4, [1]);
  board.machine.ioports.unassign(0x300, 4);
  expect([board.in(0x300, 1), calls]).toEqual([0xff, []]);
});

describe('pci_register_bar with a map function', () => {
  class OldDevice extends PciDevice {
    readonly calls: string[] = [];
    constructor({ machine }: Unplugged) {
      super(machine.system.stream, machine.rootBus, 4 << 3, 'old', undefined);
      this.identify({ vendor: 1, device: 2, class: 0xff });
      registerOldBar(machine, this, 0, 8, (device, number, address, size, type) => {
        device.calls.push(`map ${number} ${address.toString(16)} ${size} ${type}`);
        register(machine.ioports, device.calls, address, size, [1]);
      });
      machine.rootBus.attach(this);
    }
  }

  test('it is called at each place the guest gives the BAR; the old ports are dead then, the new ones live', () => {
    const board = new Unplugged([]);
    const { calls } = new OldDevice(board);
    const move = (address: number) => board.configWrite(0, 4 << 3, 0x10, 4, address);
    move(0xc000);
    expect(calls).toEqual([]);
    board.configWrite(0, 4 << 3, 4, 2, 1);
    board.out(0xc003, 1, 5);
    move(0xd000);
    board.out(0xc003, 1, 6);
    board.out(0xd001, 1, 7);
    board.configWrite(0, 4 << 3, 4, 2, 0);
    board.out(0xd001, 1, 8);
    expect(calls).toEqual(['map 0 c000 8 1', 'write1 c003 5', 'map 0 d000 8 1', 'write1 d001 7']);
  });
});
