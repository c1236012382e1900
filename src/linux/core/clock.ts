/**
 * Virtual time, and the timers that wait for it (kernel/time/timekeeping.c, hrtimer.c).
 *
 * Time is what the guests' processors have worked, plus what everybody has slept through: when nobody has anything to do,
 * it jumps to the next timer. Whoever runs a processor asks for {@link Clock.nextDeadline} first and calls
 * {@link Clock.expire} when it has come, so that a timer fires at the same instruction in every run.
 */

import { Attention } from './attention.ts';

/** One armed timer: hrtimer with HRTIMER_MODE_ABS. */
export interface Timer {
  /** Nanoseconds of {@link Clock.now}. */
  readonly deadline: number;
  readonly expire: () => void;
}

const NEVER = Number.POSITIVE_INFINITY;

export class Clock {
  readonly #attention: Attention;
  /** Nanoseconds that the processors have worked. */
  #worked: () => number = () => 0;
  #slept = 0;
  /** By deadline; equal ones in the order in which they were started. */
  readonly #timers: Timer[] = [];
  #nextDeadline = NEVER;

  /** `attention` is called for whenever {@link slept} or {@link nextDeadline} changes. */
  constructor(attention = new Attention()) {
    this.#attention = attention;
  }

  /** Whose work makes time pass: KVM tells, once. `worked` never sinks. */
  drivenBy(worked: () => number): void {
    this.#worked = worked;
  }

  /** CLOCK_MONOTONIC: nanoseconds since power-on. */
  get now(): number {
    return this.#worked() + this.#slept;
  }

  /** Nanoseconds that passed without any processor's work: a guest's counter has them as its offset. Hot. */
  get slept(): number {
    return this.#slept;
  }

  /** A step of the host takes `nanoseconds`, in which no guest works. */
  pass(nanoseconds: number): void {
    this.#attention.call();
    this.#slept += nanoseconds;
  }

  /** When the first timer is due; Infinity without one. */
  get nextDeadline(): number {
    return this.#nextDeadline;
  }

  /** hrtimer_start: call `expire` at `deadline`; one that has passed fires at the next {@link expire}. */
  start(deadline: number, expire: () => void): Timer {
    const timer = { deadline, expire };
    const behind = this.#timers.findIndex((other) => other.deadline > deadline);
    this.#timers.splice(behind < 0 ? this.#timers.length : behind, 0, timer);
    this.#rearm();
    return timer;
  }

  /** hrtimer_cancel: false if it has fired already. */
  cancel(timer: Timer): boolean {
    const at = this.#timers.indexOf(timer);
    if (at < 0) return false;
    this.#timers.splice(at, 1);
    this.#rearm();
    return true;
  }

  /** hrtimer_interrupt: fire every timer that is due, earliest first. */
  expire(): void {
    const { now } = this;
    while (this.#nextDeadline <= now) {
      const timer = this.#timers.shift()!;
      this.#rearm();
      timer.expire();
    }
  }

  /** Nobody has anything to do: jump to the next timer and fire it. False if there is none: the sleep would never end. */
  sleep(): boolean {
    if (this.#nextDeadline === NEVER) return false;
    this.#attention.call();
    this.#slept += Math.max(this.#nextDeadline - this.now, 0);
    this.expire();
    return true;
  }

  #rearm(): void {
    this.#attention.call();
    this.#nextDeadline = this.#timers[0]?.deadline ?? NEVER;
  }
}
