#!/usr/bin/env node
/** The command line. Every command is a few lines here and a file of its own beside this one. */

import yargs from 'yargs';
import { asm } from './asm.ts';
import { EXIT, exitStatusHelp } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import { StandardOutput } from './output.ts';
import { DEFAULT_MAX_INSNS, run } from './run.ts';
import { splitQemuOptions } from './run-options.ts';
import { eventList } from './trace.ts';
import { UsageError } from './usage-error.ts';

const output = new StandardOutput();

/** `-D NAME`, `-D NAME=VALUE`. */
const definitions = (words: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    words.map((word) =>
      word.includes('=') ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] : [word, ''],
    ),
  );

const sourceOptions = {
  I: {
    alias: 'include',
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    describe: 'search DIR for %include',
    requiresArg: true,
  },
  D: {
    alias: 'define',
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    describe: 'define a macro, NAME or NAME=VALUE',
    requiresArg: true,
  },
} as const;

/** Run the command that `argv` names; returns the exit status. */
function main(argv: readonly string[]): number {
  const { qemu, gvm } = splitQemuOptions(argv);
  let status: number = EXIT.OK;
  const parser = yargs()
    .scriptName('gvm')
    .usage('$0 COMMAND\n\nRun a guest driver and its host driver together, on a model of KVM, QEMU and VFIO.')
    .command(
      'run <file>',
      'run a guest program (.gasm, assembled and linked with the guest library, or a static ELF64)',
      (command) =>
        command
          .positional('file', { type: 'string', demandOption: true, describe: 'program' })
          .options(sourceOptions)
          .option('trace', {
            type: 'string',
            requiresArg: true,
            describe: "print events, e.g. 'kvm_*,vfio_*,!kvm_entry'; `help` lists them",
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
          .epilogue(
            `QEMU's options -device, -m, -M, -nodefaults, -serial are taken as QEMU takes them; see -device help.\n\n${exitStatusHelp}`,
          ),
      (options) => {
        if (options.trace === 'help') {
          process.stdout.write(`${eventList()}\n`);
          return;
        }
        if (!(options.maxInsns > 0)) throw new UsageError('gvm: --max-insns takes a number of instructions, 1 or more');
        status = run(
          { ...options, qemu, includes: options.I, defines: definitions(options.D) },
          installedLibrary(),
          output,
        );
      },
    )
    .command(
      'asm <file>',
      'assemble a source, as NASM does',
      (command) =>
        command
          .positional('file', { type: 'string', demandOption: true, describe: 'source' })
          .options(sourceOptions)
          .option('f', {
            alias: 'format',
            choices: ['bin', 'elf64'] as const,
            default: 'bin' as const,
            describe: 'output format',
          })
          .option('o', { alias: 'output', type: 'string', requiresArg: true, describe: 'output file' })
          .option('g', {
            alias: 'debug',
            type: 'boolean',
            default: false,
            describe: 'line information (DWARF) in the object',
          }),
      (options) => {
        const { file, f: format, o, g: debug } = options;
        const library = installedLibrary().includes;
        asm({ file, format, output: o, debug, includes: options.I, defines: definitions(options.D), library }, (text) =>
          output.message(text),
        );
      },
    )
    .demandCommand(1, 'a command is needed: run or asm')
    .strict()
    .recommendCommands()
    .version(GVM_VERSION)
    .help()
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(`gvm: ${message}\n     gvm --help shows the commands and options`);
    });
  parser.parse(gvm as string[]);
  return status;
}

/** The version in package.json; the build puts it in. */
declare const GVM_VERSION: string;

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  output.end();
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.status;
  } else {
    const { stack, message } = error as Error;
    process.stderr.write(
      `gvm: internal error: ${message}\n     This is a defect of gvm; GVM_DEBUG=1 shows where it happened.\n`,
    );
    if (process.env['GVM_DEBUG'] !== undefined) process.stderr.write(`${stack}\n`);
    process.exitCode = EXIT.HOST_FAILED;
  }
}
