import { expect, test } from 'vitest';
import { type Eventfd, eventfdFromFd } from '../../../src/linux/core/eventfd.ts';
import { EAGAIN, EBADF, EINVAL, ESPIPE } from '../../../src/linux/uapi/errno.ts';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
} from '../../../src/linux/uapi/syscalls.ts';
import { boot, program } from './machine.ts';

const MAX = 0xffff_ffff_ffff_ffffn;

function machine(initial = 0, flags = EFD_NONBLOCK | EFD_CLOEXEC) {
  const kernel = boot();
  const run = program(kernel);
  const { syscalls, memory, scratch, process } = run;
  const fd = syscalls.eventfd(initial, flags);
  kernel.current = process;
  const context = eventfdFromFd(kernel, fd) as Eventfd;
  const write = (value: bigint, count = 8) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    memory.write(scratch, bytes);
    return syscalls.write(fd, scratch, count);
  };
  const read = (count = 8): bigint | number => {
    const result = syscalls.read(fd, scratch, count);
    if (result < 0) return result;
    return new DataView(memory.read(scratch, 8).buffer).getBigUint64(0, true);
  };
  return { kernel, ...run, fd, context, write, read };
}

// fs/eventfd.c: eventfd_read, eventfd_write, eventfd_poll, do_eventfd
test('a read takes the whole counter, and an empty one is EAGAIN', () => {
  const { read, write } = machine(3);
  expect(write(4n)).toBe(8);
  expect(read()).toBe(7n);
  expect(read()).toBe(-EAGAIN);
});

test('a semaphore gives 1 at a time', () => {
  const { read } = machine(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  expect([read(), read(), read()]).toEqual([1n, 1n, -EAGAIN]);
});

test('short buffers, 2^64-1 and unknown flags are EINVAL; overflow is EAGAIN', () => {
  const { syscalls, read, write } = machine();
  expect(read(7)).toBe(-EINVAL);
  expect(write(1n, 7)).toBe(-EINVAL);
  expect(write(MAX)).toBe(-EINVAL);
  expect(syscalls.eventfd(0, 0x40)).toBe(-EINVAL);
  expect(write(MAX - 1n)).toBe(8);
  expect(write(1n)).toBe(-EAGAIN);
  expect(write(0n)).toBe(8);
  expect(read()).toBe(MAX - 1n);
});

test('poll: IN above 0, OUT below 2^64-2, ERR only when the kernel filled the counter', () => {
  const { syscalls, fd, context, write } = machine();
  const all = POLLIN | POLLOUT;
  expect(syscalls.poll(fd, all)).toBe(POLLOUT);
  write(1n);
  expect(syscalls.poll(fd, all)).toBe(POLLIN | POLLOUT);
  write(MAX - 2n);
  expect(syscalls.poll(fd, all)).toBe(POLLIN);
  context.signal(5n);
  expect(context.counter).toBe(MAX);
  expect(syscalls.poll(fd, all)).toBe(POLLIN | POLLERR);
});

test('waiters are told of signals, writes, reads and the last close; one may consume the counter', () => {
  const { syscalls, fd, context, write, read } = machine();
  const woken: number[] = [];
  context.addWaiter((events) => woken.push(events));
  const leave = context.addWaiter((events) => {
    if ((events & POLLIN) !== 0) context.consume();
  });
  context.signal();
  expect(context.counter).toBe(0n);
  leave();
  write(2n);
  expect(read()).toBe(2n);
  syscalls.close(fd);
  expect(woken).toEqual([POLLIN, POLLIN, POLLOUT, POLLHUP]);
});

test('an fd that is closed is EBADF, another kind of file EINVAL, and positions are ESPIPE', () => {
  const { kernel, syscalls, fd, scratch } = machine();
  expect(eventfdFromFd(kernel, 99)).toBe(-EBADF);
  expect(eventfdFromFd(kernel, 1)).toBe(-EINVAL);
  expect(syscalls.pread(fd, scratch, 8, 0)).toBe(-ESPIPE);
});

test('a read that nobody can end is our mistake, not a hang', () => {
  const { read } = machine(0, 0);
  expect(() => read()).toThrow('would sleep for ever in read of an eventfd');
});
