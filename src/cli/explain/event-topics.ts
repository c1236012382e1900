/** Trace events, from their declarations. */

import '../machine.ts';
import '../../qemu/main.ts';
import { events } from '../../event.ts';
import { modeledCosts } from '../../observe/cost-table.ts';
import type { TopicSource } from './topic-source.ts';

export const eventTopics: TopicSource = {
  kind: 'event',
  names: () => events().map(({ title }) => title),
  explain(name) {
    const event = events().find(({ title }) => title === name)!;
    const cost = modeledCosts.of(event);
    const fields = Object.entries(event.schema);
    const width = Math.max(0, ...fields.map(([field]) => field.length));
    return [
      `  ${event.doc}`,
      '',
      `  layer      ${event.layer}`,
      ...(cost === 0 ? [] : [`  time       ${cost} ns in reports (a model)`]),
      `  show it    gvm run FILE --trace '${name}'`,
      ...(fields.length === 0 ? [] : ['', '  fields, for --trace NAME[field=value] and [field=low-high]:']),
      ...fields.map(([field, type]) => `    ${field.padEnd(width)}  ${type}`),
    ];
  },
};
