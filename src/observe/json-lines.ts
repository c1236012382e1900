/**
 * Traces as JSON, one object a line. The first line is the header, `{"v":1,"format":"gvm-trace",…}`; then one line an event:
 * `{"t":ns,"access":n,"layer":"kvm","event":"kvm_pio","fields":{…},"text":"…"}`, and last `{"end":true,"events":n}`, which a trace
 * that was cut off does not have. Fields of 64 bits are strings of 0x and hexadecimal digits, since JSON readers keep 53.
 */

import type { Event, FieldType } from '../event.ts';
import type { TraceFormat } from './trace-format.ts';

/** Changes when a reader of the version before would misread a file. */
const SCHEMA_VERSION = 1;

/** What a field of an event is written by, made once an event: the declaration says what type each has. */
interface Member {
  readonly field: string;
  /** All that stands between the value before and this one. */
  readonly before: string;
  readonly type: FieldType;
}

/** How an event becomes a line, found out once. */
interface Shape {
  readonly members: readonly Member[];
  /** No field is text, so that its own text has nothing to escape: numbers, and the words of its declaration. */
  readonly plain: boolean;
}

/** `program`: the name of what is traced. */
export function jsonLines(program: string): TraceFormat {
  let count = 0;
  const known = new Map<Event, Shape>();
  return {
    begin: () => `${JSON.stringify({ v: SCHEMA_VERSION, format: 'gvm-trace', program, time: 'ns' })}\n`,
    // Hot: 300,000 lines a second are promised.
    event({ event, fields, end, access }) {
      count++;
      let shape = known.get(event);
      if (shape === undefined) {
        shape = shapeOf(event);
        known.set(event, shape);
      }
      const { members, plain } = shape;
      let line = `{"t":${end},"access":${access}`;
      for (let index = 0; index < members.length; index++) {
        const { field, before, type } = members[index]!;
        line += before;
        const value = fields[field]!;
        if (type === 'string') line += quoted(value as string);
        else if (typeof value === 'bigint') line += hexadecimal(value);
        else line += value;
      }
      if (members.length === 0) line += headOf(event);
      const text = event.text(fields as never);
      return plain ? `${line}},"text":"${text}"}\n` : `${line}},"text":${quoted(text)}}\n`;
    },
    end: () => `${JSON.stringify({ end: true, events: count })}\n`,
  };
}

const headOf = ({ layer, title }: Event): string => `,"layer":"${layer}","event":"${title}","fields":{`;

const shapeOf = (event: Event): Shape => ({
  members: Object.entries(event.schema).map(([field, type], index) => ({
    field,
    before: `${index === 0 ? headOf(event) : ','}${JSON.stringify(field)}:`,
    type,
  })),
  plain: !Object.values(event.schema).includes('string'),
});

const hexadecimal = (value: bigint): string =>
  value < 0n ? `"-0x${(-value).toString(16)}"` : `"0x${value.toString(16)}"`;

/** What a JSON string has to escape: RFC 8259 §7, and halves of surrogate pairs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to be escaped
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/;
/** Most texts have nothing to escape, and to look is faster than to escape. */
const quoted = (text: string): string => (ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`);
