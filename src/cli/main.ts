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

/** One command: what its parser takes, and what it does. Returns the exit status. */
interface Command {
  readonly summary: string;
  readonly main: (words: readonly string[], qemu: readonly string[]) => number;
}

/** A parser of one command's options, whose mistakes are {@link UsageError}s. */
function parserOf(usage: string) {
  return yargs()
    .scriptName('gvm')
    .usage(usage)
    .strictOptions()
    .demandCommand(1, 1, 'a file is needed', 'one file at a time')
    .help()
    .version(false)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(`gvm: ${message}; see --help`);
    });
}

const commands: Readonly<Record<string, Command>> = {
  run: {
    summary: 'run a guest program (.gasm, or a static ELF64) with its host',
    main: (words, qemu) => {
      const options = parserOf(
        'gvm run FILE\n\nRun a guest program: .gasm, assembled and linked with the guest library, or a static ELF64.',
      )
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
          `QEMU's options -device, -m, -M, -nodefaults, -serial are taken as QEMU takes them; -device help lists the devices.\n\n${exitStatusHelp}`,
        )
        .parseSync(words as string[]);
      if (helped(words)) return EXIT.OK;
      if (!(options.maxInsns > 0)) throw new UsageError('gvm: --max-insns takes a number of instructions, 1 or more');
      return run(
        { ...options, file: String(options._[0]), qemu, includes: options.I, defines: definitions(options.D) },
        installedLibrary(),
        output,
      );
    },
  },
  asm: {
    summary: 'assemble a source, as NASM does',
    main: (words) => {
      const options = parserOf('gvm asm FILE\n\nAssemble one source to a flat binary or an ELF object.')
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
        })
        .parseSync(words as string[]);
      if (helped(words)) return EXIT.OK;
      const { f: format, o, g: debug } = options;
      const library = installedLibrary().includes;
      asm(
        {
          file: String(options._[0]),
          format,
          output: o,
          debug,
          includes: options.I,
          defines: definitions(options.D),
          library,
        },
        (text) => output.message(text),
      );
      return EXIT.OK;
    },
  },
};

const helped = (words: readonly string[]): boolean => words.includes('--help');

const overview = (): string =>
  `gvm COMMAND\n\nRun a guest driver and its host driver together, on a model of KVM, QEMU and VFIO.\n\nCommands:\n${Object.entries(
    commands,
  )
    .map(([name, { summary }]) => `  gvm ${name.padEnd(6)} ${summary}`)
    .join('\n')}\n\ngvm COMMAND --help shows a command's options; gvm --version the version.\n\n${exitStatusHelp}\n`;

/** Run the command that `argv` names; returns the exit status. */
function main(argv: readonly string[]): number {
  const { qemu, gvm } = splitQemuOptions(argv);
  const [name, ...words] = gvm;
  if (name === '--version') {
    process.stdout.write(`${GVM_VERSION}\n`);
    return EXIT.OK;
  }
  if (name === '--help' || name === 'help') {
    process.stdout.write(overview());
    return EXIT.OK;
  }
  const command = name === undefined ? undefined : commands[name];
  if (command !== undefined) {
    if (
      words.includes('--trace=help') ||
      (words.includes('--trace') && words[words.indexOf('--trace') + 1] === 'help')
    ) {
      process.stdout.write(`${eventList()}\n`);
      return EXIT.OK;
    }
    return command.main(words, qemu);
  }
  const near = name === undefined ? [] : Object.keys(commands).filter((each) => each[0] === name[0]);
  throw new UsageError(
    name === undefined
      ? overview().trimEnd()
      : `gvm: there is no command '${name}'${near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''}\n     gvm --help shows the commands`,
  );
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

/** For the build: what a warm-up run has compiled. */
export { compiledForms } from '../hardware/vcpu/interpreter/form.ts';
