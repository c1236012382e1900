/**
 * Each guest access as a tree: the instruction, then every step that served it, indented by the layer it happened in, and what
 * each layer took.
 */

import type { Layer } from '../event.ts';
import type { TimedRecord } from './host-time.ts';
import { depthOf, layers } from './layers.ts';

/** How a causal report names things that events know by number. */
export interface Naming {
  /** The guest's instruction at `rip`: its text, and its place in the sources. */
  instruction(rip: bigint): string;
  /** An event's line. */
  line(record: TimedRecord): string;
}

/** Gathers the events of one access after the other. */
export class CausalTree {
  readonly #naming: Naming;
  readonly #write: (text: string) => void;
  readonly #wants: (record: TimedRecord) => boolean;
  #records: TimedRecord[] = [];
  #wanted = false;
  /** When the guest was entered, on the host's clock. */
  #entered: number | undefined;
  #guest = 0;

  /** An access is written, as lines, if one of its events is wanted. */
  constructor(naming: Naming, wants: (record: TimedRecord) => boolean, write: (text: string) => void) {
    this.#naming = naming;
    this.#wants = wants;
    this.#write = write;
  }

  /** To be called with every event of the machine, in order. */
  add(record: TimedRecord): void {
    if (record.access !== this.#records[0]?.access) this.end();
    if (record.event.title === 'kvm_exit') {
      this.#guest = this.#entered === undefined ? 0 : record.end - record.cost - this.#entered;
      this.#entered = undefined;
    }
    if (record.event.title === 'kvm_entry') this.#entered = record.end;
    this.#records.push(record);
    if (!this.#wanted && this.#wants(record)) this.#wanted = true;
  }

  /** No more events: the last access is complete. */
  end(): void {
    const [first] = this.#records;
    if (this.#wanted && first !== undefined && first.access !== 0) this.#write(this.#tree(first));
    this.#records = [];
    this.#wanted = false;
  }

  #tree(first: TimedRecord): string {
    const rip = this.#records.find(({ event }) => event.title === 'kvm_exit')?.fields['rip'];
    const instruction = typeof rip === 'bigint' ? this.#naming.instruction(rip) : '';
    const lines = [`access ${first.access}  ${instruction}`.trimEnd()];
    let depth = depthOf('kvm');
    for (const record of this.#records) {
      // What the host's kernel logs belongs to the step that it says something about.
      const own = record.event.layer === 'host' ? depth + 1 : depthOf(record.event.layer);
      if (record.event.layer !== 'host') depth = own;
      lines.push(`${'  '.repeat(own - 1)}[${record.event.layer}] ${this.#naming.line(record)}`);
    }
    lines.push(`  = ${this.#times()}`);
    return lines.join('\n');
  }

  /** `guest 12 ns, kvm 1050 ns, …: 2112 ns`; the guest's part is what it worked before the exit. */
  #times(): string {
    const spent = new Map<Layer, number>([['guest', this.#guest]]);
    for (const { event, cost } of this.#records) spent.set(event.layer, (spent.get(event.layer) ?? 0) + cost);
    const parts = layers.flatMap((layer) => {
      const time = spent.get(layer) ?? 0;
      return time === 0 ? [] : [`${layer} ${time} ns`];
    });
    const total = [...spent.values()].reduce((sum, time) => sum + time, 0);
    return `${parts.join(', ')}: ${total} ns (modeled)`;
  }
}
