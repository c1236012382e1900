/** QEMU's main loop: file descriptors that handlers wait for (util/main-loop.c, qemu_set_fd_handler). */

import { POLLIN } from '../linux/uapi/syscalls.ts';
import type { System } from './system.ts';

export class MainLoop {
  readonly #system: System;
  readonly #handlers = new Map<number, () => void>();

  constructor(system: System) {
    this.#system = system;
  }

  /** Call `handler` when `fd` is readable; undefined removes it. */
  setFdHandler(fd: number, handler: (() => void) | undefined): void {
    if (handler === undefined) this.#handlers.delete(fd);
    else this.#handlers.set(fd, handler);
  }

  /** One round, in order of registration. It gets the host's CPU when the vCPU sleeps. Returns the handlers called. */
  dispatch(): number {
    let called = 0;
    for (const [fd, handler] of [...this.#handlers]) {
      if ((this.#system.syscalls.poll(fd, POLLIN) & POLLIN) === 0) continue;
      handler();
      called++;
    }
    return called;
  }
}
