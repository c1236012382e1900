/** The local APIC's timer, one-shot or periodic, on virtual time (arch/x86/kvm/lapic.c: start_apic_timer). */

import type { Clock, Timer } from '../core/clock.ts';

/** APIC_BUS_CYCLE_NS: the timer counts at 1 GHz before its divider. */
const BUS_CYCLE = 1;
/** min_timer_period_us: KVM lets no guest ask for more than 5000 periodic interrupts in a millisecond. */
const SHORTEST_PERIOD = 200_000;

export class LapicTimer {
  readonly #clock: Clock;
  readonly #fired: () => void;
  #divide = 2;
  #periodic = false;
  #initial = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, fired: () => void) {
    this.#clock = clock;
    this.#fired = fired;
  }

  /** Count left until it fires: TMCCT. */
  get left(): number {
    if (this.#timer === undefined) return 0;
    return Math.ceil(Math.max(this.#timer.deadline - this.#clock.now, 0) / (this.#divide * BUS_CYCLE));
  }

  /** Divider and mode; a count under way is not disturbed, as a write of the vector table's entry leaves it. */
  configure(divide: number, periodic: boolean): void {
    const left = this.left;
    this.#divide = divide;
    this.#periodic = periodic;
    if (this.#timer !== undefined) this.#arm(left);
  }

  /** TMICT was written: count down from `initial`; 0 stops. */
  start(initial: number): void {
    this.#initial = initial;
    if (initial === 0) this.stop();
    else this.#arm(initial);
  }

  stop(): void {
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  #arm(count: number): void {
    this.stop();
    const period = count * this.#divide * BUS_CYCLE;
    const wait = this.#periodic ? Math.max(period, SHORTEST_PERIOD) : period;
    this.#timer = this.#clock.start(this.#clock.now + wait, () => this.#expired());
  }

  #expired(): void {
    this.#timer = undefined;
    if (this.#periodic) this.#arm(this.#initial);
    this.#fired();
  }
}
