/** `gvm test`: finds the tests, runs them, reports; returns the exit status. */

import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { inCi } from '../ci.ts';
import { EXIT } from '../exit-status.ts';
import { fileError } from '../file-error.ts';
import { installedLibrary } from '../guest-program.ts';
import { print } from '../output.ts';
import { inWorkflow, workflowCommand } from '../report-diagnostics.ts';
import { UsageError } from '../usage-error.ts';
import { addHits, coverageLine, lcov } from './coverage.ts';
import { discover, type Selection } from './discover.ts';
import type { TestResult } from './outcome.ts';
import { runAll } from './pool.ts';
import type { TestOptions } from './run-test.ts';
import { countLine, failed, json, junit, tap } from './summary.ts';

export interface TestCommandOptions extends TestOptions, Selection {
  readonly paths: readonly string[];
  readonly jobs: number | undefined;
  /** Name each test, passed ones too. */
  readonly verbose: boolean;
  /** What goes to stdout in the end. */
  readonly format: 'text' | 'json' | 'tap';
  /** File for the lines that were executed, as lcov writes it. */
  readonly coverageFile: string;
  /** File for JUnit's XML. */
  readonly junit: string | undefined;
}

/** Run the tests; 0 if none failed, 6 if one did, 2 if there are none, 130 after Ctrl-C. */
export async function test(options: TestCommandOptions): Promise<number> {
  const { sources, orphans } = discover(options.paths, options);
  if (sources.length + orphans.length === 0 && options.shard === undefined)
    throw new UsageError(`gvm test: no tests in ${options.paths.join(' ')}`);
  const progress = new Progress(sources.length);
  const ran = await runAll(
    sources,
    installedLibrary(),
    options,
    options.jobs ?? availableParallelism(),
    (result) => progress.count(result),
    (results) => {
      progress.clear();
      return conclude(results, 0, options);
    },
  );
  progress.clear();
  const left = sources.length - ran.length;
  const lost = orphans.map(
    (name): TestResult => ({
      name,
      outcome: 'FAIL',
      report: [`no program stands beside it: it is the golden of ${name.replace(/\.golden$/, '.gasm')}; remove it`],
    }),
  );
  return conclude([...ran, ...lost], left, options);
}

/** Everything that is told of the results, and that Ctrl-C came before `left` more; the exit status. */
function conclude(results: readonly TestResult[], left: number, options: TestCommandOptions): number {
  for (const result of results) report(result, options.verbose);
  if (options.junit !== undefined) save(options.junit, junit(results));
  if (options.coverage) {
    const hits = addHits(results.map(({ coverage }) => coverage ?? new Map()));
    save(options.coverageFile, lcov(hits));
    process.stderr.write(`${coverageLine(hits)}, written to ${options.coverageFile}\n`);
  }
  if (options.format === 'json') print(json(results, left));
  else if (options.format === 'tap') print(tap(results, left));
  else print(`${countLine(results, left)}\n`);
  if (left > 0) return EXIT.INTERRUPTED;
  return results.some(failed) ? EXIT.MISMATCH : EXIT.OK;
}

function report(result: TestResult, verbose: boolean): void {
  const { outcome, name, report: lines } = result;
  const told = failed(result) || outcome === 'UPDATED' || (outcome === 'PASS' && lines.length > 0);
  if (!verbose && !told) return;
  const shown = outcome === 'XFAIL' ? [] : lines;
  process.stderr.write(`${[`${outcome}: ${name}`, ...shown].join('\n')}\n`);
  if (failed(result) && inWorkflow()) process.stderr.write(`${failureAnnotation(result)}\n`);
}

/** The first line of a report, at the place that it begins with: in the source, or in its golden. */
function failureAnnotation({ name, outcome, report }: TestResult): string {
  const first = (report[0] ?? outcome).replace(/\n.*/s, '');
  const placed = /^(.*?\.(?:gasm|golden|[cm]?[jt]s)):(\d+)(?::(\d+))?: (?:error: )?(.*)$/.exec(first);
  if (placed === null) return workflowCommand('error', { file: name }, first);
  const [, file, line, col, text] = placed;
  return workflowCommand('error', { file, line, col }, text!);
}

function save(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new UsageError(`gvm test: cannot write ${path}: ${fileError(error)}`);
  }
}

/** `[12/200] programs/x.gasm` on a terminal, and on nothing else. */
class Progress {
  readonly #total: number;
  readonly #shown = process.stderr.isTTY === true && !inCi();
  #done = 0;
  #failed = 0;

  constructor(total: number) {
    this.#total = total;
  }

  count(result: TestResult): void {
    this.#done++;
    if (failed(result)) this.#failed++;
    if (!this.#shown) return;
    const failures = this.#failed === 0 ? '' : `, ${this.#failed} failed`;
    const line = `[${this.#done}/${this.#total}${failures}] ${result.name}`;
    process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
  }
}
