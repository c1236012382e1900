/** `--trace`: events as lines, each in the format of the tool that its reader knows. */

import { type Event, type EventRecord, events, matchingEvents } from '../event.ts';
import { UsageError } from './usage-error.ts';

/** An event's line: kernel events as ftrace prints them, QEMU's as its log backend, system calls as strace. */
export function traceLine({ event, fields }: EventRecord): string {
  const text = event.text(fields as never);
  if (event.layer === 'syscall') return text;
  return event.layer === 'qemu' ? `${event.title} ${text}` : `${event.title}: ${text}`;
}

/** The events that `globs` names; a pattern that names none is a mistake, told with the nearest names. */
export function chooseEvents(globs: string): readonly Event[] {
  for (const glob of globs.split(',')) {
    if (matchingEvents(glob.replace(/^!/, '')).length > 0) continue;
    throw new UsageError(`gvm: --trace: no event matches '${glob}'; --trace help lists them`);
  }
  return matchingEvents(globs);
}

/** `--trace help`: every event with its layer and its one line of documentation. */
export const eventList = (): string =>
  events()
    .map((each) => `${each.title.padEnd(32)} ${each.layer.padEnd(8)} ${each.doc}`)
    .join('\n');
