/** QEMU's timers on the process's one: it is set to the first that is due, whatever becomes of the others. */

import { expect, test } from 'vitest';
import type { System } from '../../src/qemu/system.ts';
import { TimerList } from '../../src/qemu/timer.ts';

function list() {
  const set: number[] = [];
  const time = { now: 0 };
  const syscalls = { clock_gettime: () => time.now, timer_settime: (deadline: number) => set.push(deadline) };
  return { timers: new TimerList({ syscalls } as unknown as System), set, time };
}

test('the first to be due may be put off, and be overtaken', () => {
  const { timers, set } = list();
  const [one, other] = [timers.timer(() => undefined), timers.timer(() => undefined)];
  one.modify(10);
  one.modify(30);
  other.modify(20);
  other.modify(40);
  other.modify(40);
  one.cancel();
  other.cancel();
  expect(set).toEqual([10, 30, 20, 30, 40, Number.POSITIVE_INFINITY]);
});

test('what is due is called, earliest first, and may arm itself again', () => {
  const { timers, set, time } = list();
  const called: string[] = [];
  const again = timers.timer(() => {
    called.push('again');
    again.modify(100);
  });
  const once = timers.timer(() => called.push('once'));
  again.modify(20);
  once.modify(10);
  time.now = 50;
  expect([timers.run(), called, set.at(-1), once.pending]).toEqual([2, ['once', 'again'], 100, false]);
});
