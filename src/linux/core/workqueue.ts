/**
 * A workqueue: functions that run a little later, in a thread of the kernel's own (kernel/workqueue.c). The thread has no user memory:
 * copy_from_user fails in it, whoever asked for the work.
 */

import type { Timer } from './clock.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';

/** Nanoseconds until the thread runs: it is woken and has to be scheduled. */
const WAKE_UP = 2000;

export class Workqueue {
  readonly #kernel: Kernel;
  readonly #thread: Process;
  readonly #pending = new Set<Timer>();

  /** `name` is the thread's: `kworker/u2:vgpu`. */
  constructor(kernel: Kernel, name: string) {
    this.#kernel = kernel;
    this.#thread = kernel.kthread(name);
  }

  /** queue_work: run `work` once; works run in the order in which they came. */
  queue(work: () => void): void {
    const { clock } = this.#kernel;
    const timer = clock.start(clock.now + WAKE_UP, () => {
      this.#pending.delete(timer);
      const before = this.#kernel.current;
      this.#kernel.current = this.#thread;
      work();
      this.#kernel.current = before;
    });
    this.#pending.add(timer);
  }

  /** cancel_work_sync, of all work that has not run. */
  cancelAll(): void {
    for (const timer of this.#pending) this.#kernel.clock.cancel(timer);
    this.#pending.clear();
  }

  /** destroy_workqueue. */
  destroy(): void {
    this.cancelAll();
    this.#thread.exit();
  }
}
