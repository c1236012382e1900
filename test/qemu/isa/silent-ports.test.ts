/** Ports 0x80 and 0xf0: what Debian's QEMU answers there, and to which pieces of an access. */

import { expect, test } from 'vitest';
import { Unplugged } from '../pci/unplugged.ts';
import { accessesTo, qemuVersion, qtest, qtestTrace } from '../qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

/** A board with both ports. */
function board(): Unplugged {
  const ours = new Unplugged([]);
  ours.machine.addBasicDevices();
  return ours;
}

/** Each port in every width, and what reaches over its beginning from a port that nobody has. */
const commands = [0x80, 0xf0, 0xef, 0xee, 0xed].flatMap((port) =>
  ['b', 'w', 'l'].flatMap((width) => [`in${width} ${port}`, `out${width} ${port} 0x44332211`, `in${width} ${port}`]),
);

oracle('every access of 1, 2 and 4 bytes gives what it gives in QEMU, from the same region', () => {
  expect(board().run(commands)).toEqual(qtest([], commands));
  const events = 'memory_region_ops_*';
  const theirs = accessesTo(/^io(port80|portF0)?$/, qtestTrace([], commands, events));
  expect(theirs.length).toBeGreaterThan(commands.length);
  expect(accessesTo(/./, board().trace(commands, events))).toEqual(theirs);
});

oracle('a dword at 0x80 stays there, not in the DMA page registers behind it', () => {
  const dword = ['outl 0x80 0x44332211', 'inl 0x80', 'inb 0x81', 'inb 0x82', 'inb 0x83'];
  expect(board().run(dword)).toEqual(qtest([], dword));
});
