/** What seeing costs: all of KVM's events into a file, and a report. What events cost that nobody listens to, the script of the benchmark finds out. */

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestLibrary } from '../../src/cli/guest-program.ts';
import { MessagesOnly, Transcript } from '../../src/cli/output.ts';
import { chooseEvents } from '../../src/cli/trace.ts';
import { traceToFile } from '../../src/cli/trace-sink.ts';
import { watchedRun } from '../../src/cli/watched-run.ts';
import { plainRun } from '../plain-run.ts';
import { type Figure, median } from './measure.ts';

/** Port writes to the mdev driver, each an exit to QEMU and back. */
const program = (count: number) =>
  ({ ...plainRun('test/bench/pio.gasm'), maxInsns: 1e9, defines: { COUNT: '1', WINDOW: String(count) } }) as const;

/** Milliseconds of a run whose events go to `path`, and how many there were. */
function traced(library: GuestLibrary, path: string, events: string, count: number): number {
  const start = performance.now();
  watchedRun(program(count), library, new MessagesOnly(new Transcript()), [traceToFile(path, chooseEvents(events))]);
  return performance.now() - start;
}

/** Events of one port write: kvm_exit, kvm_pio, kvm_userspace_exit, kvm_run_exit, kvm_vcpu_ioctl, kvm_entry. */
const EVENTS_A_WRITE = 6;

/** The rows for the table. */
export function observeFigures(library: GuestLibrary): readonly Figure[] {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-bench-'));
  const rate = (name: string): number => {
    const path = join(folder, name);
    const count = 100_000;
    const times = Array.from(
      { length: 3 },
      () => traced(library, path, 'kvm_*', count) - traced(library, path, 'kvm_*', 0),
    );
    return (count * EVENTS_A_WRITE) / (median(times) / 1000);
  };
  const [text, lines] = [rate('t.txt'), rate('t.jsonl')];
  const report = join(folder, 'report.html');
  const start = performance.now();
  traced(library, report, '*', 8000);
  const took = performance.now() - start;
  const size = statSync(report).size / 2 ** 20;
  rmSync(folder, { recursive: true });
  const limit = 'at least 300 k/s';
  return [
    { name: 'all kvm_* events into a .txt file', value: `${(text / 1000).toFixed(0)} k events/s`, limit },
    { name: 'all kvm_* events into a .jsonl file', value: `${(lines / 1000).toFixed(0)} k events/s`, limit },
    {
      name: 'report of 120,000 events',
      value: `${(took / 1000).toFixed(1)} s, ${size.toFixed(0)} MiB`,
      limit: 'at most 5 s',
    },
  ];
}
