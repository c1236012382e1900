/**
 * Traces for Perfetto and chrome://tracing (the Trace Event Format): a track a layer, a slice an event as long as the step is
 * charged, the guest's own work between entry and exit, and for each guest access a flow of arrows from track to track.
 */

import type { TimedRecord } from './host-time.ts';
import { depthOf, layers } from './layers.ts';
import type { TraceFormat } from './trace-format.ts';

const PROCESS = 1;
/** Tracks are threads; their numbers begin at 1. */
const trackOf = (record: TimedRecord): number => depthOf(record.event.layer) + 1;
const GUEST_TRACK = depthOf('guest') + 1;

/** Nanoseconds as the format's microseconds. */
const micros = (nanoseconds: number): number => nanoseconds / 1000;

export function chromeTrace(program: string): TraceFormat {
  let first = true;
  let enteredAt: number | undefined;
  /** The step that was last in its access, and whether the access's flow has begun. */
  let last: TimedRecord | undefined;
  let flowing = false;

  const line = (object: object): string => {
    const text = `${first ? '' : ',\n'}${JSON.stringify(object)}`;
    first = false;
    return text;
  };
  const metadata = (name: string, tid: number, args: object) => line({ ph: 'M', pid: PROCESS, tid, name, args });
  const flow = (ph: 's' | 't' | 'f', at: TimedRecord): string =>
    line({
      ph,
      pid: PROCESS,
      tid: trackOf(at),
      ts: micros(at.end - at.cost),
      id: at.access,
      name: 'access',
      cat: 'access',
      // An arrow ends at the slice that encloses it, not at the next.
      ...(ph === 'f' ? { bp: 'e' } : {}),
    });
  /** The arrow into the last step of an access; none if it stayed on one track. */
  const endFlow = (): string => {
    const text = flowing ? flow('f', last!) : '';
    flowing = false;
    return text;
  };

  return {
    begin() {
      let text = `{"displayTimeUnit":"ns","otherData":${JSON.stringify({ program, v: 1 })},"traceEvents":[\n`;
      text += metadata('process_name', 0, { name: program });
      for (const [index, layer] of layers.entries()) {
        text += metadata('thread_name', index + 1, { name: layer });
        text += metadata('thread_sort_index', index + 1, { sort_index: index });
      }
      return text;
    },
    event(record) {
      const { event, fields, cost, end, access } = record;
      let text = '';
      if (last !== undefined && last.access !== access) {
        text += endFlow();
        last = undefined;
      }
      const start = end - cost;
      if (event.title === 'kvm_exit' && enteredAt !== undefined)
        text += line({
          ph: 'X',
          pid: PROCESS,
          tid: GUEST_TRACK,
          ts: micros(enteredAt),
          dur: micros(start - enteredAt),
          name: 'guest',
          cat: 'guest',
        });
      enteredAt = event.title === 'kvm_entry' ? end : event.title === 'kvm_exit' ? undefined : enteredAt;
      text += line({
        ph: 'X',
        pid: PROCESS,
        tid: trackOf(record),
        ts: micros(start),
        dur: micros(cost),
        name: event.title,
        cat: event.layer,
        args: { access, text: event.text(fields as never) },
      });
      if (access === 0) return text;
      if (last !== undefined && trackOf(last) !== trackOf(record)) {
        text += flow(flowing ? 't' : 's', last);
        flowing = true;
      }
      last = record;
      return text;
    },
    end: () => `${endFlow()}\n]}\n`,
  };
}
