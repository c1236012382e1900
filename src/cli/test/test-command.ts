/** `gvm test`: its options. What they do is in test.ts. */

import { inCi } from '../ci.ts';
import { type Command, maxInsnsOption, parserOf } from '../command.ts';
import { EXIT } from '../exit-status.ts';
import { installedLibrary } from '../guest-program.ts';
import { tierOption } from '../tier.ts';
import { UsageError } from '../usage-error.ts';
import { DUMP_CHOICES, type DumpChoice } from './dump-input.ts';
import { serve, WORKER_WORD } from './pool.ts';
import { test } from './test.ts';

const USAGE = `[PATH…]

Run programs against their golden transcripts, and sources against their own expectations. A test is a
.gasm file with NAME.golden beside it (guest console, host log, the events its ; gvm: lines ask for, and
the exit status), a program that tests itself (gvm/report.inc), or one with
expectations in comments:

  ; CHECK: text    LLVM FileCheck's words: -NEXT -SAME -DAG -NOT -LABEL -COUNT-<n> -EMPTY, with
                   {{regex}}, [[NAME:regex]], [[#%x,NAME:]]
  ; = 48 89 d8     the line assembles to these bytes
  ; error: text    the line gets this error
  ; XFAIL: *   ; REQUIRES: vfio-pci && mtty   ; UNSUPPORTED: name`;

/** Seconds: many times what the most instructions take, for what does not come back by itself. */
const DEFAULT_TIMEOUT = 120;

const EPILOGUE =
  'Exit status: 0 all passed; 6 a test failed; 2 usage; 130 interrupted (Ctrl-C): what has ended by then is told.';

const parser = () =>
  parserOf('test', USAGE, { least: 0, most: Number.POSITIVE_INFINITY })
    .option('u', {
      alias: 'update',
      type: 'boolean',
      default: false,
      describe: 'write goldens that are missing or differ (refused where CI is set)',
    })
    .option('j', { alias: 'jobs', type: 'number', requiresArg: true, describe: 'tests at a time (default: one a CPU)' })
    .option('filter', { type: 'string', requiresArg: true, describe: 'only paths that match this regular expression' })
    .option('shard', { type: 'string', requiresArg: true, describe: 'I/N: only the I-th of N parts' })
    .option('max-insns', maxInsnsOption)
    .option('timeout', {
      type: 'number',
      default: DEFAULT_TIMEOUT,
      requiresArg: true,
      describe: 'end a run after so many seconds of real time',
    })
    .option('tier', tierOption)
    .option('check-prefix', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: ['CHECK'],
      describe: 'word that check lines begin with',
    })
    .option('dump-input', {
      choices: DUMP_CHOICES,
      default: 'never' as DumpChoice,
      requiresArg: true,
      describe: 'show the whole transcript, with what each check line matched: of tests that fail, or always',
    })
    .option('v', { alias: 'verbose', type: 'boolean', default: false, describe: 'name every test' })
    .option('coverage', {
      choices: ['lcov'] as const,
      requiresArg: true,
      describe: 'note which source lines are executed, in this format',
    })
    .option('coverage-file', {
      type: 'string',
      default: 'lcov.info',
      requiresArg: true,
      describe: 'file that --coverage writes',
    })
    .option('junit', { type: 'string', requiresArg: true, describe: "write JUnit's XML to this file" })
    .option('tap', { type: 'boolean', describe: 'results as TAP 13' })
    .option('json', { type: 'boolean', describe: 'results as one JSON object' })
    .conflicts('tap', 'json')
    .epilogue(EPILOGUE);

export const testCommand = (): Command => ({
  summary: 'run programs against their goldens and in-source expectations',
  main(words) {
    if (words[0] === WORKER_WORD) {
      serve(installedLibrary());
      return EXIT.OK;
    }
    const options = parser().parseSync(words as string[]);
    if (options['help'] === true) return EXIT.OK;
    if (options.u && inCi())
      throw new UsageError(
        'gvm test: -u is refused where CI is set: goldens are updated by people who read the difference',
      );
    if (!(options.timeout > 0)) throw new UsageError('gvm test: --timeout takes a number of seconds');
    if (options.j !== undefined && !(Number.isInteger(options.j) && options.j > 0))
      throw new UsageError('gvm test: -j takes a number of tests, 1 or more');
    return test({
      paths: options._.length === 0 ? ['.'] : options._.map(String),
      maxInsns: options.maxInsns,
      timeout: options.timeout,
      tier: options.tier,
      update: options.u,
      coverage: options.coverage !== undefined,
      coverageFile: options.coverageFile,
      prefixes: options.checkPrefix.map(prefixOf),
      filter: filterOf(options.filter),
      shard: shardOf(options.shard),
      jobs: options.j,
      dumpInput: options.dumpInput,
      verbose: options.v,
      format: options.json === true ? 'json' : options.tap === true ? 'tap' : 'text',
      junit: options.junit,
    });
  },
});

/** FileCheck's rule: what it takes for a prefix can be told from what follows it. */
function prefixOf(text: string): string {
  if (!/^[A-Za-z][\w-]*$/.test(text))
    throw new UsageError(`gvm test: --check-prefix takes a letter, then letters, digits, - and _, not '${text}'`);
  return text;
}

function filterOf(text: string | undefined): RegExp | undefined {
  try {
    return text === undefined ? undefined : new RegExp(text);
  } catch (error) {
    throw new UsageError(`gvm test: --filter: ${(error as Error).message}`);
  }
}

function shardOf(text: string | undefined): { index: number; count: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || index < 1 || index > count)
    throw new UsageError(`gvm test: --shard takes I/N with 1 ≤ I ≤ N, not '${text}'`);
  return { index, count };
}
