/** Trace events of the board's own chips: the lines of Debian's QEMU for the same accesses. */

import { expect, test } from 'vitest';
import { nullBackend } from '../../src/qemu/hw/char/stdio.ts';
import { Unplugged } from './pci/unplugged.ts';
import { qemuVersion, qtestTrace } from './qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

oracle('COM1: reads, writes, and what its line is to carry', () => {
  const words = ['outb 0x3fb 0x83', 'outb 0x3f8 1', 'outb 0x3f9 0', 'outw 0x3f8 7', 'outw 0x3f8 0', 'outb 0x3fb 0x5b'];
  const commands = [
    ...words,
    ...[0x00, 0x0c, 0x1d, 0x2e].map((lcr) => `outb 0x3fb ${lcr}`),
    ...['outb 0x3fc 0xff', 'outw 0x3f8 0x4142', 'inb 0x3f8', 'inl 0x3fc', 'outb 0x3fa 0xc7', 'inb 0x3fa', 'inw 0x3f8'],
  ];
  const ours = new Unplugged([]);
  ours.machine.addSerial(nullBackend);
  expect(ours.trace(commands, 'serial_*')).toEqual(qtestTrace(['-serial', 'null'], commands, 'serial_*'));
});

oracle('ACPI’s hot-plug registers', () => {
  const reads = ['00', '04', '08', '0c', '10', '14'].map((offset) => `inl 0xae${offset}`);
  const commands = [
    ...reads,
    ...['outl 0xae08 0x10', 'outl 0xae08 0x300', 'outl 0xae08 0', 'outl 0xae14 1', 'outl 0xae14 0x20', 'outl 0xae00 1'],
    ...['outl 0xae10 1', ...reads, 'outl 0xae08 1', 'outl 0xae14 1', 'outl 0xae10 256', ...reads, 'outl 0xae08 1'],
  ];
  const argv = [4, 5, 9].flatMap((slot) => ['-device', `edu,addr=${slot}`]);
  const ours = new Unplugged(argv);
  ours.machine.hotplug.map();
  expect(ours.trace(commands, 'acpi_pci_*')).toEqual(qtestTrace(argv, commands, 'acpi_pci_*'));
});
