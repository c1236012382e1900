/** `gvm run`: its options. What they do is in run.ts. */

import { type Command, definitions, parserOf, sourceOptions } from './command.ts';
import { EXIT, exitStatusHelp } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import type { Output } from './output.ts';
import { DEFAULT_MAX_INSNS, deviceHelp, run } from './run.ts';
import { splitQemuOptions } from './run-options.ts';
import { eventList } from './trace.ts';
import { UsageError } from './usage-error.ts';

const USAGE = `FILE

Run a guest program with its host: a .gasm source, which is assembled and linked with the guest
library, or a static ELF64 image.`;

const EPILOGUE = `QEMU's options (-device, -m, -M, -serial, …) are taken as QEMU takes them, with one dash or two;
-device help lists the devices.

${exitStatusHelp}`;

const parser = () =>
  parserOf('run', USAGE)
    .options(sourceOptions)
    .option('trace', {
      type: 'string',
      requiresArg: true,
      describe: "print events: 'kvm_*,!kvm_entry,kvm_pio[port=0x3f8]'; `help` lists them",
    })
    .option('explain', {
      type: 'boolean',
      default: false,
      describe: 'say which rule a refused request of the host broke',
    })
    .option('max-insns', {
      type: 'number',
      default: DEFAULT_MAX_INSNS,
      requiresArg: true,
      describe: 'end the run after so many guest instructions',
    })
    .option('exit-map', {
      choices: ['gvm', 'qemu'] as const,
      default: 'gvm' as const,
      describe: "exit status: the guest's value, or QEMU's (value << 1) | 1",
    })
    .epilogue(EPILOGUE);

/** Whether `--trace help` was said, which needs no file. */
const asksForEvents = (words: readonly string[]): boolean =>
  words.some((word, index) => word === '--trace=help' || (word === '--trace' && words[index + 1] === 'help'));

export const runCommand = (output: Output): Command => ({
  summary: 'run a guest program (.gasm, or a static ELF64) with its host',
  main(argv) {
    const { qemu, gvm: words } = splitQemuOptions(argv);
    if (asksForEvents(words)) {
      process.stdout.write(`${eventList()}\n`);
      return EXIT.OK;
    }
    const helped = deviceHelp(qemu, output);
    if (helped !== undefined) return helped;
    const options = parser().parseSync(words as string[]);
    if (options['help'] === true) return EXIT.OK;
    if (!(options.maxInsns > 0)) throw new UsageError('gvm run: --max-insns takes a number of instructions, 1 or more');
    return run(
      { ...options, file: String(options._[0]), qemu, includes: options.I, defines: definitions(options.D) },
      installedLibrary(),
      output,
    );
  },
});
