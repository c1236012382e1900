/** The kernel's log, and the events that were asked for, as lines of the output. */

import { matchingEvents } from '../event.ts';
import type { Machine } from './machine.ts';
import type { Output } from './output.ts';
import { chooseEvents, traceLine } from './trace.ts';

/** `explain`: the rules behind refusals; `trace`: a choice of events. */
export function tellEvents(
  { kernel, stream }: Machine,
  { explain, trace }: { readonly explain: boolean; readonly trace: string | undefined },
  output: Output,
): void {
  kernel.log.subscribe((line) => output.line('host', line));
  if (explain)
    stream.subscribe(matchingEvents('refusal'), (record) => output.line('explain', record.event.text(record.fields)));
  if (trace === undefined) return;
  const { events, wants } = chooseEvents(trace);
  stream.subscribe(events, (record) => {
    if (wants(record)) output.line(record.event.layer, traceLine(record));
  });
}
