/**
 * The interval timer 8254 in the kernel (Intel 8254 data sheet; arch/x86/kvm/i8254.c): three counters at ports 0x40–0x43,
 * the first of which raises GSI 0. Time is virtual time.
 */

import type { Clock, Timer } from '../core/clock.ts';
import { EOPNOTSUPP } from '../uapi/errno.ts';
import type { IoBus, IoDevice } from './io-bus.ts';

const FREQUENCY = 1_193_182;
const NANOSECONDS = 1e9;
const TICK = NANOSECONDS / FREQUENCY;
export const PIT_GSI = 0;
const CONTROL = 3;
const SPEAKER_PORT = 0x61;

/** How a counter's two bytes are read or written (bits 5:4 of the control word). */
const ACCESS = { LATCH: 0, LOW: 1, HIGH: 2, BOTH: 3 } as const;

class Counter {
  count = 0x10000;
  mode = 0;
  access: number = ACCESS.BOTH;
  gate = true;
  /** When the count was loaded. */
  loadedAt = 0;
  #latched: number[] = [];
  #low: number | undefined;
  #readHigh = false;

  /** pit_get_count: what the counter shows at `now`. */
  value(now: number): number {
    const elapsed = Math.floor((now - this.loadedAt) / TICK);
    switch (this.mode) {
      case 2:
        return this.count - (elapsed % this.count);
      case 3:
        // The square wave counts by two.
        return this.count - ((2 * elapsed) % this.count);
      default:
        return (this.count - elapsed) & 0xffff;
    }
  }

  /** pit_get_out: the level of the output. */
  output(now: number): boolean {
    const elapsed = Math.floor((now - this.loadedAt) / TICK);
    switch (this.mode) {
      case 2:
        return elapsed % this.count !== this.count - 1;
      case 3:
        return elapsed % this.count < (this.count + 1) >> 1;
      default:
        return elapsed >= this.count;
    }
  }

  latch(now: number): void {
    if (this.#latched.length > 0) return;
    const value = this.value(now);
    this.#latched = this.access === ACCESS.BOTH ? [value & 0xff, (value >> 8) & 0xff] : [this.#byte(value)];
  }

  latchStatus(now: number): void {
    this.#latched.unshift((this.output(now) ? 0x80 : 0) | (this.access << 4) | (this.mode << 1));
  }

  read(now: number): number {
    const latched = this.#latched.shift();
    if (latched !== undefined) return latched;
    const value = this.value(now);
    if (this.access !== ACCESS.BOTH) return this.#byte(value);
    this.#readHigh = !this.#readHigh;
    return this.#readHigh ? value & 0xff : (value >> 8) & 0xff;
  }

  /** The new count once it is complete, else `undefined`. */
  write(value: number): number | undefined {
    if (this.access === ACCESS.LOW) return value;
    if (this.access === ACCESS.HIGH) return value << 8;
    if (this.#low === undefined) {
      this.#low = value;
      return undefined;
    }
    const count = this.#low | (value << 8);
    this.#low = undefined;
    return count;
  }

  configure(access: number, mode: number): void {
    this.access = access;
    // Bit 2 of the mode counts only with bit 1 clear: 6 is 2, 7 is 3.
    this.mode = mode > 5 ? mode - 4 : mode;
    this.#low = undefined;
    this.#readHigh = false;
  }

  #byte(value: number): number {
    return this.access === ACCESS.HIGH ? (value >> 8) & 0xff : value & 0xff;
  }
}

export class Pit implements IoDevice {
  readonly #clock: Clock;
  readonly #setLine: (level: boolean) => void;
  readonly #counters = [new Counter(), new Counter(), new Counter()] as const;
  #timer: Timer | undefined;
  #speaker = 0;
  /** Ticks that the guest has not acknowledged yet; they follow one by one when it has (reinject). */
  #pending = 0;
  #awaitsAck = false;
  /** KVM_REINJECT_CONTROL. */
  reinject = true;

  /** `setLine` drives GSI 0 with the PIT's own source number. */
  constructor(clock: Clock, setLine: (level: boolean) => void) {
    this.#clock = clock;
    this.#setLine = setLine;
  }

  /** Put the ports on the bus; with `speaker` port 0x61 too (KVM_PIT_SPEAKER_DUMMY). 0 or -errno. */
  register(bus: IoBus, speaker: boolean): number {
    const error = bus.register(0x40, 4, this);
    if (error < 0 || !speaker) return error;
    const speakerError = bus.register(SPEAKER_PORT, 4, this.#speakerPort());
    if (speakerError < 0) bus.unregister(this);
    return speakerError;
  }

  read(port: number, data: Uint8Array): number {
    const index = port & 3;
    data.fill(0);
    if (index !== CONTROL) data[0] = this.#counters[index]!.read(this.#clock.now);
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
    this.#awaitsAck = false;
    if (!this.reinject || this.#pending === 0) return;
    this.#pending--;
    this.#tick();
  }

  destroy(): void {
    if (this.#timer !== undefined) this.#clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  #control(word: number): void {
    const select = word >> 6;
    const { now } = this.#clock;
    if (select === 3) {
      // Read-back: several counters at once.
      for (const [index, counter] of this.#counters.entries()) {
        if ((word & (2 << index)) === 0) continue;
        if ((word & 0x20) === 0) counter.latch(now);
        if ((word & 0x10) === 0) counter.latchStatus(now);
      }
      return;
    }
    const access = (word >> 4) & 3;
    if (access === ACCESS.LATCH) this.#counters[select]!.latch(now);
    else this.#counters[select]!.configure(access, (word >> 1) & 7);
  }

  /** pit_load_count: 0 counts 65536. */
  #load(index: number, count: number): void {
    const counter = this.#counters[index]!;
    counter.count = count === 0 ? 0x10000 : count;
    counter.loadedAt = this.#clock.now;
    if (index === 0) this.#start();
  }

  /** create_pit_timer. */
  #start(): void {
    this.destroy();
    this.#pending = 0;
    this.#awaitsAck = false;
    this.#arm(this.#clock.now);
  }

  #arm(from: number): void {
    const period = Math.max(1, Math.round(this.#counters[0].count * TICK));
    this.#timer = this.#clock.start(from + period, () => {
      this.#timer = undefined;
      const { mode } = this.#counters[0];
      if (mode === 2 || mode === 3) this.#arm(from + period);
      this.#expired();
    });
  }

  /** pit_do_work: a tick that comes before the last one was served is kept for later. */
  #expired(): void {
    if (this.reinject && this.#awaitsAck) this.#pending++;
    else this.#tick();
  }

  #tick(): void {
    this.#awaitsAck = true;
    this.#setLine(true);
    this.#setLine(false);
  }

  /** Counter 2's gate and output; only exactly port 0x61. */
  #speakerPort(): IoDevice {
    const counter = this.#counters[2];
    return {
      read: (port, data) => {
        if (port !== SPEAKER_PORT) return -EOPNOTSUPP;
        const { now } = this.#clock;
        // Bit 4 is the refresh clock, which toggles every 15 µs.
        const refresh = Math.floor(now / 15_000) & 1;
        data.fill(0);
        data[0] = this.#speaker | (counter.gate ? 1 : 0) | (counter.output(now) ? 0x20 : 0) | (refresh << 4);
        return 0;
      },
      write: (port, data) => {
        if (port !== SPEAKER_PORT) return -EOPNOTSUPP;
        this.#speaker = data[0]! & 2;
        const gate = (data[0]! & 1) !== 0;
        if (gate && !counter.gate) counter.loadedAt = this.#clock.now;
        counter.gate = gate;
        return 0;
      },
    };
  }
}
