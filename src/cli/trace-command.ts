/** `gvm trace`: a run's events as a file. */

import { type Command, definitions, maxInsnsOption, parserOf, sourceOptions } from './command.ts';
import { EXIT } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import { gluedOptions } from './nasm-options.ts';
import { MessagesOnly, type Output } from './output.ts';
import { splitQemuOptions } from './run-options.ts';
import { tierOption } from './tier.ts';
import { chooseEvents, EVENT_CHOICE } from './trace.ts';
import { formatNames, traceToFile } from './trace-sink.ts';
import { watchedRun } from './watched-run.ts';

const USAGE = `FILE [-o OUT]

Run a guest program and write its events to a file, in the format that the name's ending says:

  .txt     ftrace's lines, for trace-cmd, perf script and grep (default, to stdout)
  .jsonl   an object a line, with a schema version; the last line says that it is whole
  .html    a page that shows it: sequence diagram, time line, search, page walks, sources
  .json    Chrome's trace events: open it in https://ui.perfetto.dev; a track a layer, an arrow a step

The file appears when it is complete. Times are the guest's, a nanosecond an instruction, and what a
model charges for the host's steps.`;

const parser = () =>
  parserOf('trace', USAGE)
    .options(sourceOptions)
    .option('o', { alias: 'output', type: 'string', default: '-', requiresArg: true, describe: 'file; - is stdout' })
    .option('format', { choices: formatNames, describe: 'format, whatever the name says' })
    .option('trace', { type: 'string', default: '*', requiresArg: true, describe: EVENT_CHOICE })
    .option('max-insns', maxInsnsOption)
    .option('tier', tierOption);

export const traceCommand = (output: Output): Command => ({
  summary: "write a run's events to a file: a page, ftrace, JSON lines, Perfetto",
  main(argv) {
    const { qemu, gvm: words } = splitQemuOptions(argv);
    const options = parser().parseSync(gluedOptions(words));
    if (options['help'] === true) return EXIT.OK;
    const format = options.format ?? (options.o === '-' ? 'txt' : undefined);
    const watcher = traceToFile(options.o, chooseEvents(options.trace), format);
    return watchedRun(
      {
        file: String(options._[0]),
        qemu,
        trace: undefined,
        explain: false,
        maxInsns: options.maxInsns,
        tier: options.tier,
        exitMap: 'gvm',
        attended: {},
        includes: options.I,
        defines: definitions(options.D),
      },
      installedLibrary(),
      options.o === '-' ? new MessagesOnly(output) : output,
      [watcher],
    );
  },
});
