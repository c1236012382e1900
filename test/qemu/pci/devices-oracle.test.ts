/** Register-exact: the same accesses to Debian's QEMU and to ours, for edu, pci-testdev and the PIIX3. */

import { expect, test } from 'vitest';
import { qemuVersion, qtest } from '../qtest.ts';
import { configReadCommands, configWriteCommands, Unplugged } from './unplugged.ts';

const version = qemuVersion();
/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = version === undefined ? test.skip : test;

const same = (argv: string, commands: readonly string[]) => {
  const words = argv === '' ? [] : argv.split(' ');
  expect(new Unplugged(words).run(commands)).toEqual(qtest(words, commands));
};
const config = (slot: number) => Array.from({ length: 64 }, (_, i) => configReadCommands(0, slot << 3, i * 4)).flat();
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

oracle('edu: configuration space, and what sticks of writes to its MSI capability', () => {
  const all = [0x40, 0x44, 0x48, 0x4c].flatMap((offset) => configWriteCommands(0, DEVFN, offset, 4, 0xffff_ffff));
  const enable = configWriteCommands(0, DEVFN, 0x42, 2, 0x71);
  same('-device edu,addr=4', [...config(4), ...all, ...config(4), ...enable, ...config(4)]);
});

oracle('edu: every register in every width, and what its writes leave', () => {
  const offsets = [0, 4, 8, 0x10, 0x20, 0x24, 0x60, 0x64, 0x80, 0x84, 0x88, 0x90, 0x98, 0xa0, 0x4_0000, 0xf_fff8];
  const reads = offsets.flatMap((offset) => ['b', 'w', 'l', 'q'].map((width) => `read${width} ${at(offset)}`));
  const writes = [0, 4, 0x20, 0x24, 0x80, 0x84, 0x88, 0x90].flatMap((offset) =>
    ['b', 'w', 'l', 'q'].flatMap((width, i) => [
      `write${width} ${at(offset)} ${0x81 + i}`,
      // A quadword at 4 starts a factorial with its upper half.
      ...(offset === 4 && width === 'q' ? ['clock_step 1000'] : []),
      ...reads,
    ]),
  );
  same('-device edu,addr=4', [...placed, ...reads, ...writes]);
});

oracle('edu: interrupts in its status and in configuration space', () => {
  const look = [`readl ${at(0x24)}`, ...configReadCommands(0, DEVFN, 4)];
  same('-device edu,addr=4', [
    ...placed,
    ...[0x5, 0x8000_0000].flatMap((bits) => [`writel ${at(0x60)} ${bits}`, ...look]),
    ...[0x4, 0xffff_ffff].flatMap((bits) => [`writel ${at(0x64)} ${bits}`, ...look]),
    ...configWriteCommands(0, DEVFN, 4, 2, 0x407),
    `writel ${at(0x60)} 1`,
    ...look,
  ]);
});

oracle('edu: the factorial, with the bit that raises an interrupt', () => {
  const compute = (n: number) => [`writel ${at(8)} ${n}`, 'clock_step 1000', `readl ${at(8)}`];
  const status = [`readl ${at(0x20)}`, `readl ${at(0x24)}`];
  const numbers = [0, 1, 5, 12, 13, 20, 33, 34, 40].flatMap((n) => [...compute(n), ...status]);
  same('-device edu,addr=4', [...placed, ...numbers, `writel ${at(0x20)} 0xff`, ...compute(6), ...status]);
});

oracle('edu: DMA in both directions takes 100 ms, and its registers stand still meanwhile', () => {
  const dma = (source: number, destination: number, count: number, command: number) => [
    `writeq ${at(0x80)} ${source}`,
    `writeq ${at(0x88)} ${destination}`,
    `writeq ${at(0x90)} ${count}`,
    `writeq ${at(0x98)} ${command}`,
  ];
  const registers = [0x80, 0x88, 0x90, 0x98].map((offset) => `readq ${at(offset)}`);
  same('-device edu,addr=4 -m 64', [
    ...placed,
    'writeq 0x100000 0x1122334455667788',
    'writel 0x100008 0xdeadbeef',
    ...dma(0x10_0000, 0x4_0100, 12, 1),
    `writeq ${at(0x80)} 0`,
    ...registers,
    'clock_step 100000000',
    ...registers,
    ...dma(0x4_0102, 0x20_0001, 9, 7),
    'clock_step 100000000',
    ...registers,
    `readl ${at(0x24)}`,
    'readq 0x200000',
    'readq 0x200008',
    // Not a bus master: nothing arrives.
    ...configWriteCommands(0, DEVFN, 4, 2, 3),
    ...dma(0x4_0102, 0x30_0000, 8, 3),
    'clock_step 100000000',
    'readq 0x300000',
    // 28 address lines.
    ...configWriteCommands(0, DEVFN, 4, 2, 7),
    ...dma(0x4_0102, 0x1030_0000, 8, 3),
    'clock_step 100000000',
    'readq 0x300000',
  ]);
});

oracle('pci-testdev: configuration space with and without BAR2', () => {
  same('-device pci-testdev,addr=4', config(4));
  same('-device pci-testdev,addr=4,membar=1M', config(4));
});

oracle('pci-testdev: header of each test, and what counts', () => {
  const port = (offset: number) => `0x${(PORTS + offset).toString(16)}`;
  const header = Array.from({ length: 40 }, (_, i) => [`readb ${at(i)}`, `inb ${port(i)}`]).flat();
  const wide = [`readl ${at(4)}`, `readw ${at(12)}`, `inl ${port(4)}`, `inw ${port(12)}`];
  const test = (n: number) => [`writeb ${at(0)} ${n}`, ...header, ...wide, `outb ${port(0)} ${n}`, ...header, ...wide];
  const writes = [
    `writeb ${at(0)} 0`,
    ...[0xfa, 0xfa, 0xce].map((value) => `writeb ${at(2048)} ${value}`),
    `writel ${at(2048)} 0xfa`,
    `writeb ${at(2049)} 0xfa`,
    ...wide,
    `outb ${port(0)} 0`,
    ...[0xfa, 0x1].map((value) => `outb ${port(131)} ${value}`),
    ...wide,
  ];
  same('-device pci-testdev,addr=4', [...placed, ...header, ...[0, 1, 2, 3].flatMap(test), ...writes]);
});

oracle('ivshmem-plain: configuration space, its registers, and the memory', () => {
  const place = [
    ...configWriteCommands(0, DEVFN, 0x10, 4, BAR0),
    ...configWriteCommands(0, DEVFN, 0x18, 4, BAR0 + 0x10_0000),
    ...configWriteCommands(0, DEVFN, 4, 2, 2),
  ];
  const registers = [0, 4, 8, 0xc, 0x10, 0xfc].map((offset) => `readl ${at(offset)}`);
  const writes = [0, 4, 8].flatMap((offset) => [`writel ${at(offset)} 0x12345678`, ...registers]);
  const memory = [`writeq ${at(0x10_0ffc)} 0x1122334455667788`, `readl ${at(0x10_1000)}`, `readb ${at(0x10_0000)}`];
  const argv = '-object memory-backend-ram,id=m,size=1M -device ivshmem-plain,memdev=m,addr=4';
  same(argv, [...config(4), ...place, ...config(4), ...registers, ...writes, `readb ${at(1)}`, ...memory]);
});

oracle('i440FX: who answers in each piece from 0xc0000 to 0xfffff, by PAM', () => {
  const pam = (register: number, value: number) => configWriteCommands(0, 0, register, 1, value);
  const all = (value: number) => [0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f].flatMap((register) => pam(register, value));
  const pieces = [...Array.from({ length: 12 }, (_, i) => 0xc_0000 + i * 0x4000), 0xf_0000];
  const edges = pieces.flatMap((start) => [start, start === 0xf_0000 ? 0xf_fffc : start + 0x3ffc]);
  const hex = (value: number) => `0x${value.toString(16)}`;
  const write = (value: number) => edges.map((at, i) => `writel ${hex(at)} ${hex(value + i)}`);
  const read = edges.map((at) => `readl ${hex(at)}`);
  // What the bus has there is QEMU's firmware from 0xe0000 on: only its own RAM can be compared.
  const expansion = edges.filter((at) => at < 0xe_0000).map((at) => `readl ${hex(at)}`);
  const others = ['readl 0x9fffc', 'readl 0x100000', 'writel 0x9fffc 0x1234', 'readl 0x9fffc'];
  same('-m 64', [
    ...config(0),
    ...expansion,
    // RAM, then RAM that only reads, that only takes writes, and RAM again.
    ...all(0x33),
    ...write(0xaabb_0000),
    ...read,
    ...all(0x11),
    ...write(0x1111_0000),
    ...read,
    ...all(0x22),
    ...write(0x2222_0000),
    ...read,
    ...all(0x33),
    ...read,
    // One piece at a time: the others keep what they had.
    ...[0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f].flatMap((register, i) => [
      ...pam(register, 0x13),
      ...write(0x4444_0000 + i * 0x1_0000),
      ...read,
      ...pam(register, 0x33),
    ]),
    ...all(0),
    ...expansion,
    ...config(0),
    ...others,
  ]);
});

oracle('PIIX3: the ISA bridge’s registers, its PIRQ routes and the reset control port', () => {
  const routes = configWriteCommands(0, 1 << 3, 0x60, 4, 0x0b0a_0905);
  const port = ['outb 0xcf9 2', 'inb 0xcf9', 'outb 0xcf9 0xf3', 'inb 0xcf9', 'inl 0xcf8', 'inw 0xcf8'];
  same('', [...config(1), ...routes, ...config(1), ...port]);
});

oracle('ACPI’s hot-plug registers, of buses that are not there too, and an ejection that nobody asked for', () => {
  const registers = ['00', '04', '08', '0c', '10', '14'].map((offset) => `inl 0xae${offset}`);
  const widths = ['inb 0xae0c', 'inw 0xae0c', 'inl 0xae0d', 'outb 0xae10 1', 'outw 0xae10 1', 'inl 0xae10'];
  const buses = [1, 2, 255, 256, 0xffff_ffff, 0].flatMap((bus) => [`outl 0xae10 ${bus}`, ...registers]);
  const present = [...configReadCommands(0, DEVFN, 0), ...configReadCommands(0, 9 << 3, 0), ...registers];
  const eject = (bus: number, slots: number) => [`outl 0xae10 ${bus}`, `outl 0xae08 ${slots}`, ...present];
  const commands = [
    ...registers,
    ...widths,
    ...buses,
    ...present,
    ...eject(1, 0x10),
    ...eject(256, 0x10),
    // The host bridge stays, and of several slots only the lowest goes.
    ...eject(0, 1),
    ...eject(0, 0x210),
    ...eject(0, 0x210),
    ...eject(0, 0x200),
  ];
  const argv = '-device edu,addr=4 -device pci-testdev,addr=9'.split(' ');
  const ours = new Unplugged(argv);
  ours.machine.hotplug.map();
  expect(ours.run(commands)).toEqual(qtest(argv, commands));
});
