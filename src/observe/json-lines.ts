/**
 * Traces as JSON, one object a line. The first line is the header, `{"v":1,"format":"gvm-trace",…}`; then one line an event:
 * `{"t":ns,"access":n,"layer":"kvm","event":"kvm_pio","fields":{…},"text":"…"}`, and last `{"end":true,"events":n}`, which a trace
 * that was cut off does not have. Fields of 64 bits are strings of 0x and hexadecimal digits, since JSON readers keep 53.
 */

import type { TraceFormat } from './trace-format.ts';

/** Changes when a reader of the version before would misread a file. */
const SCHEMA_VERSION = 1;

/** `program`: the name of what is traced. */
export function jsonLines(program: string): TraceFormat {
  let events = 0;
  const value = (field: boolean | number | bigint | string) => {
    if (typeof field !== 'bigint') return JSON.stringify(field);
    return field < 0n ? `"-0x${(-field).toString(16)}"` : `"0x${field.toString(16)}"`;
  };
  return {
    begin: () => `${JSON.stringify({ v: SCHEMA_VERSION, format: 'gvm-trace', program, time: 'ns' })}\n`,
    event({ event, fields, end, access }) {
      events++;
      let members = '';
      for (const name in fields) members += `${members === '' ? '' : ','}"${name}":${value(fields[name]!)}`;
      const text = JSON.stringify(event.text(fields as never));
      return `{"t":${end},"access":${access},"layer":"${event.layer}","event":"${event.title}","fields":{${members}},"text":${text}}\n`;
    },
    end: () => `${JSON.stringify({ end: true, events })}\n`,
  };
}
