/** A line on the terminal that tells how a long run goes: instructions, and exits a second. It is wiped before anything else is written. */

import { EXIT_REASON, type ExitReason } from '../hardware/vcpu/exit.ts';
import { Vcpu } from '../hardware/vcpu/vcpu.ts';
import type { Output } from './output.ts';

/** Milliseconds until the first line, and between two. */
const PATIENCE = 1000;
const INTERVAL = 200;
/** Entries, and instructions of one entry, after which the clock is looked at. */
const ENTRIES = 2048;
const SLICE = 2_000_000;
const WIPE = '\r\x1b[K';

/** Counts a run's entries, and hands all words on. */
export class Progress implements Output {
  readonly #output: Output;
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  readonly #isTerminal: () => boolean;
  readonly #start: number;
  #next: number;
  #shown = false;
  #entries = 0;

  /** `terminal` writes to the terminal; `now` is its clock in milliseconds; `isTerminal` is asked when the first line is due. */
  constructor(output: Output, terminal: { write(text: string): void; now(): number; isTerminal(): boolean }) {
    this.#output = output;
    this.#write = (text) => terminal.write(text);
    this.#now = () => terminal.now();
    this.#isTerminal = () => terminal.isTerminal();
    this.#start = terminal.now();
    this.#next = this.#start + PATIENCE;
  }

  /** A vCPU was entered; `retired` counts its instructions. */
  entered(retired: number): void {
    if (++this.#entries % ENTRIES === 0) this.tick(retired);
  }

  /** Show where the run is, if it is time. */
  tick(retired: number): void {
    const now = this.#now();
    if (now < this.#next) return;
    if (!this.#shown && !this.#isTerminal()) {
      this.#next = Number.POSITIVE_INFINITY;
      return;
    }
    this.#next = now + INTERVAL;
    this.#shown = true;
    const seconds = (now - this.#start) / 1000;
    const rate = (count: number) => short(count / seconds);
    this.#write(
      `${WIPE}gvm: ${seconds.toFixed(1)} s  ${short(retired)} instructions (${rate(retired)}/s)  ${short(this.#entries)} exits (${rate(this.#entries)}/s)`,
    );
  }

  #wipe(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#write(WIPE);
  }

  console(bytes: Uint8Array): void {
    this.#wipe();
    this.#output.console(bytes);
  }

  line(tag: string, text: string): void {
    this.#wipe();
    this.#output.line(tag, text);
  }

  message(text: string): void {
    this.#wipe();
    this.#output.message(text);
  }

  end(): void {
    this.#wipe();
    this.#output.end();
  }
}

/** `950`, `12.3k`, `4.56M`. */
export function short(count: number): string {
  if (count < 1000) return count.toFixed(0);
  const [value, unit] = count < 1e6 ? [count / 1e3, 'k'] : count < 1e9 ? [count / 1e6, 'M'] : [count / 1e9, 'G'];
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}${unit}`;
}

/** A kind of vCPU that comes by once in a while to tell `progress` how it goes. The guest and KVM see no difference. */
export const watchedBy = (progress: Progress): typeof Vcpu =>
  class WatchedVcpu extends Vcpu {
    override run(instructionLimit: number): ExitReason {
      progress.entered(this.retired);
      for (let left = instructionLimit; ; ) {
        const before = this.retired;
        const reason = super.run(Math.min(left, SLICE));
        left -= this.retired - before;
        if (reason !== EXIT_REASON.PREEMPTION_TIMER || left <= 0) return reason;
        progress.tick(this.retired);
      }
    }
  };
