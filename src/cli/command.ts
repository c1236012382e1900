/** What a command of gvm is, and the options that several share. */

import yargs from 'yargs';
import { didYouMean } from '../../lang/assembler/suggest.ts';
import { DEFAULT_MAX_INSNS } from './run-options.ts';
import { UsageError } from './usage-error.ts';

/** One command. */
export interface Command {
  /** One line for `gvm --help`. */
  readonly summary: string;
  /** Run with the words of the command line but the command's name; returns the exit status. */
  main(words: readonly string[]): number | Promise<number>;
}

/** How many files a command takes, and what it calls them. */
interface Files {
  readonly least: number;
  readonly most: number;
  readonly called?: string;
}

/** Width of help. To ask the terminal loads Node's streams, 2 to 5 ms of a run: only where help is wanted. */
const helpColumns = (): number =>
  process.argv.includes('--help') ? Math.min(100, process.stdout.columns ?? 100) : 100;

/** Sources break their text at 100 columns, a terminal breaks it where it ends: lines of a paragraph as one. Indented lines, and forms of the command, stay. */
const unbroken = (usage: string): string => usage.replace(/(?<=[^\n])\n(?!\s|gvm )/g, ' ');

/** What yargs keeps of its options. */
interface YargsOptions {
  readonly key: object;
  readonly alias: Readonly<Record<string, readonly string[]>>;
  readonly array: readonly string[];
}

/** A parser of one command's options: help is printed, a mistake is a {@link UsageError}. */
export const parserOf = (
  name: string,
  usage: string,
  { least, most, called = 'a file' }: Files = { least: 1, most: 1 },
) => {
  const parser = yargs();
  // Typed nowhere: every option's name, its aliases too, and which may be given more than once.
  const options = () => (parser as unknown as { getOptions(): YargsOptions }).getOptions();
  return (
    parser
      .scriptName('gvm')
      // A file may be called 007, and an address has more digits than a number.
      .parserConfiguration({ 'parse-positional-numbers': false })
      .usage(`gvm ${name} ${unbroken(usage)}`)
      .strictOptions()
      .demandCommand(
        least,
        most,
        `${called} ${called.includes(' and ') ? 'are' : 'is'} needed`,
        `one ${called.replace(/^an? /, '')} at a time`,
      )
      .help()
      .version(false)
      .wrap(helpColumns())
      .middleware((given) => {
        const many = new Set(['_', '--', ...options().array.flatMap((option) => [option, camelCased(option)])]);
        // As with other tools the last word counts: who calls gvm by a script of their own can still choose.
        for (const [option, value] of Object.entries(given))
          if (Array.isArray(value) && !many.has(option)) given[option] = value.at(-1);
        if (given['maxInsns'] !== undefined && !((given['maxInsns'] as number) >= 1))
          throw new UsageError(`gvm ${name}: --max-insns takes a number of instructions, 1 or more`);
      }, true)
      .exitProcess(false)
      .fail((message, error) => {
        // Options that lack their value come as an error of yargs' own.
        if (error !== undefined && error.name !== 'YError') throw error;
        const known = Object.keys(options().key);
        const aliases = Object.values(options().alias).flat();
        const text = plainer(strayOption(message, parser, [...known, ...aliases]) ?? message ?? error?.message, known);
        throw new UsageError(`gvm ${name}: ${text}${text.endsWith('?') ? '' : ';'} see gvm ${name} --help`);
      })
  );
};

/** yargs gives each option by this name too. */
const camelCased = (option: string): string => option.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** An option that there is not takes the file behind it for its value; yargs then misses the file. */
function strayOption(message: string, parser: object, known: readonly string[]): string | undefined {
  if (!/ (?:is|are) needed$/.test(message ?? '')) return undefined;
  const { parsed } = parser as { readonly parsed?: { readonly argv: object } | false };
  const names = new Set(['_', '$0', '--', ...known, ...known.map(camelCased)]);
  const stray = Object.keys(parsed ? parsed.argv : {}).find((name) => !names.has(name));
  return stray === undefined ? undefined : `Unknown argument: ${stray}`;
}

/** yargs' words for an option that there is not, and for a value that it does not take, with what would be right. */
function plainer(message: string, options: readonly string[]): string {
  const dashed = (option: string) => (option.length === 1 ? `-${option}` : `--${option}`);
  const unknown = /^Unknown arguments?: ([^,]*)/.exec(message)?.[1];
  if (unknown !== undefined)
    return `there is no option ${dashed(unknown)}${didYouMean(dashed(unknown), options.map(dashed))}`;
  const lacking = /^Not enough arguments following: (.*)/.exec(message)?.[1];
  if (lacking !== undefined) return `${dashed(lacking)} takes a value`;
  const [, option, given, choices] = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(message) ?? [];
  if (option === undefined) return message;
  return `${dashed(option)} takes one of ${choices!.replaceAll('"', '')}, not '${given!.replaceAll('"', '')}'`;
}

const repeatable = { type: 'string', array: true, nargs: 1, requiresArg: true } as const;
/** Options of every command that reads a source, with NASM's letters. */
export const sourceOptions = {
  I: { ...repeatable, alias: 'include', default: [] as string[], describe: 'search DIR for %include' },
  D: { ...repeatable, alias: 'define', default: [] as string[], describe: 'define a macro: NAME or NAME=VALUE' },
} as const;

/** Physical devices of the modeled host. */
export const plugOption = {
  ...repeatable,
  default: [] as string[],
  describe: 'put a physical device into the host: copier@06:0d.0 or sata@ee300000',
} as const;

/** The limit of every command that runs a guest. */
export const maxInsnsOption = {
  type: 'number',
  default: DEFAULT_MAX_INSNS,
  requiresArg: true,
  describe: 'end the run after so many guest instructions',
} as const;

/** `-D NAME`, `-D NAME=VALUE`. */
export const definitions = (words: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    words.map((word) => {
      const equals = word.indexOf('=');
      return equals < 0 ? [word, ''] : [word.slice(0, equals), word.slice(equals + 1)];
    }),
  );
