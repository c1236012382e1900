/** The local APIC's timer, one-shot or periodic, on virtual time (arch/x86/kvm/lapic.c: start_apic_timer and what it calls). */

import type { Clock, Timer } from '../core/clock.ts';

/** APIC_BUS_CYCLE_NS: the timer counts at 1 GHz before its divider. */
const BUS_CYCLE = 1;
/** min_timer_period_us: KVM lets no guest ask for more than 5000 periodic interrupts in a second. */
const SHORTEST_PERIOD = 200_000;

export class LapicTimer {
  readonly #clock: Clock;
  readonly #expired: () => void;
  #divide = 2;
  #periodic = false;
  #initial = 0;
  /** Nanoseconds that the initial count takes; 0: the timer was never started. */
  #period = 0;
  /** When the count reaches nothing; 0 once a one-shot timer's interrupt is delivered. */
  #target = 0;
  #timer: Timer | undefined;
  #pending = false;

  /** `expired` is told whenever the timer has an interrupt to deliver. */
  constructor(clock: Clock, expired: () => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** It has expired, and its interrupt waits: for the end of a mask, if need be. */
  get pending(): boolean {
    return this.#pending;
  }

  /** Count left until it fires: TMCCT (apic_get_tmcct). */
  get left(): number {
    if (this.#initial === 0 || this.#period === 0) return 0;
    const remaining = Math.max(Math.floor(this.#target - this.#clock.now), 0);
    return Math.floor((remaining % this.#period) / (this.#divide * BUS_CYCLE));
  }

  /** apic_update_lvtt: a count under way goes on; what comes after it is another matter. */
  set periodic(periodic: boolean) {
    if (periodic === this.#periodic) return;
    this.#periodic = periodic;
    this.#limit();
  }

  /**
   * TDCR was written: what is left takes as much longer or shorter (update_target_expiration). KVM starts a one-shot timer by it that
   * has fired already, with nothing left.
   */
  set divide(divide: number) {
    const before = this.#divide;
    this.#divide = divide;
    if (divide === before || this.#period === 0) return;
    this.#cancel();
    this.#period = this.#initial * divide * BUS_CYCLE;
    this.#limit();
    const { now } = this.#clock;
    const remaining = Math.max(this.#target - now, 0);
    this.#target = now + Math.floor((remaining * divide) / before);
    if (this.#period > 0 && (this.#periodic || !this.#pending)) this.#arm();
  }

  /** TMICT was written: count down from `initial`, of which `left` is to go; 0 stops. */
  start(initial: number, left: number = initial): void {
    this.#cancel();
    this.#pending = false;
    this.#initial = initial;
    this.#period = initial * this.#divide * BUS_CYCLE;
    if (initial === 0) return;
    this.#limit();
    const wait = left * this.#divide * BUS_CYCLE;
    const partly = left !== initial && wait > 0 && wait < this.#period;
    this.#target = this.#clock.now + (partly ? wait : this.#period);
    this.#arm();
  }

  /** The interrupt is delivered (kvm_apic_inject_pending_timer_irqs). */
  delivered(): void {
    this.#pending = false;
    if (!this.#periodic) this.#target = 0;
  }

  /** An interrupt that waits is lost; the count goes on. */
  forget(): void {
    this.#pending = false;
  }

  /** kvm_lapic_reset. */
  stop(): void {
    this.#cancel();
    this.#pending = false;
    this.#initial = this.#period = 0;
  }

  #cancel(): void {
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  /** limit_periodic_timer_frequency. */
  #limit(): void {
    if (this.#periodic && this.#period > 0) this.#period = Math.max(this.#period, SHORTEST_PERIOD);
  }

  #arm(): void {
    this.#timer = this.#clock.start(this.#target, () => this.#fire());
  }

  /** apic_timer_fn: a tick that nobody has taken yet swallows the next. */
  #fire(): void {
    this.#timer = undefined;
    if (this.#periodic && this.#period > 0) {
      this.#target += this.#period;
      this.#arm();
    }
    if (this.#pending) return;
    this.#pending = true;
    this.#expired();
  }
}
