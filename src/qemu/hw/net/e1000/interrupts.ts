/**
 * The interrupt causes of the card and its pin: a cause in ICR raises INTA while IMS lets it, but not sooner after the last
 * one than the driver wishes and the chip can (82540EM manual, 3.2.7 and 13.4.17 to 13.4.22; hw/net/e1000.c:
 * set_interrupt_cause, e1000_mit_timer).
 */

import type { QemuTimer, TimerList } from '../../../timer.ts';
import {
  CAUSE_RXT0,
  CAUSE_TXDW,
  CAUSE_TXQE,
  ICR,
  ICS,
  IMS,
  ITR,
  RADV,
  RDTR,
  type Registers,
  TADV,
} from './registers.ts';

/** Nanoseconds in a unit of ITR. The delays of RADV and TADV count four of them. */
const UNIT = 256;
/** The chip interrupts 7813 times a second at most. */
const SHORTEST = 500;

export class Interrupts {
  readonly #registers: Registers;
  readonly #timers: TimerList;
  readonly #pin: (level: boolean) => void;
  readonly #mitigation: QemuTimer;
  #level = false;
  #delayTransmit = false;

  /** `pin` drives INTA. */
  constructor(registers: Registers, timers: TimerList, pin: (level: boolean) => void) {
    this.#registers = registers;
    this.#timers = timers;
    this.#pin = pin;
    this.#mitigation = timers.timer(() => this.become(registers.get(ICR)));
  }

  reset(): void {
    this.#mitigation.cancel();
    this.#level = false;
    this.#delayTransmit = false;
  }

  /** A transmit descriptor with IDE: what it causes may wait as long as TADV says. */
  delayTransmit(): void {
    this.#delayTransmit = true;
  }

  /** Further causes come up; 0 only looks at the pin again. */
  raise(causes: number): void {
    this.become((causes | this.#registers.get(ICR)) >>> 0);
  }

  /** set_interrupt_cause: these causes and no others are up. ICS reads as ICR does. */
  become(causes: number): void {
    this.#registers.set(ICR, causes);
    this.#registers.set(ICS, causes);
    const pending = (this.#registers.get(IMS) & causes) >>> 0;
    if (!this.#level && pending !== 0) {
      if (this.#mitigation.pending) return;
      this.#mitigation.modify(this.#timers.now + this.#delay(pending) * UNIT);
      this.#delayTransmit = false;
    }
    this.#level = pending !== 0;
    this.#pin(this.#level);
  }

  /** How long the next interrupt has to wait after this one: the shortest of the delays that are set. */
  #delay(pending: number): number {
    const registers = this.#registers;
    const delays = [registers.get(ITR)];
    if (this.#delayTransmit && (pending & (CAUSE_TXQE | CAUSE_TXDW)) !== 0) delays.push(registers.get(TADV) * 4);
    if (registers.get(RDTR) !== 0 && (pending & CAUSE_RXT0) !== 0) delays.push(registers.get(RADV) * 4);
    const set = delays.filter((delay) => delay !== 0);
    return Math.max(SHORTEST, set.length === 0 ? 0 : Math.min(...set));
  }
}
