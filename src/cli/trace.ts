/** `--trace`: events as lines, each in the format of the tool that its reader knows. */

import { type Event, type EventRecord, events, matchingEvents } from '../event.ts';
import { UsageError } from './usage-error.ts';

/** An event's line: kernel events as ftrace prints them, QEMU's as its log backend, system calls as strace. */
export function traceLine({ event, fields }: EventRecord): string {
  const text = event.text(fields as never);
  if (event.layer === 'syscall') return text;
  return event.layer === 'qemu' ? `${event.title} ${text}` : `${event.title}: ${text}`;
}

/** Events chosen by `--trace`, and which of their firings are wanted. */
export interface Choice {
  readonly events: readonly Event[];
  readonly wants: (record: EventRecord) => boolean;
}

/**
 * `kvm_*,vfio_*,!kvm_entry,kvm_pio[port=0x1006]`: names and globs, a later one overruling an earlier; `[field=value]` keeps
 * only the firings whose field has that value. A pattern that names nothing is a mistake of the user's.
 */
export function chooseEvents(text: string): Choice {
  const conditions = new Map<Event, { readonly field: string; readonly value: string }>();
  const globs = text.split(',').map((word) => {
    const match = /^(!?)([^[\]]+)(?:\[(\w+)=([^\]]*)\])?$/.exec(word.trim());
    const named = match === null ? [] : matchingEvents(match[2]!);
    if (match === null || named.length === 0) {
      throw new UsageError(`gvm: --trace: no event matches '${word.trim()}'; --trace help lists them`);
    }
    const [, not, glob, field, value] = match;
    for (const each of named) {
      if (field === undefined) continue;
      if (!(field in each.schema)) {
        const fields = Object.keys(each.schema).join(', ');
        throw new UsageError(`gvm: --trace: event ${each.title} has no field '${field}'; it has ${fields}`);
      }
      conditions.set(each, { field, value: value! });
    }
    return `${not}${glob}`;
  });
  return {
    events: matchingEvents(globs.join(',')),
    wants: ({ event, fields }) => {
      const condition = conditions.get(event);
      return condition === undefined || equals(fields[condition.field]!, condition.value);
    },
  };
}

const equals = (field: boolean | number | bigint | string, text: string): boolean =>
  typeof field === 'number' || typeof field === 'bigint' ? Number(field) === Number(text) : String(field) === text;

/** `--trace help`: every event with its layer and its one line of documentation. */
export const eventList = (): string =>
  events()
    .map((each) => `${each.title.padEnd(32)} ${each.layer.padEnd(8)} ${each.doc}`)
    .join('\n');
