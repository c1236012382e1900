/** `gvm host`: its options. What they do is in host.ts. */

import { type Command, parserOf, plugOption } from './command.ts';
import { type Directives, ownOptions, readDirectives } from './directives.ts';
import { EXIT } from './exit-status.ts';
import { readUserFile } from './guest-program.ts';
import { type HostOptions, HostSession } from './host.ts';
import type { Output } from './output.ts';
import { EVENT_CHOICE } from './trace.ts';
import { UsageError } from './usage-error.ts';
import { folderOf } from './user-file.ts';

const USAGE = `[FILE] [-c COMMAND]
gvm host run PROGRAM.ts [ARGUMENT…]

A shell on the modeled host: its /dev, its /sys, its modules. With FILE the ; host: lines of that program
are run first. Several commands are separated by ; and help lists them. Without -c lines come from stdin,
with history and completion on a terminal.

run: a program of your own in user space, after the host: lines in the comment at its top.`;

const parser = () =>
  parserOf('host', USAGE, { least: 0, most: Number.POSITIVE_INFINITY })
    .option('plug', plugOption)
    .option('trace', { type: 'string', requiresArg: true, describe: EVENT_CHOICE })
    .option('explain', {
      type: 'boolean',
      default: false,
      describe: 'say which rule a refused request of the host broke, also where a program goes on',
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

const directivesOf = (file: string): Directives => readDirectives(file, new TextDecoder().decode(readUserFile(file)));

/** The options with those of a host program in front; its lines may plug, trace and explain. */
function withLines(options: HostOptions, lines: Directives['options']): HostOptions {
  const plug: string[] = [];
  let { explain, trace } = options;
  for (const { words, place } of lines) {
    for (const { name, value } of ownOptions(
      words,
      place,
      ['--explain', '--plug', '--trace'],
      'a program of the host',
    )) {
      if (name === '--explain') explain = true;
      else if (name === '--plug') plug.push(value);
      else trace ??= value;
    }
  }
  return { plug: [...plug, ...options.plug], explain, trace };
}

/** Run lines until one fails; returns the exit status. */
function runLines(session: HostSession, lines: readonly string[], output: Output): number {
  for (const line of lines) {
    const status = session.run(line);
    output.end();
    if (status !== EXIT.OK) return status;
  }
  return EXIT.OK;
}

/** `gvm host run PROGRAM`. */
function runProgram(
  options: HostOptions & { readonly c: readonly string[] },
  [file, ...args]: readonly string[],
  output: Output,
): number {
  if (file === undefined) throw new UsageError('gvm host run: a program is needed; see gvm host --help');
  if (options.c.length > 0) throw new UsageError('gvm host: -c goes with the shell, not with run');
  const directives = directivesOf(file);
  const session = new HostSession(output, withLines(options, directives.options));
  session.folder = folderOf(file);
  const prepared = runLines(
    session,
    directives.host.map(({ text }) => text),
    output,
  );
  session.folder = '.';
  return prepared === EXIT.OK ? session.program(file, args) : prepared;
}

export const hostCommand = (output: Output): Command => ({
  summary: 'a shell on the modeled host: ls, cat, echo >, modprobe, dmesg; or a program of your own',
  main(argv) {
    const options = parser().parseSync(argv as string[]);
    if (options['help'] === true) return EXIT.OK;
    const [file, ...more] = options._.map(String);
    if (file === 'run') return runProgram(options, more, output);
    if (more.length > 0) throw new UsageError('gvm host: one file at a time; see gvm host --help');
    const session = new HostSession(output, options);
    if (file !== undefined) {
      session.folder = folderOf(file);
      const prepared = runLines(
        session,
        directivesOf(file).host.map(({ text }) => text),
        output,
      );
      if (prepared !== EXIT.OK) return prepared;
      session.folder = '.';
    }
    const status = runLines(session, options.c, output);
    return status !== EXIT.OK || options.c.length > 0 ? status : session.interact();
  },
});
