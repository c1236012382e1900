/** The trace as the page works with it: lanes, accesses, and which rows are to be seen. No DOM here. */

import type { AccessRow, EventRow, ReportData } from '../data.ts';

/** The lanes of the sequence diagram, from the guest down to the driver. */
export const LANES = ['guest', 'vCPU', 'KVM', 'QEMU', 'VFIO', 'driver'] as const;

const laneOfLayer: Readonly<Record<string, number>> = {
  guest: 0,
  vcpu: 1,
  kvm: 2,
  qemu: 3,
  // A system call is QEMU's.
  syscall: 3,
  vfio: 4,
  mdev: 4,
  driver: 5,
  host: 5,
};

/** The processor's own steps, whoever tells of them. */
const laneOfEvent: Readonly<Record<string, number>> = { kvm_exit: 1, kvm_entry: 1 };

/** An access with the events of it that the trace has: [first, end) of the events. */
export interface Access {
  readonly first: number;
  readonly end: number;
  /** Undefined for what happens before the guest's first access. */
  readonly row: AccessRow | undefined;
}

/** Rows to be seen: an event by its index, an access's headline as the complement of its index. */
export type Row = number;
export const headline = (access: number): Row => ~access;
export const isHeadline = (row: Row): boolean => row < 0;

/** What is asked for: words that all have to be there, `!word` that must not, and the lanes that count. */
export interface Filter {
  readonly text: string;
  readonly lanes: readonly boolean[];
}

export class Trace {
  readonly data: ReportData;
  readonly accesses: readonly Access[];
  /** By event. */
  readonly lane: Uint8Array;
  readonly accessOf: Int32Array;
  readonly start: number;
  readonly end: number;
  readonly #words: (string | undefined)[];

  constructor(data: ReportData) {
    this.data = data;
    const { events, kinds } = data;
    const kindLane = kinds.map(([title, layer]) => laneOfEvent[title] ?? laneOfLayer[layer] ?? 2);
    this.lane = Uint8Array.from(events, ([kind]) => kindLane[kind]!);
    this.accessOf = new Int32Array(events.length);
    this.#words = new Array(events.length);
    const rows = new Map(data.accesses.map((row) => [row[0], row]));
    const accesses: Access[] = [];
    for (let first = 0; first < events.length; ) {
      const number = events[first]![1];
      let end = first;
      while (end < events.length && events[end]![1] === number) this.accessOf[end++] = accesses.length;
      accesses.push({ first, end, row: rows.get(number) });
      first = end;
    }
    this.accesses = accesses;
    this.start = events.length === 0 ? 0 : events[0]![2] - events[0]![3];
    this.end = events.at(-1)?.[2] ?? 0;
  }

  event(index: number): EventRow {
    return this.data.events[index]!;
  }

  title(index: number): string {
    return this.data.kinds[this.event(index)[0]]![0];
  }

  layer(index: number): string {
    return this.data.kinds[this.event(index)[0]]![1];
  }

  doc(index: number): string {
    return this.data.kinds[this.event(index)[0]]![2];
  }

  /** What a search looks at, in lower case. */
  #searched(index: number): string {
    this.#words[index] ??= `${this.layer(index)} ${this.title(index)} ${this.event(index)[4]}`.toLowerCase();
    return this.#words[index]!;
  }

  /** What a search finds in an access's headline: its instruction, and where it stands. */
  #headlineWords({ row }: Access): string {
    if (row === undefined) return '';
    const places = row[4].map(([symbol, file, line]) => `${symbol} ${this.data.files[file]?.name ?? ''}:${line}`);
    return `${row[2]} ${row[3]} ${places.join(' ')}`.toLowerCase();
  }

  /** Indices of the events that `filter` lets through. A word that the headline has lets all of the access through. */
  matching({ text, lanes }: Filter): Int32Array {
    const words = text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== '' && word !== '!');
    const wanted = words.filter((word) => !word.startsWith('!'));
    const unwanted = words.filter((word) => word.startsWith('!')).map((word) => word.slice(1));
    const found = new Int32Array(this.data.events.length);
    let count = 0;
    for (const access of this.accesses) {
      const head = words.length === 0 ? '' : this.#headlineWords(access);
      const left = wanted.filter((word) => !head.includes(word));
      for (let index = access.first; index < access.end; index++) {
        if (!lanes[this.lane[index]!]) continue;
        if (words.length > 0) {
          const searched = this.#searched(index);
          if (!left.every((word) => searched.includes(word)) || unwanted.some((word) => searched.includes(word)))
            continue;
        }
        found[count++] = index;
      }
    }
    return found.subarray(0, count);
  }

  /** The rows for `events`: each access's headline, and under it its events unless it is folded. */
  rows(events: Int32Array, folded: (access: number) => boolean): Int32Array {
    const rows = new Int32Array(events.length * 2);
    let count = 0;
    let access = -1;
    let hidden = false;
    for (const index of events) {
      if (this.accessOf[index] !== access) {
        access = this.accessOf[index]!;
        hidden = folded(access);
        rows[count++] = headline(access);
      }
      if (!hidden) rows[count++] = index;
    }
    return rows.subarray(0, count);
  }

  /** How long an access took, from its first event's start to its last one's end. */
  duration({ first, end }: Access): number {
    const [, , ended, cost] = this.event(first);
    return this.event(end - 1)[2] - (ended - cost);
  }

  /** When the guest began to run before this access; where the access itself begins if it did not run. */
  guestSince({ first, row }: Access): number {
    const [, , ended, cost] = this.event(first);
    return row === undefined || first === 0 ? ended - cost : this.event(first - 1)[2];
  }

  /** Whether a file is the reader's own, not the guest library's. */
  isOwn(file: number): boolean {
    return file >= 0 && !this.data.files[file]!.name.startsWith('lang/library/');
  }

  /** The first of the accesses that go deepest, of the reader's own program if there is one: the whole road. */
  get telling(): number {
    let found = -1;
    let most = -1;
    this.accesses.forEach(({ first, end, row }, number) => {
      if (row === undefined) return;
      const depth = this.lane.subarray(first, end).reduce((deepest, lane) => Math.max(deepest, lane), 0);
      const weight = 2 * depth + (row[4].some(([, file]) => this.isOwn(file)) ? 1 : 0);
      if (weight > most) [found, most] = [number, weight];
    });
    return found;
  }

  /** Nanoseconds that an access took in each lane, with the guest's work before it. */
  laneTimes(access: Access): number[] {
    const { first, end } = access;
    const times = LANES.map(() => 0);
    const [, , ended, cost] = this.event(first);
    times[0] = ended - cost - this.guestSince(access);
    for (let index = first; index < end; index++) times[this.lane[index]!]! += this.event(index)[3];
    return times;
  }
}

/** `850 ns`, `1.35 µs`, `12.4 ms`. */
export function duration(nanoseconds: number): string {
  if (nanoseconds < 1000) return `${Math.round(nanoseconds)} ns`;
  const [value, unit] =
    nanoseconds < 1e6
      ? [nanoseconds / 1e3, 'µs']
      : nanoseconds < 1e9
        ? [nanoseconds / 1e6, 'ms']
        : [nanoseconds / 1e9, 's'];
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

/** A moment in a column: `1 234.567 µs`. */
export function moment(nanoseconds: number): string {
  const [whole, rest] = (nanoseconds / 1000).toFixed(3).split('.') as [string, string];
  return `${whole.replace(/\B(?=(\d{3})+$)/g, '\u2009')}.${rest}`;
}
