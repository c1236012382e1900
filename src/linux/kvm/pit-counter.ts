/**
 * One counter of the 8254 as KVM has it: what it shows and puts out is worked out from the time since it was loaded, whatever its
 * gate says (arch/x86/kvm/i8254.c: pit_get_count, pit_get_out, pit_set_gate and the latches).
 */

const FREQUENCY = 1_193_182;
const SECOND = 1e9;
const WORD = 0x10000;
/** Before the first control word: neither of the six modes. */
const NO_MODE = 0xff;

/** How the two bytes of a count are read or written: bits 5:4 of the control word, and the second byte of {@link BYTES.WORD0}. */
const BYTES = { NONE: 0, LOW: 1, HIGH: 2, WORD0: 3, WORD1: 4 } as const;

/** Whole ticks in `elapsed` nanoseconds. */
export function ticksOf(elapsed: number): number {
  const seconds = Math.floor(elapsed / SECOND);
  return seconds * FREQUENCY + Math.floor((Math.floor(elapsed - seconds * SECOND) * FREQUENCY) / SECOND);
}

/** Nanoseconds that `ticks` take. */
export const nanosecondsOf = (ticks: number): number => Math.floor((ticks * SECOND) / FREQUENCY);

export class Counter {
  /** Nanoseconds since the count was loaded; counter 0's are its timer's. */
  readonly #elapsed: () => number;
  /** 65536 for a written 0. */
  count = WORD;
  mode = NO_MODE;
  gate: boolean;
  #decimal = 0;
  #access: number = BYTES.NONE;
  #reads: number = BYTES.NONE;
  #writes: number = BYTES.NONE;
  #low = 0;
  /** Which byte of the latched count is read next; NONE: nothing is latched. */
  #latched: number = BYTES.NONE;
  #latchedCount = 0;
  #status: number | undefined;

  constructor(elapsed: () => number, gate: boolean) {
    this.#elapsed = elapsed;
    this.gate = gate;
  }

  /** A control word for this counter, other than the latch command. */
  configure(word: number): void {
    this.#access = this.#reads = this.#writes = (word >> 4) & 3;
    const mode = (word >> 1) & 7;
    // Bit 2 of the mode counts only with bit 1 clear: 6 is 2, 7 is 3.
    this.mode = mode > 5 ? mode - 4 : mode;
    // It is shown in the status, and counts in binary all the same.
    this.#decimal = word & 1;
  }

  /** pit_latch_count: the first of several counts. Before the first control word there is nothing to latch. */
  latch(): void {
    if (this.#latched !== BYTES.NONE) return;
    this.#latchedCount = this.#value() & 0xffff;
    this.#latched = this.#access;
  }

  /** pit_latch_status: the first of several. The bit that tells whether a count is loaded yet is always clear. */
  latchStatus(): void {
    this.#status ??= ((this.output() ? 0x80 : 0) | (this.#access << 4) | (this.mode << 1) | this.#decimal) & 0xff;
  }

  /** A byte of the status, of the latched count or of the count as it is, in this order. */
  read(): number {
    const status = this.#status;
    if (status !== undefined) {
      this.#status = undefined;
      return status;
    }
    const latched = this.#latched;
    if (latched !== BYTES.NONE) {
      this.#latched = latched === BYTES.WORD0 ? BYTES.HIGH : BYTES.NONE;
      return latched === BYTES.HIGH ? this.#latchedCount >> 8 : this.#latchedCount & 0xff;
    }
    const which = this.#reads;
    if (which === BYTES.WORD0) this.#reads = BYTES.WORD1;
    else if (which === BYTES.WORD1) this.#reads = BYTES.WORD0;
    const high = which === BYTES.HIGH || which === BYTES.WORD1;
    return (high ? this.#value() >> 8 : this.#value()) & 0xff;
  }

  /** A byte of the count; the new count once it is complete, else `undefined`. */
  write(byte: number): number | undefined {
    switch (this.#writes) {
      case BYTES.HIGH:
        return byte << 8;
      case BYTES.WORD0:
        this.#low = byte;
        this.#writes = BYTES.WORD1;
        return undefined;
      case BYTES.WORD1:
        this.#writes = BYTES.WORD0;
        return this.#low | (byte << 8);
      default:
        return byte;
    }
  }

  /** pit_get_out: the level of the output. */
  output(): boolean {
    const { count } = this;
    const ticks = ticksOf(this.#elapsed());
    switch (this.mode) {
      case 1:
        return ticks < count;
      case 2:
        return ticks % count === 0 && ticks !== 0;
      case 3:
        return ticks % count < (count + 1) >> 1;
      case 4:
      case 5:
        return ticks === count;
      default:
        return ticks >= count;
    }
  }

  /** pit_set_gate: true when its rise starts the count again. */
  setGate(gate: boolean): boolean {
    const restarts = gate && !this.gate && [1, 2, 3, 5].includes(this.mode);
    this.gate = gate;
    return restarts;
  }

  /** pit_get_count. */
  #value(): number {
    const { count } = this;
    const ticks = ticksOf(this.#elapsed());
    switch (this.mode) {
      case 0:
      case 1:
      case 4:
      case 5:
        // A difference may be beyond 32 bits, which the operators of JavaScript have.
        return (((count - ticks) % WORD) + WORD) % WORD;
      case 3:
        // The square wave counts by two.
        return count - ((2 * ticks) % count);
      default:
        return count - (ticks % count);
    }
  }
}
