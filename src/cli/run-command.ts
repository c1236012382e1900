/** `gvm run`: its options. What they do is in run.ts. */

import { strict as assert } from 'node:assert';
import { fstatSync, writeSync } from 'node:fs';
import { didYouMean } from '../../lang/assembler/suggest.ts';
import { optionArity, optionHelp } from '../qemu/options.ts';
import { inCi } from './ci.ts';
import { type Command, definitions, maxInsnsOption, parserOf, plugOption, sourceOptions } from './command.ts';
import { EXIT, exitStatusHelp } from './exit-status.ts';
import { runFlat } from './flat-run.ts';
import { installedIncludes, installedLibrary } from './guest-program.ts';
import { gluedOptions } from './nasm-options.ts';
import { type Output, print } from './output.ts';
import { Progress, watchedBy } from './progress.ts';
import { deviceHelp } from './run.ts';
import { type Attended, splitQemuOptions } from './run-options.ts';
import { tierOption } from './tier.ts';
import { EVENT_CHOICE, eventList } from './trace.ts';
import { UsageError } from './usage-error.ts';
import { warningSettings } from './warning-options.ts';
import { watchedRun } from './watched-run.ts';
import type { Watcher } from './watcher.ts';

const USAGE = `FILE

Run a guest program with its host: a .gasm source, which is assembled and linked with the guest
library, or a static ELF64 image.`;

const EPILOGUE = `QEMU's options (-device, -m, -M, -serial, …) are taken as QEMU takes them, with one dash or two;
-help lists them, -device help the devices.

${exitStatusHelp}`;

const parser = () =>
  parserOf('run', USAGE)
    .options(sourceOptions)
    .options({
      w: {
        alias: 'warning',
        type: 'string',
        array: true,
        nargs: 1,
        requiresArg: true,
        default: [] as string[],
        describe: "show, hide or promote a warning of the source, as gvm asm's -w does",
      },
      json: {
        type: 'boolean',
        default: false,
        describe: "the source's errors and warnings as one JSON object on stderr",
      },
    } as const)
    .option('trace', {
      type: 'string',
      requiresArg: true,
      describe: EVENT_CHOICE,
    })
    .option('trace-out', {
      type: 'string',
      requiresArg: true,
      describe:
        'write the events (all of them without --trace) to this file: .html, .txt, .jsonl, .json as gvm trace does',
    })
    .option('causal', {
      type: 'boolean',
      default: false,
      describe: 'print each guest access that --trace chooses (all without it) as a tree, down to the driver',
    })
    .option('explain', {
      type: 'boolean',
      default: false,
      describe: 'say which rule a refused request of the host broke',
    })
    .option('costs', {
      type: 'string',
      requiresArg: true,
      describe: "let the guest's clock see what the host's steps cost: `model`, or a JSON file of nanoseconds by event",
    })
    .option('plug', plugOption)
    .option('max-insns', maxInsnsOption)
    .option('tier', tierOption)
    .option('timeout', {
      type: 'number',
      requiresArg: true,
      describe: 'end the run after so many seconds of real time, with status 124',
    })
    .option('walk', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: [] as string[],
      describe: 'show where this address, register or label leads when the guest has ended, as gvm walk does',
    })
    .option('at', {
      type: 'string',
      requiresArg: true,
      describe: 'with --walk: when the guest first comes to LABEL, LABEL+0x10, FILE:LINE or an address',
    })
    .option('watch', {
      type: 'boolean',
      default: false,
      describe: 'run again whenever the program, or a file beside it, is saved',
    })
    .option('exit-map', {
      choices: ['gvm', 'qemu'] as const,
      default: 'gvm' as const,
      describe: "exit status: the guest's value, or QEMU's (value << 1) | 1",
    })
    .option('flat', {
      type: 'string',
      requiresArg: true,
      describe:
        'no host: run a flat image (or a source) at this address on a bare CPU until hlt, and print its registers',
    })
    .option('map', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: [] as string[],
      describe: 'with --flat: zeroed RAM, ADDR:SIZE',
    })
    .option('stack', { type: 'string', requiresArg: true, describe: 'with --flat: rsp, and 64 KiB of RAM below it' })
    .option('regs', { choices: ['json'] as const, describe: 'with --flat: how registers are printed' })
    .epilogue(EPILOGUE);

/** One dash and a word is an option of QEMU's: letter by letter it would be told of as one that nobody wrote. */
function checkSingleDashes(words: readonly string[]): void {
  const unknown = words.find((word) => /^-(?!w)[a-z][\w-]{2,}$/.test(word));
  if (unknown === undefined) return;
  const hint = didYouMean(
    unknown,
    [...optionArity.keys()].map((name) => `-${name}`),
  );
  throw new UsageError(
    `gvm run: there is no option ${unknown}${hint || ';'} see gvm run -help for QEMU's, gvm run --help for gvm's own`,
  );
}

/** Whether `--trace help` was said, which needs no file. */
const asksForEvents = (words: readonly string[]): boolean =>
  words.some((word, index) => word === '--trace=help' || (word === '--trace' && words[index + 1] === 'help'));

/** Options that only the whole bundle knows what to do with; scripts/launcher.cjs has the same list. */
export interface ExtraOptions {
  readonly trace: string | undefined;
  readonly traceOut: string | undefined;
  readonly causal: boolean;
  readonly walk: readonly string[];
  readonly at: string | undefined;
}

/** What run-extras.ts does; the bundle of the plain run is without it. */
export interface RunExtras {
  watchersOf(options: ExtraOptions, output: Output): readonly Watcher[];
  rerunOnSave(words: readonly string[], file: string, includes: readonly string[], output: Output): Promise<number>;
}

/** A person at the terminal sees how a long run goes; where stderr is no terminal nothing is counted. */
function attendedBy(output: Output): { readonly output: Output; readonly attended: Attended } {
  if (!fstatSync(2).isCharacterDevice() || inCi()) return { output, attended: {} };
  const progress = new Progress(output, {
    write: (text) => writeSync(2, text),
    now: () => performance.now(),
    // To load this module costs as much as a short run: only once a run is long.
    isTerminal: () => process.getBuiltinModule('node:tty').isatty(2),
  });
  return { output: progress, attended: { Cpu: watchedBy(progress) } };
}

/** An option that was given, if any was, of those that say something of a machine or of its run. */
function machineOption(options: Readonly<Record<string, unknown>>): string | undefined {
  const names = ['trace', 'trace-out', 'causal', 'explain', 'costs', 'plug', 'timeout', 'walk', 'at', 'watch'];
  const given = names.find((name) => {
    const value = options[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
  return given === undefined ? undefined : `--${given}`;
}

const withoutWatch = (words: readonly string[]): readonly string[] => words.filter((word) => word !== '--watch');

/** `extras`: undefined in the bundle of the plain run. */
export const runCommand = (plain: Output, extras?: RunExtras): Command => ({
  summary: 'run a guest program (.gasm, or a static ELF64) with its host',
  main(argv) {
    const { qemu, gvm: words } = splitQemuOptions(argv);
    if (asksForEvents(words)) {
      print(`${eventList()}\n`);
      return EXIT.OK;
    }
    if (words.includes('-help') || words.includes('-h')) {
      print(optionHelp());
      return EXIT.OK;
    }
    const helped = deviceHelp(qemu, plain);
    if (helped !== undefined) return helped;
    checkSingleDashes(words);
    const options = parser().parseSync(gluedOptions(words));
    if (options['help'] === true) return EXIT.OK;
    const program = {
      file: String(options._[0]),
      includes: options.I,
      defines: definitions(options.D),
      warnings: warningSettings('run', options.w),
    };
    if (options.flat !== undefined) {
      const ofMachine = qemu[0] ?? machineOption(options);
      if (ofMachine !== undefined)
        throw new UsageError(`gvm run: ${ofMachine} means a machine, and --flat runs without one`);
      const { flat, map, stack, maxInsns, tier, json } = options;
      const warn = (text: string) => plain.message(text);
      return runFlat({ ...program, flat, map, stack, maxInsns, tier, json }, installedIncludes(), warn);
    }
    if (options.map.length > 0 || options.stack !== undefined || options.regs !== undefined)
      throw new UsageError('gvm run: --map, --stack and --regs go with --flat');
    if (options.at !== undefined && options.walk.length === 0)
      throw new UsageError('gvm run: --at says when --walk looks; gvm walk, regs, mtree and lspci have their own');
    if (options.timeout !== undefined && !(options.timeout > 0))
      throw new UsageError('gvm run: --timeout takes a number of seconds');
    if (options.watch) {
      assert(extras !== undefined, 'the launcher takes the whole bundle for --watch');
      return extras.rerunOnSave(withoutWatch(argv), program.file, options.I, plain);
    }
    const { output, attended } = attendedBy(plain);
    const watchers = extras?.watchersOf(options, output) ?? [];
    const sinks = options.causal || options.traceOut !== undefined;
    const trace = sinks ? undefined : options.trace;
    return watchedRun({ ...options, ...program, qemu, trace, attended }, installedLibrary(), output, watchers);
  },
});
