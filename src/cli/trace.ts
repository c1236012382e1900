/** `--trace`: events as lines, each in the format of the tool that its reader knows. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
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

/** What --trace says of itself. */
export const EVENT_CHOICE =
  "events: 'kvm_*,!kvm_entry,kvm_pio[port=0x3f8],kvm_exit[rip=0x1000-0x1fff]'; * is all but guest_*, the guest's own steps; `gvm run --trace help` lists them";

/**
 * `kvm_*,vfio_*,!kvm_entry,kvm_pio[port=0x1006]`: names and globs, a later one overruling an earlier; `[field=value]` keeps
 * only the firings whose field has that value, `[field=low-high]` those between, and of a glob only the events with such a
 * field. A pattern that names nothing is a mistake of the user's.
 */
export function chooseEvents(text: string): Choice {
  const conditions = new Map<Event, Condition[]>();
  const chosen = new Set<Event>();
  for (const word of text.split(',').map((each) => each.trim())) {
    const match = /^(!?)([^[\]]+)(?:\[(\w+)=([^\]]*)\])?$/.exec(word);
    const named = match === null ? [] : matchingEvents(match[2]!);
    if (match === null || named.length === 0) throw new UsageError(unknown(word, match?.[2]));
    const [, not, , field, value] = match;
    const having = field === undefined ? named : named.filter(({ schema }) => field in schema);
    if (having.length === 0) {
      const fields = Object.keys(named[0]!.schema).join(', ');
      throw new UsageError(`gvm: --trace: event ${named[0]!.title} has no field '${field}'; it has ${fields}`);
    }
    if (field !== undefined) checkValue(having, field, value!);
    for (const each of having) {
      if (not === '!') chosen.delete(each);
      else chosen.add(each);
      if (field === undefined) conditions.delete(each);
      else conditions.set(each, [...(conditions.get(each) ?? []), { field, test: testOf(value!) }]);
    }
  }
  return {
    events: [...chosen],
    wants: ({ event, fields }) => conditions.get(event)?.some(({ field, test }) => test(fields[field]!)) ?? true,
  };
}

/** A value that the field can never have is a mistake; of several events' fields, one that none of them can. */
function checkValue(having: readonly Event[], field: string, value: string): void {
  const types = having.map(({ schema }) => schema[field]!);
  if (types.includes('string')) return;
  const numbers = types.some((type) => type !== 'bool');
  if (numbers && (NUMBER.test(value) || RANGE.test(value))) return;
  if (types.includes('bool') && /^(true|false)$/.test(value)) return;
  const takes = numbers ? `a number, or two with a - between` : 'true or false';
  throw new UsageError(`gvm: --trace: ${having[0]!.title}[${field}=…] takes ${takes}, not '${value}'`);
}

function unknown(word: string, name: string | undefined): string {
  const suggestion =
    name === undefined
      ? ''
      : didYouMean(
          name,
          events().map(({ title }) => title),
        );
  return `gvm: --trace: no event matches '${word}'${suggestion}${suggestion.endsWith('?') ? '' : ';'} --trace help lists them`;
}

type Field = boolean | number | bigint | string;

/** One `[field=value]`. */
interface Condition {
  readonly field: string;
  readonly test: (field: Field) => boolean;
}

const NUMBER = /^-?(0x[0-9a-fA-F]+|\d+)$/;
const RANGE = /^(0x[0-9a-fA-F]+|\d+)-(0x[0-9a-fA-F]+|\d+)$/;

/** `value`, `low-high` with both ends included, or of a text a glob. */
function testOf(text: string): (field: Field) => boolean {
  const range = RANGE.exec(text);
  const [low, high] = range === null ? [] : [BigInt(range[1]!), BigInt(range[2]!)];
  const number = NUMBER.test(text) ? parseNumber(text) : undefined;
  const glob = new RegExp(`^${text.split('*').map(literally).join('.*')}$`);
  return (field) => {
    if (typeof field !== 'number' && typeof field !== 'bigint') return glob.test(String(field));
    const value = BigInt(field);
    return low === undefined ? value === number : low <= value && value <= high!;
  };
}

const literally = (text: string): string => text.replace(/[\\^$.+?()[\]{}|]/g, '\\$&');
const parseNumber = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text));

/** `--trace help`: every event with its layer and its one line of documentation. */
export const eventList = (): string =>
  events()
    .map((each) => `${each.title.padEnd(32)} ${each.layer.padEnd(8)} ${each.doc}`)
    .join('\n');
