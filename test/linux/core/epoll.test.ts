/** epoll over eventfds: level-triggered, in the order in which they woke. */

import { expect, test } from 'vitest';
import { hva } from '../../../src/address.ts';
import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT } from '../../../src/linux/uapi/errno.ts';
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, POLLIN, POLLOUT } from '../../../src/linux/uapi/syscalls.ts';
import { Host } from '../../qemu/bench.ts';

function process() {
  const { user } = new Host().kernel.spawn('sh', () => {});
  const { syscalls, memory } = user;
  const buffer = hva(syscalls.mmap(4096, 3, 0x22, -1, 0));
  memory.write(buffer, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  const set = syscalls.epoll_create1(0);
  const eventfd = () => {
    const fd = syscalls.eventfd(0, 0o4000);
    expect(syscalls.epoll_ctl(set, EPOLL_CTL_ADD, fd, POLLIN)).toBe(0);
    return fd;
  };
  const signal = (fd: number) => syscalls.write(fd, buffer, 8);
  const drain = (fd: number) => syscalls.read(fd, hva(buffer + 8), 8);
  return { user, syscalls, set, eventfd, signal, drain };
}

test('a descriptor is given as long as it is readable', () => {
  const { syscalls, set, eventfd, signal, drain } = process();
  const [first, second] = [eventfd(), eventfd()];
  expect(syscalls.epoll_wait(set)).toEqual([]);
  signal(second);
  signal(first);
  expect(syscalls.epoll_wait(set)).toEqual([second, first]);
  expect(syscalls.epoll_wait(set)).toEqual([second, first]);
  drain(second);
  expect(syscalls.epoll_wait(set)).toEqual([first]);
  drain(first);
  expect(syscalls.epoll_wait(set)).toEqual([]);
});

test('one that was readable before it was added is ready; changed or taken away it counts by its new events or no more', () => {
  const { syscalls, set, eventfd, signal } = process();
  const fd = eventfd();
  signal(fd);
  syscalls.epoll_ctl(set, EPOLL_CTL_DEL, fd, 0);
  expect(syscalls.epoll_wait(set)).toEqual([]);
  syscalls.epoll_ctl(set, EPOLL_CTL_ADD, fd, POLLIN);
  expect(syscalls.epoll_wait(set)).toEqual([fd]);
  syscalls.epoll_ctl(set, EPOLL_CTL_MOD, fd, POLLOUT);
  expect(syscalls.epoll_wait(set)).toEqual([fd]);
});

test('a thread sleeps until a descriptor of the set wakes, and does not fall asleep while one may be ready', () => {
  const { user, syscalls, set, eventfd, signal, drain } = process();
  const thread = { asleep: false };
  const [first, second] = [eventfd(), eventfd()];
  const falls = (): boolean => {
    user.epollSleep(set, thread);
    return thread.asleep;
  };
  expect(falls()).toBe(false);
  expect([syscalls.epoll_wait(set), falls()]).toEqual([[], true]);
  signal(second);
  expect([thread.asleep, falls(), syscalls.epoll_wait(set), falls()]).toEqual([false, false, [second], false]);
  drain(second);
  expect([syscalls.epoll_wait(set), falls()]).toEqual([[], true]);
  syscalls.epoll_ctl(set, EPOLL_CTL_MOD, first, POLLOUT);
  expect([thread.asleep, syscalls.epoll_wait(set), falls()]).toEqual([false, [first], false]);
});

test('refusals', () => {
  const { syscalls, set, eventfd } = process();
  const fd = eventfd();
  expect(syscalls.epoll_create1(7)).toBe(-EINVAL);
  expect(syscalls.epoll_ctl(set, EPOLL_CTL_ADD, fd, POLLIN)).toBe(-EEXIST);
  expect(syscalls.epoll_ctl(set, EPOLL_CTL_ADD, 99, POLLIN)).toBe(-EBADF);
  expect(syscalls.epoll_ctl(99, EPOLL_CTL_ADD, fd, POLLIN)).toBe(-EBADF);
  expect(syscalls.epoll_ctl(fd, EPOLL_CTL_ADD, fd, POLLIN)).toBe(-EINVAL);
  expect(syscalls.epoll_ctl(set, EPOLL_CTL_DEL, syscalls.eventfd(0, 0), 0)).toBe(-ENOENT);
  expect(syscalls.epoll_ctl(set, 9, fd, POLLIN)).toBe(-EINVAL);
  expect(syscalls.epoll_wait(fd)).toEqual([]);
});

test('a set waits neither for itself nor for one that waits for it', () => {
  const { syscalls, set } = process();
  const [second, third] = [syscalls.epoll_create1(0), syscalls.epoll_create1(0)];
  expect(syscalls.epoll_ctl(set, EPOLL_CTL_ADD, set, POLLIN)).toBe(-EINVAL);
  expect(syscalls.epoll_ctl(set, EPOLL_CTL_ADD, second, POLLIN)).toBe(0);
  expect(syscalls.epoll_ctl(second, EPOLL_CTL_ADD, third, POLLIN)).toBe(0);
  expect(syscalls.epoll_ctl(third, EPOLL_CTL_ADD, set, POLLIN)).toBe(-ELOOP);
});
