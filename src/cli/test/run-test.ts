/** One test: a source, its golden transcript and its own expectations, in this process. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { saidBy } from '../../foreign-value.ts';
import { EXIT } from '../exit-status.ts';
import { fileError } from '../file-error.ts';
import { type GuestLibrary, includePath, isLibraryFile } from '../guest-program.ts';
import { lateErrors } from '../late-error.ts';
import { Leftovers } from '../leftovers.ts';
import type { Observer } from '../observer.ts';
import { type Output, TRANSCRIPT_BYTES, Transcript } from '../output.ts';
import { run } from '../run.ts';
import { DEFAULT_TIER, type TierName } from '../tier.ts';
import { UsageError } from '../usage-error.ts';
import { checkAssembly } from './assembly-test.ts';
import { CauseFinder } from './cause.ts';
import { check } from './check/check.ts';
import { badCheckText, checkFailureText } from './check-report.ts';
import { holds } from './condition.ts';
import { CoverageRecorder } from './coverage.ts';
import { type DumpChoice, dumpInput } from './dump-input.ts';
import { type Expectations, readExpectations } from './expectations.ts';
import { hasFeature } from './features.ts';
import { compare, type Divergence } from './golden.ts';
import { reproduceLine, type TestResult, type Verdict } from './outcome.ts';
import { ownVerdict } from './self-check.ts';

export interface TestOptions {
  /** Guest instructions after which a run ends. */
  readonly maxInsns: number;
  /** Seconds of real time after which a run ends; none if absent. */
  readonly timeout?: number;
  /** How guest code is executed; the default if absent. */
  readonly tier?: TierName;
  /** Write goldens that are missing or differ. */
  readonly update: boolean;
  /** Note which source lines are executed. */
  readonly coverage: boolean;
  /** Words that check lines begin with. */
  readonly prefixes: readonly string[];
  /** When the transcript is shown whole, with what its checks say of it; never if absent. */
  readonly dumpInput?: DumpChoice;
}

/** Path of the golden that belongs to a source. */
export const goldenOf = (source: string): string => source.replace(/\.gasm$/, '.golden');

/** Run the test in `file`. */
export function runTest(file: string, library: GuestLibrary, options: TestOptions): TestResult {
  const start = performance.now();
  const result = resultOf(file, library, options);
  return { ...result, seconds: (performance.now() - start) / 1000 };
}

function resultOf(file: string, library: GuestLibrary, options: TestOptions): TestResult {
  try {
    const text = onFile(file, () => readFileSync(file, 'utf8'));
    const expected = readExpectations(text, options.prefixes);
    const reason = unfit(expected);
    if (reason !== undefined) return { name: file, outcome: 'UNSUPPORTED', report: [reason] };
    const mayFail = expected.xfail.find((condition) => holds(condition, hasFeature));
    const { timeout, ...rest } = options;
    const result = judge(file, text, expected, library, {
      ...rest,
      ...(timeout !== undefined && mayOutlast(timeout, text, options.maxInsns) ? { timeout } : {}),
      update: options.update && mayFail === undefined,
    });
    const spoilt = lateErrors.spoilt();
    if (spoilt !== undefined) return { name: file, outcome: 'FAIL', report: [spoilt] };
    if (mayFail === undefined) return result;
    if (result.outcome === 'PASS')
      return { name: file, outcome: 'XPASS', report: [`passes, but is marked XFAIL: ${mayFail}`] };
    return { ...result, outcome: 'XFAIL' };
  } catch (error) {
    return { name: file, outcome: 'FAIL', report: reportOf(error) };
  }
}

/** Read or write `path`; what cannot be done the user has to be told with its name. */
function onFile<R>(path: string, access: () => R): R {
  try {
    return access();
  } catch (error) {
    throw new UsageError(`${path}: ${fileError(error)}`);
  }
}

/** What is said of a run that threw: a mistake of the user's, something that code of the user's broke, or a defect. */
function reportOf(error: unknown): readonly string[] {
  const late = lateErrors.spoilt() ?? (error instanceof UsageError ? error.message : lateErrors.describe(error));
  if (late !== undefined) return [late];
  return [`internal error of gvm: ${saidBy(error)}`, `${(error as Error | undefined)?.stack}`];
}

/** Guest instructions a second that any machine reaches. */
const SLOWEST = 2_000_000;
/** A line by which a program brings code of the user's own. */
const OWN_CODE = /;\s*(?:host|gvm):.*\.[cm]?[jt]s\b/;

/**
 * Whether a run can take longer than `timeout` seconds: of a guest the instructions are counted, of the user's own code nothing is. To
 * watch the time takes a thread a run, which a small program would feel.
 */
const mayOutlast = (timeout: number, text: string, maxInsns: number): boolean =>
  maxInsns > timeout * SLOWEST || OWN_CODE.test(text);

/** Why the test cannot run here; undefined if it can. */
function unfit({ requires, unsupported }: Expectations): string | undefined {
  const missing = requires.filter((condition) => !holds(condition, hasFeature));
  if (missing.length > 0) return `requires ${missing.join(', ')}`;
  const against = unsupported.find((condition) => holds(condition, hasFeature));
  return against === undefined ? undefined : `unsupported: ${against}`;
}

function judge(
  file: string,
  text: string,
  expected: Expectations,
  library: GuestLibrary,
  options: TestOptions,
): TestResult {
  const name = file;
  if (expected.bad.length > 0) return { name, outcome: 'FAIL', report: badCheckText(file, text, expected.bad) };
  const assembles = expected.bytes.length + expected.errors.length > 0;
  const problems = assembles ? checkAssembly(file, text, includePath([], library.includes), expected) : [];
  if (assembles && !existsSync(goldenOf(file)) && expected.checks.length === 0)
    return { name, outcome: problems.length > 0 ? 'FAIL' : 'PASS', report: problems };
  const recorder = options.coverage ? new CoverageRecorder((source) => isLibraryFile(source, library)) : undefined;
  const ran = transcriptOf(file, library, options, recorder?.observe);
  const result = { name, ...judgeRun(file, text, expected, library, options, ran, problems) };
  return recorder === undefined ? result : { ...result, coverage: recorder.hits };
}

/** How a program is run. */
export type Means = Pick<TestOptions, 'maxInsns' | 'timeout' | 'tier'>;

interface Ran {
  readonly transcript: string;
  readonly status: number;
  /** Bytes that the transcript had no room for. */
  readonly lost: number;
}

/** What a run shows: its own checks, its golden, or in their absence what the program says of itself. */
function judgeRun(
  file: string,
  text: string,
  expected: Expectations,
  library: GuestLibrary,
  options: TestOptions,
  { transcript, status, lost }: Ran,
  before: readonly string[],
): Verdict {
  if (lost > 0) {
    const bytes = TRANSCRIPT_BYTES + lost;
    const limit = status === EXIT.LIMIT ? limitOf(transcript) : [];
    const report = [
      ...limit,
      ...before,
      `${file}: the transcript has ${bytes} bytes; a test may have ${TRANSCRIPT_BYTES}`,
    ];
    return { outcome: status === EXIT.LIMIT ? 'TIMEOUT' : 'FAIL', report };
  }
  const golden = goldenOf(file);
  const hasGolden = existsSync(golden);
  const hasChecks = expected.checks.length > 0;
  const problems = [...before];
  if (!hasGolden && !hasChecks) {
    const own = ownVerdict(transcript, status);
    if (own?.outcome === 'TIMEOUT') return { ...own, report: [...limitOf(transcript), ...own.report] };
    if (own !== undefined) return own;
    if (!options.update)
      return {
        outcome: 'FAIL',
        report: [`has no golden (${golden}) and expects nothing itself; gvm test -u writes one`],
      };
  }
  const checked = check(expected.checks, transcript);
  if (hasChecks) problems.push(...checkFailureText(file, text, transcript, checked));
  let updated = false;
  if (hasGolden || !hasChecks) {
    const divergence = compare(hasGolden ? onFile(golden, () => readFileSync(golden, 'utf8')) : '', transcript);
    if (divergence !== undefined && options.update) {
      onFile(golden, () => writeFileSync(golden, transcript));
      updated = true;
    } else if (divergence !== undefined && status === EXIT.LIMIT) problems.push(...placeOf(file, divergence));
    else if (divergence !== undefined) problems.push(...divergenceText(file, library, options, divergence));
  }
  const dump = (choice: DumpChoice) => (options.dumpInput === choice ? dumpInput(checked) : []);
  if (problems.length > 0) {
    if (status === EXIT.LIMIT) problems.unshift(...limitOf(transcript));
    problems.push(...dump('fail'), ...dump('always'));
    problems.push(reproduceLine(file));
    return { outcome: status === EXIT.LIMIT ? 'TIMEOUT' : 'FAIL', report: problems };
  }
  return {
    outcome: updated ? 'UPDATED' : 'PASS',
    report: [...(updated ? [`wrote ${golden}`] : []), ...dump('always')],
  };
}

/** The limit that ended a run, and where: what the run said last of itself. */
const limitOf = (transcript: string): string[] =>
  transcript
    .split('\n')
    .filter((line) => /\bstopped after .*\(--/.test(line))
    .slice(-1);

/** Where the transcript leaves its golden. */
const placeOf = (file: string, { line, excerpt, notes }: Divergence): string[] => [
  `${goldenOf(file)}:${line}: the transcript is not the golden one, from this line on`,
  ...excerpt,
  ...notes.map((note) => `   = note: ${note}`),
];

/** Where the transcript leaves its golden, and what the machine did when it wrote that line: for that it runs once more. */
function divergenceText(file: string, library: GuestLibrary, means: Means, divergence: Divergence): string[] {
  const cause = new CauseFinder(divergence.line);
  transcribe(file, library, means, cause, cause.observe);
  return [
    ...placeOf(file, divergence),
    ...cause.notes.map((note, index) => (index === 0 ? `   = note: ${note}` : note)),
  ];
}

/** The transcript of a run: console, host log, chosen events and exit status, in order. */
export function transcriptOf(file: string, library: GuestLibrary, means: Means, observe?: Observer): Ran {
  const output = new Transcript();
  const status = transcribe(file, library, means, output, observe);
  return { transcript: withoutHostPaths(output.text, file, library), status, lost: output.lost };
}

/** Tests follow each other in a process, each on a host of its own. */
const leftovers = new Leftovers();

function transcribe(
  file: string,
  library: GuestLibrary,
  { maxInsns, timeout, tier = DEFAULT_TIER }: Means,
  output: Output,
  observe?: Observer,
): number {
  let status: number;
  try {
    status = run(
      {
        file,
        qemu: [],
        trace: undefined,
        explain: false,
        maxInsns,
        timeout,
        tier,
        exitMap: 'gvm',
        includes: [],
        defines: {},
      },
      library,
      output,
      observe,
      leftovers,
    );
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    output.message(error.message);
    status = error.status;
  }
  output.message(`[gvm] exit status ${status}`);
  return status;
}

/** A golden is the same wherever the test lies: paths begin at the test's folder, or at the library's. */
function withoutHostPaths(transcript: string, file: string, library: GuestLibrary): string {
  const folder = dirname(file);
  const own = folder === '.' ? transcript : transcript.replaceAll(`${folder}/`, '');
  return own.replaceAll(library.includes, 'lang/library/include');
}
