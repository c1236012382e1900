/**
 * Whose address is it? BARs that lie over each other, over RAM and over the board's own ports, moved and switched off at random:
 * every access has to find the device it finds in Debian's QEMU.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { qemuVersion, qtest } from '../qtest.ts';
import { configWriteCommands, Unplugged } from './unplugged.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

const devices = (rom: string) => [
  ...['-m', '64'],
  ...['-device', 'edu,addr=4', '-device', 'pci-testdev,addr=5,membar=64K', '-device', `e1000,addr=6${rom}`],
  ...['-device', 'edu,addr=7', '-device', 'pci-testdev,addr=8'],
  ...['-device', 'pci-bridge,chassis_nr=1,id=br,addr=9,shpc=off', '-device', 'edu,bus=br,addr=1'],
];
const ours = devices('').map((word) => word.replace(',shpc=off', ''));

/** Near each other, over RAM's end, in RAM, and where a BAR does not decode. */
const memoryPlaces = [
  0, 0x10_0000, 0x3f8_0000, 0x3ff_f000, 0xe000_0000, 0xe000_0800, 0xe001_0000, 0xe002_0000, 0xe010_0000,
];
/** Over the ports with nothing behind them, where COM1 would be, behind the reset port, beyond the last port. */
const portPlaces = [0, 0x80, 0xc0, 0x300, 0x3c0, 0xd00, 0xc000, 0xc010, 0xc040, 0xffc0, 0x1_0000];
const slots = [4, 5, 6, 7, 8].map((slot) => slot << 3);

const memoryBar = fc.record({
  bus: fc.constant(0),
  devfn: fc.constantFrom(...slots),
  offset: fc.constantFrom(0x10, 0x18),
  size: fc.constant(4),
  value: fc.constantFrom(...memoryPlaces, 0xffff_ffff),
});
const portBar = fc.record({
  bus: fc.constant(0),
  devfn: fc.constantFrom(...slots),
  offset: fc.constant(0x14),
  size: fc.constant(4),
  value: fc.constantFrom(...portPlaces),
});
const command = fc.record({
  bus: fc.constant(0),
  devfn: fc.constantFrom(...slots, 9 << 3),
  offset: fc.constant(4),
  size: fc.constant(2),
  value: fc.constantFrom(0, 1, 2, 3, 3, 7),
});
/** The bridge's windows, its bus number, and the function behind it. */
const bridge = fc.constantFrom(
  { bus: 0, devfn: 9 << 3, offset: 0x18, size: 4, value: 0x0001_0100 },
  { bus: 0, devfn: 9 << 3, offset: 0x20, size: 4, value: 0xe000_e000 },
  { bus: 0, devfn: 9 << 3, offset: 0x20, size: 4, value: 0xe010_e000 },
  { bus: 0, devfn: 9 << 3, offset: 0x20, size: 4, value: 0xe000_e010 },
  { bus: 1, devfn: 8, offset: 0x10, size: 4, value: 0xe000_0000 },
  { bus: 1, devfn: 8, offset: 0x10, size: 4, value: 0xe010_0000 },
  { bus: 1, devfn: 8, offset: 4, size: 2, value: 3 },
);
const change = fc
  .oneof(
    { weight: 4, arbitrary: memoryBar },
    { weight: 2, arbitrary: portBar },
    { weight: 3, arbitrary: command },
    bridge,
  )
  .map(({ bus, devfn, offset, size, value }) => configWriteCommands(bus, devfn, offset, size, value));

const hex = (value: number) => `0x${value.toString(16)}`;
/** Registers that tell devices apart, and bytes across their ends. */
const lookAround = [
  ...memoryPlaces.slice(1).flatMap((at) => [0, 4, 8, 0x800, 0x802].map((offset) => `readl ${hex(at + offset)}`)),
  ...['readl 0xe001ffff', 'readq 0xe001fffc', 'readw 0xe0000fff', 'readl 0x3fffffe'],
  ...[0x80, 0xee, 0xf0, 0x300, 0x3c4, 0x3f8, 0x3fd, 0xc000, 0xc008, 0xc03f, 0xc040, 0xfffe].flatMap((port) => [
    `inb ${hex(port)}`,
    `inl ${hex(port)}`,
  ]),
];
const touch = fc.oneof(
  fc.constantFrom(...memoryPlaces.slice(4, 9)).map((at) => [`writel ${hex(at + 4)} 0x12345678`]),
  fc.constantFrom(...memoryPlaces.slice(4, 9)).map((at) => [`writeb ${hex(at)} 1`]),
  fc.constantFrom(0x300, 0xc000, 0xc010).map((port) => [`outb ${hex(port)} 0`]),
);

oracle('every access finds the device that it finds in Debian’s QEMU', { timeout: 60_000 }, () => {
  const histories = fc.array(fc.oneof({ weight: 3, arbitrary: change }, touch), { minLength: 30, maxLength: 60 });
  fc.assert(
    fc.property(histories, (history) => {
      const commands = history.flatMap((step) => [...step, ...lookAround]);
      const asked = commands.filter((line) => /^(in|read)/.test(line));
      const told = (answers: readonly number[]) => asked.map((line, i) => `${line}: ${hex(answers[i]!)}`);
      const unplugged = new Unplugged(ours);
      unplugged.machine.addBasicDevices();
      expect(told(unplugged.run(commands))).toEqual(told(qtest(devices(',romfile='), commands)));
    }),
    { numRuns: 10 },
  );
});
