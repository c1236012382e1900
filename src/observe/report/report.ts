/**
 * Traces as one page that shows them: data for `client/`, put into the page that the build has made of it. The page needs nothing but a
 * browser, from a disk or a server.
 */

import type { TimedRecord } from '../host-time.ts';
import type { TraceFormat } from '../trace-format.ts';
import type { AccessRow, EventRow, KindRow } from './data.ts';
import { REPORT_VERSION } from './data.ts';

/** A place in the guest's program. */
export interface Place {
  readonly symbol: string;
  readonly file: string | undefined;
  readonly line: number | undefined;
}

/** What a report asks about the guest, beyond its events. */
export interface ReportGuide {
  /** The instruction at `rip`, disassembled. */
  instruction(rip: bigint): string;
  /** The instruction's own place, then who called, as far as the stack tells. */
  places(rip: bigint): readonly Place[];
  /** Lines of a source, undefined if it cannot be read. */
  source(file: string): readonly string[] | undefined;
  /** Where the address leads that the vCPU has just left the guest for, in lines; undefined if it was for something else. */
  walk(vcpu: number): readonly string[] | undefined;
  /** Name of an exit reason. */
  reason(number: number): string;
}

/** Things told once and named by number. */
class Table<T> {
  readonly #numbers = new Map<string, number>();
  readonly rows: T[] = [];

  number(key: string, make: () => T): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.rows.length);
    return this.rows.push(make()) - 1;
  }
}

/** JSON that may stand in a script element. */
const embedded = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

/** A page of so many events has 200 MiB; a browser opens no more, and what the page tells of accesses stays in memory until it is written. */
const MOST_EVENTS = 2_000_000;

/** Where the data goes in the page. */
const PLACE_OF_DATA = '"@TRACE@"';

/** `page` is what the build made; `program` the name of what is traced. */
export function htmlReport(page: string, program: string, guide: ReportGuide): TraceFormat {
  const [head, tail] = page.split(PLACE_OF_DATA) as [string, string];
  const kinds = new Table<KindRow>();
  const files = new Table<string>();
  const walks = new Table<readonly string[]>();
  const accesses: AccessRow[] = [];
  /** The last exit, and the number of the last access that an event was told of. */
  let exit: TimedRecord | undefined;
  let told = 0;
  let described = 0;
  let first = true;

  /** Describe the access of the last exit, if an event of it is in the trace. */
  const describe = (): void => {
    if (exit === undefined || exit.access !== told || described === told) return;
    described = told;
    const { rip, vcpu, reason } = exit.fields as { rip: bigint; vcpu: number; reason: number };
    const walk = guide.walk(vcpu);
    accesses.push([
      exit.access,
      `0x${rip.toString(16)}`,
      guide.instruction(rip),
      guide.reason(reason),
      guide
        .places(rip)
        .map(({ symbol, file, line }) =>
          file === undefined ? [symbol, -1, 0] : [symbol, files.number(file, () => file), line ?? 0],
        ),
      walk === undefined ? -1 : walks.number(walk.join('\n'), () => walk),
    ]);
  };

  return {
    most: MOST_EVENTS,
    begin: () => `${head}{"version":${REPORT_VERSION},"program":${embedded(program)},"events":[`,
    see(record) {
      if (record.event.title !== 'kvm_exit') return;
      exit = record;
      describe();
    },
    event({ event, fields, access, cost, end }) {
      told = access;
      describe();
      const kind = kinds.number(event.title, () => [event.title, event.layer, event.doc]);
      const row: EventRow = [kind, access, end, cost, event.text(fields as never).trim()];
      const text = `${first ? '\n' : ',\n'}${embedded(row)}`;
      first = false;
      return text;
    },
    end() {
      const sources = files.rows.map((name) => ({ name, lines: guide.source(name) ?? null }));
      return `],\n"kinds":${embedded(kinds.rows)},\n"accesses":${embedded(accesses)},\n"files":${embedded(sources)},\n"walks":${embedded(walks.rows)}}${tail}`;
    },
  };
}
