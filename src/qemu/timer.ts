/**
 * QEMUTimer: callbacks at a time of the machine's virtual clock (util/qemu-timer.c). The process's POSIX timer brings SIGALRM
 * when the first one is due, which also ends KVM_RUN.
 */

import type { System } from './system.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** One timer. Made by {@link TimerList.timer}. */
export class QemuTimer {
  readonly #list: TimerList;
  readonly callback: () => void;
  #deadline = NEVER;

  constructor(list: TimerList, callback: () => void) {
    this.#list = list;
    this.callback = callback;
  }

  /** When it is due, in nanoseconds of the virtual clock; Infinity if it is not armed. */
  get deadline(): number {
    return this.#deadline;
  }

  get pending(): boolean {
    return this.#deadline !== NEVER;
  }

  /** timer_mod_ns: fire once at `deadline`, instead of what was set before. */
  modify(deadline: number): void {
    this.#deadline = deadline;
    this.#list.changed(this);
  }

  /** timer_del. */
  cancel(): void {
    this.modify(NEVER);
  }
}

export class TimerList {
  readonly #system: System;
  /** Armed timers by deadline; equal ones in the order in which they were armed. */
  readonly #armed: QemuTimer[] = [];
  /** What the process's own timer is set to. */
  #set = NEVER;

  constructor(system: System) {
    this.#system = system;
  }

  /** qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL). */
  get now(): number {
    return this.#system.syscalls.clock_gettime();
  }

  /** timer_new_ns. */
  timer(callback: () => void): QemuTimer {
    return new QemuTimer(this, callback);
  }

  /** The deadline of `timer` is another now. */
  changed(timer: QemuTimer): void {
    const was = this.#armed.indexOf(timer);
    if (was >= 0) this.#armed.splice(was, 1);
    if (timer.pending) this.#armed.splice(this.#behind(timer.deadline), 0, timer);
    const first = this.#armed[0]?.deadline ?? NEVER;
    if (first === this.#set) return;
    this.#set = first;
    this.#system.syscalls.timer_settime(first);
  }

  /** Index of the first timer that is due later than `deadline`. */
  #behind(deadline: number): number {
    let low = 0;
    let high = this.#armed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#armed[middle]!.deadline > deadline) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** timerlist_run_timers: call what is due, earliest first. Returns how many. */
  run(): number {
    const { now } = this;
    let called = 0;
    for (let due = this.#armed[0]; due !== undefined && due.deadline <= now; due = this.#armed[0]) {
      due.cancel();
      due.callback();
      called++;
    }
    return called;
  }
}
