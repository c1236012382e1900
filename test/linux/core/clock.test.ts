/** Virtual time: timers fire in order of their deadlines, and sleeping is the only other way for time to pass. */

import { describe, expect, test } from 'vitest';
import { Clock } from '../../../src/linux/core/clock.ts';
import { EAGAIN, EINVAL } from '../../../src/linux/uapi/errno.ts';
import { SIGNAL } from '../../../src/linux/uapi/signal.ts';
import { Host } from '../../qemu/bench.ts';

const NEVER = Number.POSITIVE_INFINITY;

describe('Clock', () => {
  test('timers fire by deadline, equal ones in the order they were started; one may start or cancel others', () => {
    let worked = 0;
    const clock = new Clock();
    clock.drivenBy(() => worked);
    const fired: string[] = [];
    clock.start(20, () => fired.push('b'));
    const cancelled = clock.start(20, () => fired.push('never'));
    clock.start(20, () => fired.push('c'));
    clock.start(10, () => {
      fired.push('a');
      clock.cancel(cancelled);
      clock.start(15, () => fired.push('a2'));
    });
    worked = 9;
    clock.expire();
    expect([fired, clock.nextDeadline]).toEqual([[], 10]);
    worked = 25;
    clock.expire();
    expect(fired).toEqual(['a', 'a2', 'b', 'c']);
    expect([clock.nextDeadline, clock.cancel(cancelled), clock.now]).toEqual([NEVER, false, 25]);
  });

  test('sleep jumps to the next timer, and there is none to wake a sleep without timers', () => {
    const clock = new Clock();
    clock.start(1000, () => {});
    clock.start(5000, () => {});
    expect([clock.sleep(), clock.now, clock.sleep(), clock.now, clock.sleep(), clock.now]).toEqual([
      true,
      1000,
      true,
      5000,
      false,
      5000,
    ]);
  });
});

describe('the process’s timer', () => {
  test('SIGALRM comes at its deadline, and the sleep that waits for it takes the time until then', () => {
    const { syscalls } = new Host().kernel.spawn('sh', () => {}).user;
    syscalls.timer_settime(1_000_000);
    expect(syscalls.rt_sigtimedwait(false)).toBe(-EAGAIN);
    expect(syscalls.rt_sigtimedwait(true)).toBe(SIGNAL.SIGALRM);
    expect(syscalls.clock_gettime()).toBe(1_000_000);
    expect(syscalls.rt_sigtimedwait(true)).toBe(-EAGAIN);
  });

  test('setting it again replaces it; Infinity disarms it', () => {
    const { kernel } = new Host();
    const { syscalls } = kernel.spawn('sh', () => {}).user;
    syscalls.timer_settime(10);
    syscalls.timer_settime(20);
    expect(kernel.clock.nextDeadline).toBe(20);
    syscalls.timer_settime(NEVER);
    expect(kernel.clock.nextDeadline).toBe(NEVER);
    expect([syscalls.timer_settime(Number.NaN), syscalls.timer_settime(-1)]).toEqual([-EINVAL, -EINVAL]);
    expect(kernel.clock.nextDeadline).toBe(NEVER);
  });

  test('a guest that computes is stopped at the instruction where the timer is due', () => {
    const host = new Host();
    host.kvm.instructionLimit = 100_000;
    const fired: number[] = [];
    host.kernel.clock.start(5000, () => fired.push(host.kernel.clock.now));
    host.qemu(['-device', 'isa-debug-exit'], 'here: jmp here');
    expect(fired).toEqual([5000]);
  });
});
