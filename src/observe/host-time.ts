/**
 * What the host's work costs in time. The guest's instructions take virtual time; the model of the host takes none that the guest
 * could see. Reports need both, so that a costly road looks costly: each step is charged by a table.
 *
 * Fidelity: the guest's time-stamp counter does not see these nanoseconds, unless the run is made with `--costs`.
 */

import type { Event, EventRecord } from '../event.ts';
import { type CostTable, modeledCosts } from './cost-table.ts';

/** An event with its time on the host's clock: the guest's instructions and all charged steps before it, in nanoseconds. */
export interface TimedRecord extends EventRecord {
  /** When the step ended. */
  readonly end: number;
  /** What it was charged. */
  readonly cost: number;
}

/** The host's clock. It has to be shown every charged event of a machine, so that times do not depend on which are traced. */
export class HostTime {
  readonly #costs: CostTable;
  readonly #counted: boolean;
  readonly #known = new Map<Event, number>();
  #charged = 0;

  /** `counted`: the machine's own clock has the costs in it already. */
  constructor(costs: CostTable = modeledCosts, counted = false) {
    this.#costs = costs;
    this.#counted = counted;
  }

  /** Hot: each event is looked up once. */
  #costOf(event: Event): number {
    let cost = this.#known.get(event);
    if (cost === undefined) {
      cost = this.#costs.of(event);
      this.#known.set(event, cost);
    }
    return cost;
  }

  /** `record` with its time. */
  stamp(record: EventRecord): TimedRecord {
    const cost = this.#costOf(record.event);
    if (!this.#counted) this.#charged += cost;
    const { event, fields, time, access } = record;
    return { event, fields, time, access, cost, end: Number(time) + this.#charged };
  }
}
