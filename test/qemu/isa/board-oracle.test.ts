/** The board's DMA controllers and port 92, in any width and at any alignment, to Debian's QEMU and to ours. */

import { expect, test } from 'vitest';
import { Unplugged } from '../pci/unplugged.ts';
import { accessesTo, qemuVersion, qtest, qtestTrace } from '../qtest.ts';
import { hex, Random } from '../random.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

function board(): Unplugged {
  const ours = new Unplugged([]);
  ours.machine.addBasicDevices();
  return ours;
}

/** Answers with what asked for them, so that a difference names its access. */
const told = (commands: readonly string[], answers: readonly number[]) =>
  commands.filter((command) => command.startsWith('in')).map((command, i) => `${command}: ${hex(answers[i]!)}`);

const PAGES = [0x81, 0x82, 0x83, 0x87, 0x89, 0x8a, 0x8b, 0x8f];
/** Channel 2 is the floppy disk controller's, which answers a request. */
const FLOPPY_CHANNEL = 2;

/** An access to a controller or a page register; a request is for a channel that nobody has. */
function access(random: Random): string {
  const size = random.one([1, 1, 1, 1, 2, 4] as const);
  const at = random.one([random.below(0x10), 0xc0 + random.below(0x20), random.one(PAGES)]);
  const command = random.port(at, size);
  const asksFloppy = at < 0x10 && at + size > 9 && (Number(command.split(' ')[2]) & 3) === FLOPPY_CHANNEL;
  return size > 1 && at < 0x10 && at + size > 8 ? `inb ${hex(at)}` : asksFloppy ? `inb ${hex(at)}` : command;
}

oracle('i8257: every register of both controllers, in any width', () => {
  const random = new Random(0x8237);
  const commands = Array.from({ length: 4000 }, () => access(random));
  expect(told(commands, board().run(commands))).toEqual(told(commands, qtest([], commands)));
});

oracle('i8257: accesses arrive at the same regions in the same pieces', () => {
  const random = new Random(0x8257);
  const commands = Array.from({ length: 300 }, () => access(random));
  const events = 'memory_region_ops_*';
  const theirs = accessesTo(/^dma-/, qtestTrace([], commands, events));
  expect(theirs.length).toBeGreaterThan(commands.length / 2);
  expect(accessesTo(/^dma-/, board().trace(commands, events))).toEqual(theirs);
});

oracle('port 92 keeps what is written but for the reset', () => {
  const values = [0, 2, 0xfe, 0x54, 0x12];
  const commands = values.flatMap((value) => [`outb 0x92 ${value}`, 'inb 0x92', 'inw 0x92', 'inl 0x91']);
  expect(board().run(commands)).toEqual(qtest([], commands));
});

test('port 92 resets the machine when bit 0 comes up', () => {
  const ours = board();
  ours.run(['outb 0x92 2']);
  expect(ours.machine.end).toBeUndefined();
  ours.run(['outb 0x92 3']);
  expect(ours.machine.end).toEqual({ reason: 'reset', code: 0 });
});
