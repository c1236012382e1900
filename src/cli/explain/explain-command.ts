/** `gvm explain`: its options. The topics are in topics.ts. */

import { type Command, parserOf } from '../command.ts';
import { EXIT } from '../exit-status.ts';
import type { Output } from '../output.ts';
import { allSources, explain, topicKinds } from './topics.ts';

const parser = () =>
  parserOf('explain', `TOPIC\n\nSay what a word of gvm means. There are ${topicKinds(allSources())}.`, {
    least: 1,
    most: 1,
    called: 'a topic',
  });

export const explainCommand = (output: Output): Command => ({
  summary: 'say what a word means: an instruction, register, exit reason, event, ioctl, errno, device, function',
  main(words) {
    const options = parser().parseSync(words as string[]);
    if (options['help'] === true) return EXIT.OK;
    output.console(new TextEncoder().encode(explain(String(options._[0]), allSources())));
    output.end();
    return EXIT.OK;
  },
});
