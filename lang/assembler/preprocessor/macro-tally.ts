/** What all calls of macros have taken so far. A call in rehearsal takes nothing: the tally is put back behind it. */

import type { CallCounts } from './call-plan.ts';

/** Lines that macros and repetitions may make. */
export const MAX_LINES = 1_000_000;

export class MacroTally {
  /** Number of the next call or context. */
  serial = 0;
  /** Lines that macros and repetitions have made. */
  produced = 0;

  /** Takes what a call with a plan takes; gives the first of its numbers, or undefined where its lines would be too many. */
  take({ serials, produced }: CallCounts): number | undefined {
    if (this.produced + produced > MAX_LINES) return undefined;
    const { serial } = this;
    this.serial += serials;
    this.produced += produced;
    return serial;
  }
}
