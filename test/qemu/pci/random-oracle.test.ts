/**
 * Accesses that no driver makes, to Debian's QEMU and to ours: registers of any offset, width and alignment, configuration cycles by
 * any byte of 0xcfc, MSI-X tables, in long runs of seeded random tables.
 */

import { expect, test } from 'vitest';
import { nullBackend } from '../../../src/qemu/hw/char/stdio.ts';
import { Msix } from '../../../src/qemu/hw/pci/msix.ts';
import { PciDevice } from '../../../src/qemu/hw/pci/pci-device.ts';
import { qemuVersion, qtest, qtestTrace } from '../qtest.ts';
import { hex, Random } from '../random.ts';
import { configReadCommands, configWriteCommands, Unplugged } from './unplugged.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

/** Answers with what asked for them, so that a difference names its access. */
const told = (commands: readonly string[], answers: readonly number[]) =>
  commands.filter((command) => /^(in|read)/.test(command)).map((command, i) => `${command}: ${hex(answers[i]!)}`);

function same(commands: readonly string[], ours: Unplugged, argv: readonly string[]): void {
  expect(told(commands, ours.run(commands))).toEqual(told(commands, qtest(argv, commands)));
}

const DEVFN = 4 << 3;
const BAR0 = 0xe000_0000;
const PORTS = 0xc000;
const placed = (bar: number) => [
  ...configWriteCommands(0, DEVFN, 0x10 + 4 * bar, 4, BAR0),
  ...configWriteCommands(0, DEVFN, 4, 2, 7),
];

oracle('16550: every register in every width, in loop-back and not', () => {
  const random = new Random(16550);
  const commands: string[] = [];
  for (let i = 0; i < 2500; i++) {
    const size = random.one([1, 1, 1, 2, 4] as const);
    commands.push(random.port(0x3f8 + random.below(9 - size), size));
    if (random.below(8) === 0) commands.push(`outb 0x3fc ${hex(random.below(32))}`);
  }
  const ours = new Unplugged([]);
  ours.machine.addSerial(nullBackend);
  same(commands, ours, ['-serial', 'null']);
});

oracle('configuration cycles of every device, by every byte of the data port', () => {
  const ours = '-m 64 -device edu,addr=4 -device pci-testdev,addr=5,membar=1M -device e1000,addr=6';
  const theirs = ours.replace('e1000,', 'e1000,romfile=,').split(' ');
  const random = new Random(0xcf8);
  const commands: string[] = [];
  const slots = [0, 1, 4, 5, 6];
  for (let i = 0; i < 2500; i++) {
    const register = random.below(256) & (random.below(8) === 0 ? 0xff : 0xfc);
    const size = random.one([1, 2, 4] as const);
    commands.push(`outl 0xcf8 ${hex(0x8000_0000 + random.one(slots) * 0x800 + register)}`);
    commands.push(random.port(0xcfc + random.below(5 - size), size), `inl 0xcfc`, 'inb 0xcfd');
  }
  same(commands, new Unplugged(ours.split(' ')), theirs);
});

oracle('edu: any width at any offset, its MSI into memory, INTx disabled and not', () => {
  const random = new Random(0xed0);
  const commands = placed(0);
  const capability = [0x40, 0x44, 0x48, 0x4c];
  for (let i = 0; i < 1500; i++) {
    const size = random.one([1, 2, 4, 4, 8] as const);
    const offset =
      random.one([0, 4, 0x10, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0xa0]) + random.one([0, 0, 0, 1, 4]);
    // A factorial takes time, and so does a transfer.
    if (offset + size <= 8 || (offset >= 0x0c && offset + size <= 0x98) || offset >= 0xa0)
      commands.push(random.memory(BAR0 + offset, size));
    if (random.below(4) > 0) continue;
    commands.push(
      ...random.one([
        configWriteCommands(0, DEVFN, 4, 2, random.one([7, 6, 3, 0x407, 0x406])),
        configWriteCommands(0, DEVFN, 0x42, 2, random.one([0, 1, 0x71, 0xffff])),
        configWriteCommands(0, DEVFN, 0x44, 4, 0x10_0000 + 4 * random.below(16)),
        configWriteCommands(0, DEVFN, 0x4c, 2, random.below(0x1_0000)),
      ]),
      ...[4, ...capability].flatMap((at) => configReadCommands(0, DEVFN, at)),
      `readl ${hex(0x10_0000 + 4 * random.below(16))}`,
    );
  }
  const argv = '-m 64 -device edu,addr=4'.split(' ');
  same(commands, new Unplugged(argv), argv);
});

oracle('pci-testdev: any width at any offset of both BARs', () => {
  const random = new Random(0x7e57);
  const commands = [...configWriteCommands(0, DEVFN, 0x14, 4, PORTS), ...placed(0)];
  const near = (half: number) =>
    random.one([0, random.below(44), half + random.below(12), 2 * half - 1 - random.below(6)]);
  for (let i = 0; i < 2500; i++) {
    if (random.below(2) === 0) commands.push(random.memory(BAR0 + near(2048), random.one([1, 2, 4, 8] as const)));
    else commands.push(random.port(PORTS + near(128), random.one([1, 2, 4] as const)));
    if (random.below(8) === 0)
      commands.push(`writeb ${hex(BAR0)} ${random.below(4)}`, `writeb ${hex(BAR0 + 2048)} 0xfa`);
  }
  const argv = '-device pci-testdev,addr=4'.split(' ');
  same(commands, new Unplugged(argv), argv);
});

/** The MSI-X of QEMU's virtio-rng-pci, without the rest of it: two vectors in BAR1. */
class TwoVectors extends PciDevice {
  readonly #msix: Msix;

  constructor({ system, topology, rootBus }: Unplugged['machine']) {
    super(system.stream, rootBus, DEVFN, 'two-vectors', undefined);
    const bar = topology.container('two-vectors', 4096);
    this.registerBar(1, 0, bar);
    this.#msix = new Msix(topology, this, 2, { bar: 1, region: bar, table: 0, pending: 0x800, capability: 0x98 });
    rootBus.attach(this);
  }

  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    this.#msix.written(address, length);
  }
}

oracle('MSI-X: its table, its pending bits and its capability, in any width', () => {
  const random = new Random(0x351);
  const commands = placed(1);
  for (let i = 0; i < 2000; i++) {
    const size = random.one([1, 2, 4, 4, 8] as const);
    const offset = random.one([random.below(0x28), 0x800 + random.below(0x10), 0x7fc, 0xff8]);
    commands.push(random.memory(BAR0 + (random.below(4) === 0 ? offset : offset & ~(size - 1)), size));
    if (random.below(5) > 0) continue;
    const width = random.one([1, 2, 4] as const);
    const at = 0x98 + random.one([0, 4, 8]) + random.below(5 - width);
    commands.push(...configWriteCommands(0, DEVFN, at, width, Number(random.value(width))));
    // Of the first word the next capability's place is the device's own.
    commands.push(`outl 0xcf8 ${hex(0x8000_0000 + DEVFN * 0x100 + 0x98)}`, 'inb 0xcfc', 'inw 0xcfe');
    commands.push(...[0x9c, 0xa0].flatMap((offset) => configReadCommands(0, DEVFN, offset)));
  }
  const ours = new Unplugged([]);
  new TwoVectors(ours.machine);
  const theirs = '-device virtio-rng-pci,addr=4'.split(' ');
  same(commands, ours, theirs);
  const again = new Unplugged([]);
  new TwoVectors(again.machine);
  const told = again.trace(commands, 'msix_*').map((line) => line.replace('two-vectors', 'virtio-rng-pci'));
  expect(told).toEqual(qtestTrace(theirs, commands, 'msix_*'));
});
