/**
 * Halt polling: how long the thread of a halted vCPU looks for an interrupt itself before it sleeps (virt/kvm/kvm_main.c:
 * kvm_vcpu_halt, grow_halt_poll_ns, shrink_halt_poll_ns). Short halts make the time longer, a long one ends it. In virtual time
 * looking and sleeping are the same; what differs is in the trace and in the statistics.
 */

import type { EventStream } from '../../event.ts';
import { kvmHaltPollNs, kvmVcpuWakeup } from './trace-irq.ts';
import type { VcpuStats } from './vcpu-stats.ts';

/** halt_poll_ns, halt_poll_ns_grow_start and halt_poll_ns_grow, parameters of kvm.ko, as they are by default. */
export const MOST_POLLING = 200_000;
const FIRST = 10_000;
const GROWTH = 2;

export class HaltPolling {
  readonly #stream: EventStream;
  readonly #vcpu: number;
  readonly #stats: VcpuStats;
  readonly #limit: () => number;
  #nanoseconds = 0;

  /** Of the vCPU of this number, in whose statistics it counts; `limit` is kvm_vcpu_max_halt_poll_ns. */
  constructor(stream: EventStream, vcpu: number, stats: VcpuStats, limit: () => number) {
    this.#stream = stream;
    this.#vcpu = vcpu;
    this.#stats = stats;
    this.#limit = limit;
  }

  /** The halt is over, `halted` nanoseconds after it began: the vCPU was `woken`, or there was a signal. */
  ended(halted: number, woken: boolean): void {
    const most = this.#limit();
    // What has grown over the limit is cut when it is used, and told as it had grown.
    const polled = Math.min(this.#nanoseconds, most);
    this.#nanoseconds = polled;
    const waited = halted >= polled;
    if (polled > 0) this.#count(halted, polled, waited);
    if (waited) {
      if (woken) this.#stats.halt_wakeup++;
      this.#stats.halt_wait_ns += halted - polled;
    }
    if (polled > 0 && halted > most) this.#set(0, false);
    else if (halted > polled && polled < most && halted < most) this.#set(Math.max(polled * GROWTH, FIRST), true);
    if (kvmVcpuWakeup.on) kvmVcpuWakeup(this.#stream, { nanoseconds: BigInt(halted), waited });
  }

  /** update_halt_poll_stats. */
  #count(halted: number, polled: number, waited: boolean): void {
    const stats = this.#stats;
    stats.halt_attempted_poll++;
    if (waited) stats.halt_poll_fail_ns += polled;
    else {
      stats.halt_successful_poll++;
      stats.halt_poll_success_ns += halted;
    }
  }

  #set(nanoseconds: number, grow: boolean): void {
    const fields = { vcpu: this.#vcpu, grow, nanoseconds, before: this.#nanoseconds };
    if (kvmHaltPollNs.on) kvmHaltPollNs(this.#stream, fields);
    this.#nanoseconds = nanoseconds;
  }
}
