/** The forms of MSI (PCI Local Bus 3.0, 6.8.1; hw/pci/msi.c): addresses of 32 and 64 bits, masks, and what waits behind them. */

import { describe, expect, test } from 'vitest';
import { Msi } from '../../../src/qemu/hw/pci/msi.ts';
import { PciDevice } from '../../../src/qemu/hw/pci/pci-device.ts';
import { Unplugged } from './unplugged.ts';

const AT = 0x50;
/** The message's address: RAM, where the dword can be read back. */
const ADDRESS = 0x2000;

function function_(vectors: number, is64Bit: boolean, maskable: boolean) {
  const { machine } = new Unplugged([], { firmware: true });
  const device = new PciDevice(machine.system.stream, machine.rootBus, 0x20, 'test', undefined);
  const msi = new Msi(device, vectors, { at: AT, is64Bit, maskable });
  const write = (offset: number, value: number, length: number) => {
    device.writeConfig(AT + offset, value, length);
    msi.written(AT + offset, length);
  };
  const data = new DataView(new ArrayBuffer(4));
  /** The dword that was sent last; 0 after it was asked for. */
  const sent = () => {
    machine.memory.read(ADDRESS, data, 0, 4);
    const value = data.getUint32(0, true);
    data.setUint32(0, 0, true);
    machine.memory.write(ADDRESS, data, 0, 4);
    return value;
  };
  device.writeConfig(4, 4, 2);
  return { device, msi, write, sent };
}

describe.each([
  ['64 bits', true, 12],
  ['32 bits', false, 8],
] as const)('%s', (_form, is64Bit, dataAt) => {
  test('the capability is as long as its form', () => {
    expect([false, true].map((maskable) => function_(1, is64Bit, maskable).msi.size)).toEqual([
      dataAt + 2,
      dataAt + 12,
    ]);
  });

  test('a message has the vector in its data only where there are several', () => {
    const { msi, write, sent } = function_(4, is64Bit, false);
    write(4, ADDRESS, 4);
    write(dataAt, 0x1237, 2);
    write(2, 0x01, 2);
    msi.notify(0);
    expect(sent()).toBe(0x1237);
    write(2, 0x21, 2);
    msi.notify(1);
    expect(sent()).toBe(0x1235);
  });

  test('masked it waits, is among the pending bits, and is sent when it is unmasked', () => {
    const { device, msi, write, sent } = function_(2, is64Bit, true);
    write(4, ADDRESS, 4);
    write(dataAt, 0x40, 2);
    write(2, 0x11, 2);
    // Only the bits of its two vectors can be written.
    write(dataAt + 4, 0xffff_ffff, 4);
    expect(device.readConfig(AT + dataAt + 4, 4)).toBe(3);
    msi.notify(1);
    expect([sent(), device.readConfig(AT + dataAt + 8, 4)]).toEqual([0, 2]);
    write(dataAt + 4, 1, 4);
    expect([sent(), device.readConfig(AT + dataAt + 8, 4)]).toEqual([0x41, 0]);
    msi.notify(0);
    msi.reset();
    expect([device.readConfig(AT + dataAt + 4, 4), device.readConfig(AT + dataAt + 8, 4)]).toEqual([0, 0]);
  });
});

test('two capabilities in one place are refused', () => {
  const { device } = function_(1, true, false);
  expect(() => device.addCapability(0x11, 0x48, 12)).toThrow(
    '0000:00:00:04.0 Attempt to add PCI capability 11 at offset 48 overlaps existing capability 5 at offset 50',
  );
});
