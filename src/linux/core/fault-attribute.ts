/**
 * When an injected fault strikes (lib/fault-inject.c, Documentation/fault-injection): at the N-th chance of one task, which it
 * writes to its `fail-nth`, or now and then, as the files of a capability in debugfs say.
 *
 * Fidelity: without `space` (the model's objects have no size of Linux's), stack-trace filters and rate limits.
 */

/** What a task says about faults in what it asks for: `/proc/PID/fail-nth` and `make-it-fail`. */
export interface FaultyTask {
  readonly pid: number;
  readonly name: string;
  failNth: number;
  makeItFail: boolean;
}

interface FaultHost {
  readonly current: FaultyTask;
  printk(text: string): void;
}

/** One capability's `struct fault_attr`, as FAULT_ATTR_INITIALIZER leaves it. */
export class FaultAttribute {
  /** Percent of the chances taken; 0 is off. */
  probability = 0;
  /** Only every so many-th chance counts. */
  interval = 1;
  /** Faults still to come; -1 for no end. */
  times = 1;
  /** 0 silent, 1 a message, 2 also in whose call. */
  verbose = 2;
  /** Only in tasks with `make-it-fail`. */
  taskFilter = false;
  readonly #host: FaultHost;
  readonly #name: string;
  #count = 0;
  /** The state of xorshift32: runs are repeatable. */
  #random = 0x9e3779b9;

  /** `name` is the capability's, as its directory in debugfs. */
  constructor(host: FaultHost, name: string) {
    this.#host = host;
    this.#name = name;
  }

  /** should_fail: whether this call for `what` has its fault now. Hot where pages are allocated. */
  shouldFail(what: string): boolean {
    const task = this.#host.current;
    if (task.failNth > 0) return --task.failNth === 0 && this.#fail(task, what);
    if (this.probability === 0) return false;
    return this.#strikes(task) && this.#fail(task, what);
  }

  #strikes(task: FaultyTask): boolean {
    if ((this.taskFilter && !task.makeItFail) || this.times === 0) return false;
    if (this.interval > 1 && ++this.#count % this.interval !== 0) return false;
    return this.probability > this.#percent();
  }

  /** fail_dump. */
  #fail({ pid, name }: FaultyTask, what: string): true {
    if (this.verbose > 0) {
      const { interval, probability, times } = this;
      this.#host.printk('FAULT_INJECTION: forcing a failure.');
      this.#host.printk(
        `name ${this.#name}, interval ${interval}, probability ${probability}, space 0, times ${Math.max(times, -1)}`,
      );
      if (this.verbose > 1) this.#host.printk(`CPU: 0 PID: ${pid} Comm: ${name}: no memory for ${what}`);
    }
    if (this.times > 0) this.times--;
    return true;
  }

  #percent(): number {
    let state = this.#random;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#random = state;
    return (state >>> 0) % 100;
  }
}
