/** The kernel's log is a ring: what does not fit drops the oldest (kernel/printk/printk_ringbuffer.c). */

import { expect, test } from 'vitest';
import { EventStream } from '../../../src/event.ts';
import { KernelLog } from '../../../src/linux/core/printk.ts';

const logOf = (count: number, text: (number: number) => string) => {
  const log = new KernelLog(new EventStream(() => 0n));
  for (let number = 0; number < count; number++) log.print(`${text(number)}\n`);
  return log.lines;
};

test('4096 entries of a few characters, the last ones', () => {
  const lines = logOf(10_000, String);
  expect(lines).toHaveLength(4096);
  expect([lines[0], lines.at(-1)]).toEqual(['5904', '9999']);
});

test('128 KiB of text with its descriptors', () => {
  const lines = logOf(1000, (number) => String(number).padStart(1016, '.'));
  expect(lines).toHaveLength(128);
  expect(lines.at(-1)).toMatch(/\.999$/);
});
