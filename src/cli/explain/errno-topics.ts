/** errno values, with the rules behind them: each stands once, where the kernel refuses. */

import { errnoName, errnos, strerror } from '../../linux/uapi/errno.ts';
import { refusals } from './refusals.ts';
import type { TopicSource } from './topic-source.ts';

export const errnoTopics: TopicSource = {
  kind: 'errno',
  names: () => errnos().map(errnoName),
  explain(name) {
    const errno = errnos().find((each) => errnoName(each) === name)!;
    const rules = refusals.filter((refusal) => refusal.errno === name);
    const parts = [...new Set(rules.map(({ part }) => part))];
    return [
      `  ${errno}: ${strerror(errno)}. With --explain a run says which rule was broken.`,
      ...(rules.length === 0 ? [] : ['', '  The modeled kernel gives it for these:']),
      ...parts.flatMap((part) => [
        '',
        `  ${part}`,
        ...rules.filter((rule) => rule.part === part).map(({ rule }) => `    ${rule}`),
      ]),
    ];
  },
};
