/** `--trace-out` and `--causal`: what a run's events are written to, besides lines on stderr. */

import { matchingEvents } from '../event.ts';
import { CausalTree } from '../observe/causal.ts';
import { chromeTrace } from '../observe/chrome-trace.ts';
import { modeledCosts } from '../observe/cost-table.ts';
import { ftrace } from '../observe/ftrace.ts';
import { HostTime, type TimedRecord } from '../observe/host-time.ts';
import { jsonLines } from '../observe/json-lines.ts';
import { htmlReport } from '../observe/report/report.ts';
import type { TraceFormat } from '../observe/trace-format.ts';
import { GuestCode } from './guest-code.ts';
import { builtFile, installedLibrary, readUserFile } from './guest-program.ts';
import type { Observer } from './observer.ts';
import { reportGuide } from './report-guide.ts';
import { type Choice, traceLine } from './trace.ts';
import { TraceFile } from './trace-file.ts';
import { UsageError } from './usage-error.ts';
import type { Watcher } from './watcher.ts';

type Traced = Parameters<Observer>[0];
const formats: Readonly<Record<string, (traced: Traced) => TraceFormat>> = {
  txt: ({ machine }) => ftrace(() => machine.kernel.current),
  jsonl: ({ program }) => jsonLines(program.name),
  json: ({ program }) => chromeTrace(program.name),
  html: ({ machine, program }) => {
    const page = new TextDecoder().decode(readUserFile(builtFile('report.html')));
    return htmlReport(page, program.name, reportGuide(machine, program, installedLibrary().includes));
  },
};
export const formatNames = Object.keys(formats);

/** Write the chosen events to `path`, in the format of its ending, or in `format`. */
export function traceToFile(path: string, choice: Choice, format?: string): Watcher {
  const ending = format ?? /\.([^./]*)$/.exec(path)?.[1] ?? '';
  const make = formats[ending];
  if (make === undefined)
    throw new UsageError(
      `gvm: ${path}: the name has to end in one of ${formatNames.map((name) => `.${name}`).join(', ')}`,
    );
  const file = new TraceFile(path);
  const chosen = new Set(choice.events);
  let written: TraceFormat | undefined;
  return {
    observe(traced) {
      const { machine } = traced;
      const sink = make(traced);
      written = sink;
      const costs = machine.costs ?? modeledCosts;
      const time = new HostTime(costs, machine.costs !== undefined);
      const { most = Number.POSITIVE_INFINITY } = sink;
      let count = 0;
      file.write(sink.begin());
      machine.stream.subscribe([...costs.charged(), ...choice.events], (record) => {
        const stamped = time.stamp(record);
        sink.see?.(stamped);
        if (!chosen.has(record.event) || !choice.wants(record)) return;
        if (++count > most)
          throw new UsageError(
            `gvm: ${path}: more than ${most.toLocaleString('en')} events, which no browser shows: choose some with --trace, or write .jsonl`,
          );
        file.write(sink.event(stamped));
      });
      return undefined;
    },
    finish() {
      if (written !== undefined) file.write(written.end());
      file.finish();
    },
    abandon: () => file.abandon(),
  };
}

/** Give `write` each guest access that has a chosen event, whole, as a tree. */
export function traceCausally(choice: Choice, write: (text: string) => void): Watcher {
  const chosen = new Set(choice.events);
  let tree: CausalTree | undefined;
  return {
    observe({ machine, program }) {
      const code = new GuestCode(program);
      const costs = machine.costs ?? modeledCosts;
      const time = new HostTime(costs, machine.costs !== undefined);
      const wants = (record: TimedRecord) => chosen.has(record.event) && choice.wants(record);
      const grown = new CausalTree({ instruction: (rip) => code.at(rip), line: traceLine }, wants, write);
      tree = grown;
      machine.stream.subscribe(new Set([...matchingEvents('*'), ...choice.events]), (record) =>
        grown.add(time.stamp(record)),
      );
      return undefined;
    },
    finish: () => tree?.end(),
    abandon: () => undefined,
  };
}
