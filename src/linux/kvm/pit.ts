/**
 * The interval timer 8254 in the kernel (Intel 8254 data sheet; arch/x86/kvm/i8254.c): three counters at ports 0x40–0x43,
 * the first of which raises GSI 0. Time is virtual time.
 */

import type { Clock, Timer } from '../core/clock.ts';
import { EOPNOTSUPP } from '../uapi/errno.ts';
import type { IoBus, IoDevice } from './io-bus.ts';
import { Counter, nanosecondsOf } from './pit-counter.ts';

export const PIT_GSI = 0;
const CONTROL = 3;
const SPEAKER_PORT = 0x61;
/** min_timer_period_us: periods are not shorter, though the first may be. */
const SHORTEST_PERIOD = 200_000;
const READ_BACK = 3;
/** Bits of the read-back command. */
const NO_COUNT = 0x20;
const NO_STATUS = 0x10;

/** Where the PIT's ticks go. */
export interface PitPins {
  /** ioapic_in_kernel: without interrupt controllers counter 0 stands still. */
  readonly connected: boolean;
  /** Drives GSI 0 with the PIT's own source number. */
  setLine(level: boolean): void;
  /** A tick, for the local APICs that take it as an NMI. */
  nmiWatchdog(): void;
}

export class Pit implements IoDevice {
  readonly #clock: Clock;
  readonly #pins: PitPins;
  readonly #loadedAt = [0, 0, 0];
  readonly #counters: readonly [Counter, Counter, Counter];
  #timer: Timer | undefined;
  /** When the timer fires, or last did. */
  #deadline = 0;
  /** 0: counter 0 was never loaded. */
  #period = 0;
  #periodic = false;
  #speaker = 0;
  /** Ticks that the guest has not served yet, the one under way among them; they follow one by one. */
  #pending = 0;
  #acknowledged = true;
  #reinject = true;

  constructor(clock: Clock, pins: PitPins) {
    this.#clock = clock;
    this.#pins = pins;
    const sinceLoad = (index: number) => () => clock.now - this.#loadedAt[index]!;
    this.#counters = [
      new Counter(() => this.#elapsed(), true),
      new Counter(sinceLoad(1), true),
      new Counter(sinceLoad(2), false),
    ];
  }

  /** Put the ports on the bus; with `speaker` port 0x61 too (KVM_PIT_SPEAKER_DUMMY). 0 or -errno. */
  register(bus: IoBus, speaker: boolean): number {
    const error = bus.register(0x40, 4, this);
    if (error < 0 || !speaker) return error;
    const speakerError = bus.register(SPEAKER_PORT, 4, this.#speakerPort());
    if (speakerError < 0) bus.unregister(this);
    return speakerError;
  }

  /** KVM_REINJECT_CONTROL: whether ticks that the guest missed follow later (kvm_pit_set_reinject). */
  set reinject(reinject: boolean) {
    if (reinject && !this.#reinject) this.#forgetTicks();
    this.#reinject = reinject;
  }

  /** A read of the control port leaves the data as they are. */
  read(port: number, data: Uint8Array): number {
    const index = port & 3;
    if (index === CONTROL) return 0;
    data.fill(0);
    data[0] = this.#counters[index]!.read();
    return 0;
  }

  write(port: number, data: Uint8Array): number {
    const index = port & 3;
    if (index === CONTROL) this.#control(data[0]!);
    else {
      const count = this.#counters[index]!.write(data[0]!);
      if (count !== undefined) this.#load(index, count);
    }
    return 0;
  }

  /** kvm_pit_ack_irq: the guest has served GSI 0. */
  acknowledged(): void {
    if (!this.#reinject) return;
    this.#acknowledged = true;
    if (this.#pending === 0) return;
    this.#pending--;
    if (this.#pending > 0) this.#work();
  }

  /** pit_mask_notifer: GSI 0 was masked or unmasked. What ticked meanwhile may have reached nobody, who then acknowledges nothing. */
  masked(masked: boolean): void {
    if (this.#reinject && !masked) this.#forgetTicks();
  }

  destroy(): void {
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  /** __kpit_elapsed: counter 0 counts from the last time that its timer was due. */
  #elapsed(): number {
    return this.#period === 0 ? 0 : this.#period - (this.#deadline - this.#clock.now);
  }

  #control(word: number): void {
    const select = word >> 6;
    if (select === READ_BACK) {
      // Several counters at once.
      for (const [index, counter] of this.#counters.entries()) {
        if ((word & (2 << index)) === 0) continue;
        if ((word & NO_COUNT) === 0) counter.latch();
        if ((word & NO_STATUS) === 0) counter.latchStatus();
      }
      return;
    }
    const counter = this.#counters[select]!;
    if ((word & 0x30) === 0) counter.latch();
    else counter.configure(word);
  }

  /** pit_load_count. */
  #load(index: number, written: number): void {
    const counter = this.#counters[index]!;
    counter.count = written === 0 ? 0x10000 : written;
    if (index !== 0) {
      this.#loadedAt[index] = this.#clock.now;
      return;
    }
    this.destroy();
    // Nothing triggers mode 5, and there is no mode yet before the first control word: neither ticks.
    if (counter.mode <= 4) this.#start(counter.mode === 2 || counter.mode === 3);
  }

  /** create_pit_timer. */
  #start(periodic: boolean): void {
    if (!this.#pins.connected) return;
    const interval = nanosecondsOf(this.#counters[0].count);
    this.#periodic = periodic;
    this.#period = periodic ? Math.max(interval, SHORTEST_PERIOD) : interval;
    this.#forgetTicks();
    this.#arm(this.#clock.now + interval);
  }

  #arm(deadline: number): void {
    this.#deadline = deadline;
    this.#timer = this.#clock.start(deadline, () => this.#expired());
  }

  /** pit_timer_fn. */
  #expired(): void {
    this.#timer = undefined;
    if (this.#periodic) this.#arm(this.#deadline + this.#period);
    if (this.#reinject) this.#pending++;
    this.#work();
  }

  /** pit_do_work: a tick that comes before the last one was served is kept for later. */
  #work(): void {
    if (this.#reinject && !this.#acknowledged) return;
    this.#acknowledged = false;
    this.#pins.setLine(true);
    this.#pins.setLine(false);
    this.#pins.nmiWatchdog();
  }

  /** kvm_pit_reset_reinject. */
  #forgetTicks(): void {
    this.#pending = 0;
    this.#acknowledged = true;
  }

  /** Counter 2's gate and output; only exactly port 0x61. */
  #speakerPort(): IoDevice {
    const counter = this.#counters[2];
    return {
      read: (port, data) => {
        if (port !== SPEAKER_PORT) return -EOPNOTSUPP;
        // The refresh clock toggles about every 15 µs, here every 2^14 ns.
        const refresh = Math.floor(this.#clock.now / 0x4000) & 1;
        data.fill(0);
        data[0] = this.#speaker | (counter.gate ? 1 : 0) | (counter.output() ? 0x20 : 0) | (refresh << 4);
        return 0;
      },
      write: (port, data) => {
        if (port !== SPEAKER_PORT) return -EOPNOTSUPP;
        this.#speaker = data[0]! & 2;
        if (counter.setGate((data[0]! & 1) !== 0)) this.#loadedAt[2] = this.#clock.now;
        return 0;
      },
    };
  }
}
