/** `gvm host`: its options. What they do is in host.ts. */

import { type Command, parserOf } from './command.ts';
import { readDirectives } from './directives.ts';
import { EXIT } from './exit-status.ts';
import { readUserFile } from './guest-program.ts';
import { HostSession } from './host.ts';
import type { Output } from './output.ts';
import { folderOf } from './user-file.ts';

const USAGE = `[FILE] [-c COMMAND]

A shell on the modeled host: its /dev, its /sys, its modules. With FILE the ; host: lines of that program
are run first. Several commands are separated by ; and help lists them. Without -c lines come from stdin,
with history and completion on a terminal.`;

const parser = () =>
  parserOf('host', USAGE, { least: 0, most: 1 })
    .option('plug', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: [] as string[],
      describe: 'put a physical device into the host: copier@06:0d.0',
    })
    .option('c', {
      alias: 'command',
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: [] as string[],
      describe: 'run this and end',
    });

export const hostCommand = (output: Output): Command => ({
  summary: 'a shell on the modeled host: ls, cat, echo >, modprobe, dmesg',
  main(argv) {
    const options = parser().parseSync(argv as string[]);
    if (options['help'] === true) return EXIT.OK;
    const session = new HostSession(output, options.plug);
    const [file] = options._;
    const lines =
      file === undefined
        ? []
        : readDirectives(String(file), new TextDecoder().decode(readUserFile(String(file)))).host.map(
            ({ text }) => text,
          );
    if (file !== undefined) session.folder = folderOf(String(file));
    const run = (lines: readonly string[]) => {
      for (const line of lines) {
        const status = session.run(line);
        output.end();
        if (status !== EXIT.OK) return status;
      }
      return EXIT.OK;
    };
    const prepared = run(lines);
    if (prepared !== EXIT.OK) return prepared;
    session.folder = '.';
    const status = run(options.c);
    if (status !== EXIT.OK) return status;
    return options.c.length > 0 ? EXIT.OK : session.interact();
  },
});
