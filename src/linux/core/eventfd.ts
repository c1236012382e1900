/**
 * eventfd: a 64-bit counter behind a file descriptor, and a wait queue on which the kernel's own users hang (fs/eventfd.c).
 * An irqfd waits here and takes the counter itself; an ioeventfd signals.
 */

import { strict as assert } from 'node:assert';
import { EAGAIN, EBADF, EINTR, EINVAL } from '../uapi/errno.ts';
import { EFD_SEMAPHORE, O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLOUT } from '../uapi/syscalls.ts';
import type { Clock } from './clock.ts';
import type { FileOperations, OpenFile } from './file.ts';
import { copyFromUser, copyToUser, type RefusingContext, refusePointer } from './uaccess.ts';

const ULLONG_MAX = 0xffff_ffff_ffff_ffffn;

/** eventfd_ctx. */
export class Eventfd {
  readonly #semaphore: boolean;
  readonly #waiters: ((events: number) => void)[] = [];
  #counter: bigint;
  /** Signals of 1 that are not in the counter yet: a number, because this is an ioeventfd's hot path. */
  #signals = 0;

  constructor(initial: bigint, semaphore: boolean) {
    this.#counter = initial;
    this.#semaphore = semaphore;
  }

  get counter(): bigint {
    if (this.#signals > 0) {
      this.#increase(BigInt(this.#signals));
      this.#signals = 0;
    }
    return this.#counter;
  }

  /** eventfd_signal: add `n`, saturating at 2^64 - 1, and wake. Never fails, never sleeps. */
  signal(n?: bigint): void {
    if (n === undefined) this.#signals++;
    else this.#increase(n);
    this.#wake(POLLIN);
  }

  #increase(n: bigint): void {
    const room = ULLONG_MAX - this.#counter;
    this.#counter += n < room ? n : room;
  }

  /** eventfd_ctx_do_read: the counter, which becomes 0; for a semaphore 1, and the counter sinks by 1. 0 if it is 0. */
  consume(): bigint {
    const { counter } = this;
    const taken = this.#semaphore && counter > 0n ? 1n : counter;
    this.#counter -= taken;
    return taken;
  }

  /** Add from user space: false if the counter would pass 2^64 - 2. */
  add(n: bigint): boolean {
    if (ULLONG_MAX - this.counter <= n) return false;
    this.#counter += n;
    if (n > 0n) this.#wake(POLLIN);
    return true;
  }

  /** Read from user space wakes writers, unlike {@link consume}. */
  take(): bigint {
    const taken = this.consume();
    this.#wake(POLLOUT);
    return taken;
  }

  /** eventfd_poll: which of POLLIN, POLLOUT and POLLERR hold. */
  ready(): number {
    const { counter } = this;
    return (
      (counter > 0n ? POLLIN : 0) | (counter === ULLONG_MAX ? POLLERR : 0) | (counter < ULLONG_MAX - 1n ? POLLOUT : 0)
    );
  }

  /**
   * Hang a callback on the wait queue; it gets the POLL* bits of each wake-up, POLLHUP when the last descriptor is closed.
   * Newest first, as add_wait_queue puts them. Returns how to leave.
   */
  addWaiter(waiter: (events: number) => void): () => void {
    this.#waiters.unshift(waiter);
    return () => {
      const at = this.#waiters.indexOf(waiter);
      if (at >= 0) this.#waiters.splice(at, 1);
    };
  }

  /** eventfd_release. */
  hangUp(): void {
    this.#wake(POLLHUP);
  }

  #wake(events: number): void {
    if (this.#waiters.length === 0) return;
    // A waiter may leave the queue while it is called.
    for (const waiter of [...this.#waiters]) waiter(events);
  }
}

/** The file operations of eventfds of one kernel. Who sleeps in a read sleeps until the next timer, again and again. */
export function eventfdOperations(kernel: RefusingContext & { readonly clock: Pick<Clock, 'sleep'> }): FileOperations {
  const scratch = new Uint8Array(8);
  const word = new DataView(scratch.buffer);
  const contextOf = (file: OpenFile) => file.privateData as Eventfd;
  const tooShort = (count: number) => kernel.refuse(EINVAL, `a counter is 8 bytes long, not ${count}`);
  const sleeps = (file: OpenFile, call: string) => {
    if ((file.flags & O_NONBLOCK) !== 0) return -EAGAIN;
    if (kernel.current.pendingSignal !== undefined) return -EINTR;
    return assert.fail(
      `${kernel.current.name} would sleep for ever in ${call} of an eventfd: the model runs one thread, and it is this one`,
    );
  };
  return {
    stream: true,
    read(file, buffer, count) {
      if (count < 8) return tooShort(count);
      const context = contextOf(file);
      while (context.counter === 0n) {
        const reader = kernel.current;
        const sleeping = (file.flags & O_NONBLOCK) === 0 && reader.pendingSignal === undefined;
        if (!sleeping || !kernel.clock.sleep()) return sleeps(file, 'read');
      }
      word.setBigUint64(0, context.take(), true);
      return copyToUser(kernel, buffer, scratch) < 0 ? refusePointer(kernel, buffer, 8) : 8;
    },
    write(file, buffer, count) {
      if (count < 8) return tooShort(count);
      if (copyFromUser(kernel, scratch, buffer) < 0) return refusePointer(kernel, buffer, 8);
      const added = word.getBigUint64(0, true);
      if (added === ULLONG_MAX) return kernel.refuse(EINVAL, 'an eventfd counts to 2^64 - 2');
      return contextOf(file).add(added) ? 8 : sleeps(file, 'write');
    },
    poll: (file) => contextOf(file).ready(),
    wait: (file, waiter) => contextOf(file).addWaiter(waiter),
    release: (file) => contextOf(file).hangUp(),
  };
}

/** What eventfd2 makes of its flags; undefined for unknown ones (EINVAL). */
export const newEventfd = (initial: number, flags: number, known: number): Eventfd | undefined =>
  (flags & ~known) !== 0 ? undefined : new Eventfd(BigInt(initial >>> 0), (flags & EFD_SEMAPHORE) !== 0);

/** The eventfd behind an open file, or undefined if it is another kind of file. */
export const eventfdFromFile = (file: OpenFile): Eventfd | undefined =>
  file.privateData instanceof Eventfd ? file.privateData : undefined;

/** eventfd_ctx_fdget in the current process: -EBADF if `fd` is not open, -EINVAL if it is no eventfd. */
export function eventfdFromFd(kernel: RefusingContext, fd: number): Eventfd | number {
  const file = kernel.current.files.get(fd);
  if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
  return eventfdFromFile(file) ?? kernel.refuse(EINVAL, `fd ${fd} is no eventfd`);
}
