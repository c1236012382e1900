/** The same port accesses to Debian's QEMU and to ours: configuration space, routing through bridges, the UART. */

import { describe, expect, test } from 'vitest';
import { nullBackend } from '../../../src/qemu/hw/char/stdio.ts';
import { accessesTo, qemuVersion, qtest, qtestTrace } from '../qtest.ts';
import { configReadCommands, configWriteCommands, Unplugged } from './unplugged.ts';

const version = qemuVersion();
/** What COM1 of ours answers. */
function serial(script: readonly string[]): number[] {
  const ours = new Unplugged([]);
  ours.machine.addSerial(nullBackend);
  return ours.run(script);
}
const oracle = version === undefined ? describe.skip : describe;
if (version === undefined) console.warn('skipped: qemu-system-x86_64 is not installed, nothing to compare with');

/** Each callback of a region, with what it is given or returns. */
const EVENTS = 'memory_region_ops_*';

/** A fixed sequence of pseudo-random numbers: xorshift32. */
function* numbers(seed: number): Generator<number, never> {
  let x = seed;
  for (;;) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}

/** Commands that write `count` random values of random width, reading the register back after each. */
function randomConfigCycles(seed: number, count: number, bus: number, devfn: number, last: number): string[] {
  const random = numbers(seed);
  const commands: string[] = [];
  for (let i = 0; i < count; i++) {
    const size = [1, 2, 4][random.next().value % 3]!;
    const offset = (random.next().value % (last / size)) * size;
    const pattern = random.next().value;
    const value = [pattern, 0xffff_ffff, 0, pattern][pattern % 4]! % 2 ** (8 * size);
    commands.push(...configWriteCommands(bus, devfn, offset, size, value));
    commands.push(...configReadCommands(bus, devfn, offset & 0xfc));
  }
  for (let offset = 0; offset < 256; offset += 4) commands.push(...configReadCommands(bus, devfn, offset));
  return commands;
}

const bridge = (id: string, chassis: number, addr: number, bus = 'pci.0') =>
  `-device pci-bridge,id=${id},chassis_nr=${chassis},addr=${addr},bus=${bus}`;
/** QEMU's bridge has a hot-plug controller and MSI unless told otherwise; ours has neither. */
const real = (argv: string) => argv.replaceAll('pci-bridge,', 'pci-bridge,shpc=off,msi=off,').split(' ');

oracle(`against QEMU ${version}`, () => {
  test('i440FX: every register as after reset', () => {
    const commands = Array.from({ length: 64 }, (_, i) => configReadCommands(0, 0, i * 4)).flat();
    expect(new Unplugged(['-m', '128']).run(commands)).toEqual(qtest(['-m', '128'], commands));
  });

  test('i440FX: what sticks of writes to its header', () => {
    const commands = randomConfigCycles(0x1234_5678, 300, 0, 0, 0x40);
    expect(new Unplugged(['-m', '128']).run(commands)).toEqual(qtest(['-m', '128'], commands));
  });

  test.each([1, 2, 3])('pci-bridge: what sticks of writes anywhere (seed %i)', (seed) => {
    const argv = bridge('br', 7, 5);
    const commands = randomConfigCycles(seed * 0x9e37_79b9, 300, 0, 5 << 3, 0x100);
    expect(new Unplugged(argv.split(' ')).run(commands)).toEqual(qtest(real(argv), commands));
  });

  test('configuration cycles go down through two bridges by their bus numbers', () => {
    const argv = `${bridge('a', 1, 5)} ${bridge('b', 2, 3, 'a')} ${bridge('c', 3, 4, 'b')}`;
    const ids = () =>
      [0, 1, 2, 3, 9].flatMap((bus) => [0, 3, 4, 5].flatMap((slot) => configReadCommands(bus, slot << 3, 0)));
    const numbers = (bus: number, slot: number, value: number) => configWriteCommands(bus, slot << 3, 0x18, 4, value);
    const commands = [
      ...ids(),
      ...numbers(0, 5, 0x00ff_0100),
      ...ids(),
      ...numbers(1, 3, 0x00ff_0201),
      ...ids(),
      // The second bridge's numbers now lie outside what the first one lets through.
      ...numbers(0, 5, 0x0001_0100),
      ...ids(),
      // Holding the secondary bus in reset hides what lies behind its number range.
      ...numbers(0, 5, 0x0009_0100),
      ...configWriteCommands(0, 5 << 3, 0x3e, 2, 0x40),
      ...ids(),
    ];
    expect(new Unplugged(argv.split(' ')).run(commands)).toEqual(qtest(real(argv), commands));
  });

  test('0xCF8 and 0xCFC in every width and offset', () => {
    const commands: string[] = [];
    const random = numbers(99);
    for (let i = 0; i < 200; i++) {
      const word = ['outb', 'outw', 'outl', 'inb', 'inw', 'inl'][random.next().value % 6]!;
      const size = { b: 1, w: 2, l: 4 }[word.at(-1) as 'b'];
      // Not across 0xcf9: a byte there resets a real board.
      const data = random.next().value % 2 === 0;
      const port = data || size !== 4 ? 0xcfc + (random.next().value % (5 - size)) : 0xcf8;
      const value = [0x8000_0000, 0x8000_0008, 0x0000_0000, 0x8001_0000][random.next().value % 4]! % 2 ** (8 * size);
      commands.push(
        word.startsWith('out') ? `${word} 0x${port.toString(16)} ${value}` : `${word} 0x${port.toString(16)}`,
      );
    }
    for (const word of ['inb 0xcf8', 'inw 0xcf8', 'inl 0xcf8']) commands.push(word);
    expect(new Unplugged(['-m', '128']).run(commands)).toEqual(qtest(['-m', '128'], commands));
  });

  test('ports nobody has', () => {
    const commands = ['inb 0x1234', 'inw 0x1234', 'inl 0x1234', 'outl 0x1234 1', 'inl 0x1232'];
    expect(new Unplugged([]).run(commands)).toEqual(qtest([], commands));
    const [ours, real] = [new Unplugged([]).trace(commands, EVENTS), qtestTrace([], commands, EVENTS)];
    expect(ours).toHaveLength(6);
    expect(accessesTo(/^io$/, ours)).toEqual(accessesTo(/^io$/, real));
  });

  test('16550: registers, divisor latch, FIFO and loop-back', () => {
    const at = (register: number) => `0x${(0x3f8 + register).toString(16)}`;
    const readAll = [0, 1, 2, 3, 4, 5, 6, 7].map((register) => `inb ${at(register)}`);
    const script = [
      ...readAll,
      // Divisor latch: 16 bits under DLAB, IER keeps its value.
      `outb ${at(1)} 0xff`,
      `outb ${at(3)} 0x80`,
      `outb ${at(0)} 0x34`,
      `outb ${at(1)} 0x12`,
      `inb ${at(0)}`,
      `inb ${at(1)}`,
      `outb ${at(3)} 0x03`,
      ...readAll,
      `outb ${at(7)} 0x5a`,
      // Loop-back: modem outputs come back as inputs, bytes as received ones.
      ...[0x10, 0x11, 0x12, 0x14, 0x18, 0x1f].flatMap((mcr) => [`outb ${at(4)} ${mcr}`, `inb ${at(6)}`]),
      `outb ${at(1)} 0`,
      `outb ${at(2)} 7`,
      `inb ${at(2)}`,
      `inb ${at(5)}`,
      ...[0x41, 0x42, 0x43].map((byte) => `outb ${at(0)} ${byte}`),
      `inb ${at(5)}`,
      `inb ${at(0)}`,
      `inb ${at(0)}`,
      `inb ${at(5)}`,
      // Clearing the receive FIFO drops what waits.
      `outb ${at(2)} 3`,
      `inb ${at(5)}`,
      `outb ${at(0)} 0x44`,
      `inl ${at(0)}`,
      `inb ${at(5)}`,
    ];
    expect(serial(script)).toEqual(qtest(['-serial', 'null'], script));
  });

  test('16550: IIR after any sequence of accesses in loop-back', () => {
    let seed = 16550;
    const random = (below: number) => {
      seed = (seed * 69069 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const at = (register: number) => `0x${(0x3f8 + register).toString(16)}`;
    // Bytes in and out most of all; the line is 8N1 and loops back.
    const steps = [
      () => `outb ${at(0)} ${random(256)}`,
      () => `outb ${at(0)} ${random(256)}`,
      () => `outb ${at(0)} ${random(256)}`,
      () => `inb ${at(0)}`,
      () => `inb ${at(0)}`,
      () => `outb ${at(1)} ${random(16)}`,
      () => `outb ${at(2)} ${random(256)}`,
      () => `inb ${at(5)}`,
      () => `inb ${at(2)}`,
    ];
    const script = [`outb ${at(3)} 3`, `outb ${at(4)} 0x10`];
    for (let i = 0; i < 1500; i++) script.push(steps[random(steps.length)]!(), `inb ${at(2)}`, `inb ${at(1)}`);
    expect(serial(script)).toEqual(qtest(['-serial', 'null'], script));
  });

  test('16550: bytes below the trigger level, after a while', () => {
    const at = (register: number) => `0x${(0x3f8 + register).toString(16)}`;
    const script = [`outb ${at(4)} 0x10`, `outb ${at(2)} 0xc7`, `outb ${at(1)} 1`];
    for (const byte of [1, 2, 3]) script.push(`outb ${at(0)} ${byte}`);
    script.push(`inb ${at(2)}`, 'clock_step 100000000', `inb ${at(2)}`, `inb ${at(0)}`, `inb ${at(2)}`);
    script.push('clock_step 100000000', `inb ${at(2)}`, `inb ${at(0)}`, `inb ${at(0)}`, `inb ${at(2)}`);
    expect(serial(script)).toEqual(qtest(['-serial', 'null'], script));
  });
});
