/**
 * QEMU's main loop: file descriptors that handlers wait for, and timers (util/main-loop.c, qemu_set_fd_handler).
 *
 * In life it is a thread that sleeps in ppoll. Here it gets its turn when a vCPU has come back to user space or sleeps: at
 * fixed places, so that two runs are alike.
 */

import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, POLLIN, type Sleeper } from '../linux/uapi/syscalls.ts';
import type { System } from './system.ts';
import { TimerList } from './timer.ts';

export class MainLoop implements Sleeper {
  readonly #system: System;
  readonly timers: TimerList;
  readonly #handlers = new Map<number, () => void>();
  /** Made with the first handler; -1 before, and where the kernel gives none: then each descriptor is polled (fdmon_epoll_disable). */
  #epoll = -1;
  /** In epoll_wait: there is nothing to do. */
  asleep = false;

  constructor(system: System) {
    this.#system = system;
    this.timers = new TimerList(system);
  }

  /** Call `handler` when `fd` is readable; undefined removes it. */
  setFdHandler(fd: number, handler: (() => void) | undefined): void {
    const { syscalls } = this.#system;
    if (this.#epoll < 0 && this.#handlers.size === 0) this.#epoll = syscalls.epoll_create1(0);
    const known = this.#handlers.has(fd);
    if (handler === undefined) {
      if (known) this.#control(EPOLL_CTL_DEL, fd, 0);
      this.#handlers.delete(fd);
    } else {
      if (!known) this.#control(EPOLL_CTL_ADD, fd, POLLIN);
      this.#handlers.set(fd, handler);
    }
  }

  #control(operation: number, fd: number, events: number): void {
    const { syscalls } = this.#system;
    if (this.#epoll < 0 || syscalls.epoll_ctl(this.#epoll, operation, fd, events) === 0) return;
    syscalls.close(this.#epoll);
    this.#epoll = -1;
    this.asleep = false;
  }

  /** One round: the handlers of every descriptor that is ready. Returns how many. Hot: made after every exit. */
  dispatch(): number {
    if (this.asleep) return 0;
    if (this.#epoll < 0) return this.#handlers.size === 0 ? 0 : this.#poll();
    const ready = this.#system.syscalls.epoll_wait(this.#epoll);
    if (ready.length > 0) return this.#handle(ready);
    this.#system.process.epollSleep(this.#epoll, this);
    return 0;
  }

  #handle(ready: readonly number[]): number {
    for (const fd of ready) this.#handlers.get(fd)?.();
    return ready.length;
  }

  #poll(): number {
    const { syscalls } = this.#system;
    const ready = [...this.#handlers.keys()].filter((fd) => (syscalls.poll(fd, POLLIN) & POLLIN) !== 0);
    return this.#handle(ready);
  }
}
