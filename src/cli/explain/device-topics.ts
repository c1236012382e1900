/** QEMU's device models, from their data sheets. */

import { findModel, modelNames } from '../../qemu/hw/registry.ts';
import type { TopicSource } from './topic-source.ts';

export const deviceTopics: TopicSource = {
  kind: 'device',
  names: modelNames,
  explain(name) {
    const { bus, category, description, properties } = findModel(name)!;
    const rows = Object.entries(properties).map(([property, { type, doc, defaultText }]) => {
      const initial = defaultText === undefined ? '' : ` (default: ${defaultText})`;
      return `    ${`${property}=<${type}>`.padEnd(28)} ${doc}${initial}`;
    });
    return [
      `  ${description}`,
      '',
      `  bus        ${bus}`,
      `  category   ${category}`,
      `  use it     gvm run FILE -device ${name}${rows.length === 0 ? '' : ',property=value,…'}`,
      ...(rows.length === 0 ? [] : ['', '  properties:', ...rows]),
    ];
  },
};
