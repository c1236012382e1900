/** The main loop's descriptors: by epoll, and one by one where the kernel has no memory for that (fdmon_epoll_disable). */

import { expect, test } from 'vitest';
import { MainLoop } from '../../src/qemu/main-loop.ts';
import { System } from '../../src/qemu/system.ts';
import { boot } from '../linux/core/machine.ts';
import { Faults } from '../linux/faults.ts';

test.each([
  ['with epoll', 0],
  ['without a set', 1],
  ['without a file for the set', 2],
  ['without room in the set', 3],
])('%s a handler is called while its descriptor is readable, until it is removed', (_, nth) => {
  const kernel = boot();
  const { user } = kernel.spawn('qemu', () => {});
  const faults = new Faults(user, false);
  const system = new System(user, kernel.stream);
  const loop = new MainLoop(system);
  const called: string[] = [];
  const [first, second] = [system.eventNotifier(), system.eventNotifier()];
  const { injected } = faults.nth(nth, () => {
    loop.setFdHandler(first, () => {
      called.push('first');
      system.testAndClear(first);
    });
    return 0;
  });
  expect(injected).toBe(true);
  loop.setFdHandler(second, () => void called.push('second'));
  expect(loop.dispatch()).toBe(0);
  const one = system.heap.allocate(8);
  user.memory.write(one, Uint8Array.of(1));
  for (const fd of [first, second]) expect(user.syscalls.write(fd, one, 8)).toBe(8);
  expect([loop.dispatch(), loop.dispatch(), called]).toEqual([2, 1, ['first', 'second', 'second']]);
  loop.setFdHandler(second, undefined);
  expect(loop.dispatch()).toBe(0);
});
