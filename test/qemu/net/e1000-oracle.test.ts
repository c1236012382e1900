/** Register-exact: the same accesses to Debian's e1000 and to ours. */

import { expect, test } from 'vitest';
import { configReadCommands, configWriteCommands, Unplugged } from '../pci/unplugged.ts';
import { qemuVersion, qtest } from '../qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

/** Debian's card has a boot ROM, ours has none. */
const CARD = '-device e1000,addr=4';
const same = (commands: readonly string[]) =>
  expect(new Unplugged(CARD.split(' ')).run(commands)).toEqual(qtest(`${CARD},romfile=`.split(' '), commands));

const DEVFN = 4 << 3;
const BAR0 = 0xe000_0000;
const PORTS = 0xc000;
/** BAR0 at {@link BAR0}, BAR1 at {@link PORTS}, I/O, memory and bus mastering on. */
const placed = [
  ...configWriteCommands(0, DEVFN, 0x10, 4, BAR0),
  ...configWriteCommands(0, DEVFN, 0x14, 4, PORTS),
  ...configWriteCommands(0, DEVFN, 4, 2, 7),
];
const at = (offset: number) => `0x${(BAR0 + offset).toString(16)}`;
const write = (offset: number, value: number) => `writel ${at(offset)} 0x${(value >>> 0).toString(16)}`;
const read = (offset: number) => `readl ${at(offset)}`;
const range = (from: number, to: number, step = 4) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
/** Every register, and of the 64 KiB of packet buffer its ends. */
const everything = [...range(0, 0x1_0000), 0x1_0000, 0x1_0004, 0x1_fff8, 0x1_fffc];
const status = () => configReadCommands(0, DEVFN, 4);

oracle('e1000: configuration space, and where its BARs may lie', () => {
  const config = range(0, 0x100).flatMap((offset) => configReadCommands(0, DEVFN, offset));
  const sizing = [0x10, 0x14].flatMap((offset) => configWriteCommands(0, DEVFN, offset, 4, 0xffff_ffff));
  same([...config, ...sizing, ...config]);
});

oracle('e1000: every register after reset', () => same([...placed, ...everything.map(read)]));

oracle('e1000: what every register keeps of ones and of zeros', () => {
  // TCTL first, so that a tail finds the transmitter as the last write to TCTL left it: off.
  const written = everything.filter((offset) => offset !== 0x400 && offset !== 0x20);
  const fill = (value: number) => written.flatMap((offset) => [write(offset, value), read(offset)]);
  same([...placed, ...fill(0xffff_ffff), ...fill(0), ...everything.map(read)]);
});

oracle('e1000: narrow and wide accesses, and the I/O BAR', () => {
  const widths = ['b', 'w', 'l', 'q'];
  const reads = [0, 1, 2, 3, 4, 6, 8].flatMap((offset) => widths.map((width) => `read${width} ${at(offset)}`));
  const writes = [0x5400, 0x5401, 0x5402, 0x5403].flatMap((offset) =>
    widths.flatMap((width) => [`write${width} ${at(offset)} 0x1234567890abcdef`, read(0x5400), read(0x5404)]),
  );
  const port = (offset: number) => `0x${(PORTS + offset).toString(16)}`;
  const ports = [`outl ${port(0)} 8`, `inl ${port(4)}`, `inl ${port(0)}`, `outl ${port(4)} 1`, `inb ${port(5)}`];
  same([...placed, ...reads, ...writes, ...ports]);
});

oracle('e1000: interrupt causes, their mask, and INTA in configuration space', () => {
  const look = [read(0xc8), read(0xd0), ...status()];
  same([
    ...placed,
    ...[write(0xc8, 0x85), write(0xd0, 0x4), write(0xd8, 0x4), write(0xd0, 0x80), write(0xc0, 0x80)].flatMap((step) => [
      step,
      ...look,
    ]),
    read(0xc0),
    ...look,
    read(0xc0),
  ]);
});

oracle('e1000: after one interrupt the next waits 128 µs, or as long as ITR says', () => {
  const again = [write(0xc8, 0x4), ...status(), 'clock_step 200000000', ...status(), read(0xc0), ...status()];
  same([
    ...placed,
    write(0xd0, 0x4),
    ...[write(0xc8, 0x4), ...status(), read(0xc0), ...status()],
    'clock_step 100000000',
    ...again,
    // 16.7 ms.
    write(0xc4, 0xffff),
    'clock_step 100000000',
    ...again,
  ]);
});

oracle('e1000: all words of the EEPROM by EERD', () => {
  const addresses = [...range(0, 66, 1), 0xff, 0xffff];
  same([
    ...placed,
    ...addresses.flatMap((word) => [write(0x14, (word << 8) | 1), read(0x14)]),
    write(0x14, 0),
    read(0x14),
  ]);
});

oracle('e1000: the EEPROM by its wires', () => {
  const CS = 2;
  const clock = (bit: number) => [CS | (bit << 2), CS | (bit << 2) | 1, CS | (bit << 2)].map((v) => write(0x10, v));
  const request = (opcode: number, word: number) =>
    [
      ...range(0, 3, 1).map((i) => (opcode >> (2 - i)) & 1),
      ...range(0, 6, 1).map((i) => (word >> (5 - i)) & 1),
    ].flatMap(clock);
  const bits = (count: number) => range(0, count, 1).flatMap(() => [...clock(0), read(0x10)]);
  const session = (opcode: number, word: number, count: number) => [
    write(0x10, 0),
    write(0x10, CS),
    read(0x10),
    ...request(opcode, word),
    read(0x10),
    ...bits(count),
  ];
  same([
    ...placed,
    read(0x10),
    write(0x10, 0x70),
    read(0x10),
    ...session(6, 0, 40),
    ...session(6, 63, 20),
    ...session(5, 1, 4),
    ...session(6, 10, 5),
    // Deselected in the middle.
    write(0x10, 1),
    read(0x10),
    ...session(6, 11, 16),
  ]);
});

oracle('e1000: every register of the PHY through MDIC, and of a PHY that is not there', () => {
  const mdic = (phy: number, register: number, command: number) =>
    write(0x20, ((phy << 21) | (register << 16) | command) >>> 0);
  const READ = 0x0800_0000;
  const WRITE = 0x0400_0000;
  const registers = range(0, 32, 1);
  const reads = registers.flatMap((register) => [mdic(1, register, READ), read(0x20)]);
  same([
    ...placed,
    ...reads,
    ...registers.flatMap((register) => [mdic(1, register, WRITE | 0xedff), read(0x20)]),
    ...reads,
    mdic(0, 1, READ),
    read(0x20),
    mdic(1, 1, 0x1234),
    read(0x20),
    mdic(1, 1, READ | 0x2000_0000),
    read(0x20),
    read(0xc0),
  ]);
});

oracle('e1000: a new negotiation takes the link down for 500 ms', () => {
  const look = [read(8), read(0xc8), write(0x20, 0x0821_0000), read(0x20), write(0x20, 0x0825_0000), read(0x20)];
  same([...placed, ...look, write(0x20, 0x0420_1340), ...look, 'clock_step 500000000', ...look]);
});
