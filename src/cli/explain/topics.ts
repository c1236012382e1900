/** What `gvm explain` knows about: the list of its sources, and looking a word up in them. */

import { isLeftOut, LEFT_OUT_NOTE } from '../../../lang/assembler/left-out.ts';
import { didYouMean } from '../../../lang/assembler/suggest.ts';
import { installedIncludes } from '../guest-program.ts';
import { UsageError } from '../usage-error.ts';
import { deviceTopics } from './device-topics.ts';
import { errnoTopics } from './errno-topics.ts';
import { eventTopics } from './event-topics.ts';
import { exitTopics, userExitTopics } from './exit-topics.ts';
import { instructionTopics } from './instruction-topics.ts';
import { ioctlTopics } from './ioctl-topics.ts';
import { libraryTopics } from './library-topics.ts';
import { configTopics, registerTopics } from './register-topics.ts';
import type { TopicSource } from './topic-source.ts';

/** All kinds of topics that gvm's own tables have. */
export const SOURCES: readonly TopicSource[] = [
  instructionTopics,
  registerTopics,
  exitTopics,
  userExitTopics,
  eventTopics,
  ioctlTopics,
  errnoTopics,
  deviceTopics,
  configTopics,
];

/** And the functions of the guest library of this installation. */
export const allSources = (): readonly TopicSource[] => [...SOURCES, libraryTopics(installedIncludes())];

/** Kinds of topics, for the help text. */
export const topicKinds = (sources: readonly TopicSource[]): string =>
  sources
    .map(({ kind }) => (kind === 'errno' ? 'errno values' : kind.replace(/^\w+(?= (?:to|of) )|$/, '$&s')))
    .join(', ');

/** The text about a topic, of every kind that has one of this name. */
export function explain(topic: string, sources: readonly TopicSource[] = SOURCES): string {
  const wanted = topic.toLowerCase();
  const found = sources.flatMap((source) => {
    const name = [...source.names()].find((each) => each.toLowerCase() === wanted);
    return name === undefined ? [] : [[`${name} (${source.kind})`, ...source.explain(name)].join('\n')];
  });
  if (found.length > 0) return `${found.join('\n\n')}\n`;
  const names = sources.flatMap((source) => [...source.names()]);
  if (topic !== '' && isLeftOut(topic))
    throw new UsageError(`gvm explain: '${topic}' is an instruction that gvm leaves out: ${LEFT_OUT_NOTE}`);
  throw new UsageError(`gvm explain: there is no topic '${topic}'${didYouMean(topic, names)}`);
}
