/**
 * What a run's VM exits cost, by different keys: exit reason, port, MMIO address, device, road, source line. An exit's time runs
 * from kvm_exit to the next kvm_entry, as `perf kvm stat` counts it; the last exit, which no entry follows, does not count.
 */

import type { TimedRecord } from './host-time.ts';
import { depthOf } from './layers.ts';

/** The tables there are, each with the head of its first column. */
export const tableHeads = {
  vmexit: 'VM-EXIT',
  ioport: 'IO Port Access',
  mmio: 'MMIO Access',
  device: 'Device',
  road: 'Road',
  line: 'Source line',
} as const;
export type TableName = keyof typeof tableHeads;
export const tableNames = Object.keys(tableHeads) as readonly TableName[];

/** Number and time of some exits; times in nanoseconds. */
export class Samples {
  count = 0;
  total = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;
  /** Sum of squared distances from the mean, kept up by Welford's method. */
  #squares = 0;
  #mean = 0;

  add(time: number): void {
    this.count++;
    this.total += time;
    this.min = Math.min(this.min, time);
    this.max = Math.max(this.max, time);
    const distance = time - this.#mean;
    this.#mean += distance / this.count;
    this.#squares += distance * (time - this.#mean);
  }

  get average(): number {
    return this.total / this.count;
  }

  /** Standard error of the mean in percent of it: perf's `( +- x.xx% )`. */
  get relativeError(): number {
    if (this.count < 2 || this.#mean === 0) return 0;
    return (100 * Math.sqrt(this.#squares / (this.count - 1) / this.count)) / this.#mean;
  }
}

export type Table = ReadonlyMap<string, Samples>;

/** One exit while it is served. */
interface OpenExit {
  readonly start: number;
  readonly keys: Map<TableName, string>;
  /** Deepest layer that took part, and the road named after it. */
  depth: number;
}

/** Where an exit was served, by the deepest layer that took part. */
const roads: readonly (readonly [depth: number, name: string])[] = [
  [depthOf('driver'), 'host driver'],
  [depthOf('vfio'), 'VFIO'],
  [depthOf('qemu'), 'QEMU'],
  [depthOf('kvm'), 'KVM'],
];

/** Counts the exits of a run, told all its events in order. */
export class Statistics {
  readonly #tables = new Map<TableName, Map<string, Samples>>(tableNames.map((name) => [name, new Map()]));
  readonly #reason: (number: number) => string;
  readonly #lineOf: (rip: bigint, vcpu: number) => string;
  #open: OpenExit | undefined;

  /** `reason` names an exit reason, `lineOf` the source line that an exit at `rip` is put down to. */
  constructor(reason: (number: number) => string, lineOf: (rip: bigint, vcpu: number) => string) {
    this.#reason = reason;
    this.#lineOf = lineOf;
  }

  table(name: TableName): Table {
    return this.#tables.get(name)!;
  }

  add({ event, fields, end, cost }: TimedRecord): void {
    if (event.title === 'kvm_exit') {
      const keys = new Map<TableName, string>([
        ['vmexit', this.#reason(fields['reason'] as number)],
        ['line', this.#lineOf(fields['rip'] as bigint, fields['vcpu'] as number)],
      ]);
      this.#open = { start: end - cost, keys, depth: depthOf('kvm') };
      return;
    }
    const open = this.#open;
    if (open === undefined) return;
    if (event.layer !== 'syscall' && event.layer !== 'host') open.depth = Math.max(open.depth, depthOf(event.layer));
    switch (event.title) {
      case 'kvm_entry':
        this.#close(open, end);
        break;
      case 'kvm_pio':
        open.keys.set(
          'ioport',
          `0x${(fields['port'] as number).toString(16)}:${fields['write'] === true ? 'POUT' : 'PIN'}`,
        );
        break;
      case 'kvm_mmio':
        open.keys.set('mmio', `0x${(fields['gpa'] as number).toString(16)}:${fields['type'] === 'write' ? 'W' : 'R'}`);
        break;
      case 'memory_region_ops_read':
      case 'memory_region_ops_write':
        open.keys.set('device', fields['name'] as string);
        break;
    }
  }

  #close(open: OpenExit, end: number): void {
    this.#open = undefined;
    open.keys.set('road', roads.find(([depth]) => open.depth >= depth)?.[1] ?? 'KVM');
    for (const [name, key] of open.keys) {
      const table = this.#tables.get(name)!;
      let samples = table.get(key);
      if (samples === undefined) {
        samples = new Samples();
        table.set(key, samples);
      }
      samples.add(end - open.start);
    }
  }
}
