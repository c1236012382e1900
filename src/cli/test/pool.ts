/**
 * Tests shared out over worker threads, each a gvm of its own that starts once and then takes test after test. Few tests, or
 * -j 1, run in this thread.
 */

import type { MessagePort, Worker } from 'node:worker_threads';
import type { GuestLibrary } from '../guest-program.ts';
import { interruptible, LONGEST_TIMER } from '../interruptible.ts';
import { shellWord } from '../shell-word.ts';
import { userCodeWatch } from '../user-code-watch.ts';
import { reproduceLine, type TestResult } from './outcome.ts';
import { runTest, type TestOptions } from './run-test.ts';

/** Tests that a worker has to get for its start (some 50 ms) to be worth it. */
const TESTS_A_WORKER = 8;
/** A run whose time is up ends by itself, and says where it was. What does not within so many seconds more is ended from outside. */
const GRACE = 10;

/** First word of a worker's command line. */
export const WORKER_WORD = '--worker';

// Asked for when needed: a plain run has no use for threads.
const threads = () => process.getBuiltinModule('node:worker_threads');

/**
 * Run `files`, at most `jobs` at a time; `onResult` hears of each as it ends. Results come in the order of `files`; after Ctrl-C, those that
 * there are by then. `onBroken` is handed all results there will be if code of the user's own never returns in this thread, which ends with
 * it; it returns the exit status.
 */
export async function runAll(
  files: readonly string[],
  library: GuestLibrary,
  options: TestOptions,
  jobs: number,
  onResult: (result: TestResult) => void,
  onBroken: (results: readonly TestResult[]) => number,
): Promise<readonly TestResult[]> {
  const workers = Math.min(jobs, Math.floor(files.length / TESTS_A_WORKER));
  if (workers <= 1) {
    const done: TestResult[] = [];
    userCodeWatch.onStuck = (report) => {
      const [broken, ...behind] = files.slice(done.length);
      return onBroken([...done, brokenOff(broken!, report), ...behind.map(notRun)]);
    };
    const runHere = () => {
      for (const file of files) {
        const result = runTest(file, library, options);
        onResult(result);
        done.push(result);
      }
      return done;
    };
    interruptible(runHere, { seconds: undefined, byHand: true });
    userCodeWatch.onStuck = undefined;
    return done;
  }
  const results: TestResult[] = new Array(files.length);
  let next = 0;
  const ended = (index: number, result: TestResult): void => {
    results[index] = result;
    onResult(result);
  };
  const stop = new AbortController();
  const onCtrlC = () => stop.abort();
  // A second one ends the process, as it does without this.
  process.once('SIGINT', onCtrlC);
  await Promise.all(Array.from({ length: workers }, () => work(files, options, () => next++, ended, stop.signal)));
  process.removeListener('SIGINT', onCtrlC);
  return results.filter((result) => result !== undefined);
}

/**
 * A worker takes tests until `next` names none, or `stop` is given. What ran out of time may have been broken off in the middle of anything,
 * so another worker goes on from there.
 */
async function work(
  files: readonly string[],
  options: TestOptions,
  next: () => number,
  ended: (index: number, result: TestResult) => void,
  stop: AbortSignal,
): Promise<void> {
  for (let index = next(); index < files.length && !stop.aborted; ) {
    const worker: Worker = new (threads().Worker)(new URL('gvm.js', import.meta.url), {
      argv: ['test', WORKER_WORD],
      workerData: options,
    });
    const terminate = () => void worker.terminate();
    stop.addEventListener('abort', terminate);
    try {
      await heard(worker);
      for (let spent = false; !spent && index < files.length; index = next()) {
        const name = files[index]!;
        worker.postMessage(name);
        const said = await heard(worker, options.timeout);
        if (stop.aborted) return;
        const result = typeof said === 'string' ? lost(name, said) : (said ?? stuck(name, options));
        ended(index, result);
        spent = said !== result || result.outcome === 'TIMEOUT';
      }
    } finally {
      stop.removeEventListener('abort', terminate);
      await worker.terminate();
    }
  }
}

/** What `worker` says next; undefined if it says nothing for `seconds`, and the grace; a string if it has ended: why. */
async function heard(worker: Worker, seconds?: number): Promise<TestResult | string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve) => {
      worker.once('message', resolve);
      worker.once('error', ({ message }) => resolve(message));
      worker.once('exit', () => resolve('the process was told to exit'));
      if (seconds !== undefined)
        timer = setTimeout(() => resolve(undefined), Math.min(1000 * (seconds + GRACE), LONGEST_TIMER));
    });
  } finally {
    clearTimeout(timer);
    for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
  }
}

const brokenOff = (name: string, report: readonly string[]): TestResult => ({
  name,
  outcome: 'TIMEOUT',
  report: [...report, `   = reproduce: gvm run ${shellWord(name)}`],
});

const notRun = (name: string): TestResult => ({
  name,
  outcome: 'FAIL',
  report: ['was not run: the test before it had to be broken off, and gvm with it'],
});

const stuck = (name: string, { timeout }: TestOptions): TestResult => ({
  name,
  outcome: 'TIMEOUT',
  report: [
    `did not end ${GRACE} s after its time, ${timeout} s (--timeout): no guest ran, and gvm itself was at work`,
    reproduceLine(name),
  ],
});

const lost = (name: string, why: string): TestResult => ({
  name,
  outcome: 'FAIL',
  report: [`the process that ran it ended: ${why}`, `   = reproduce: gvm run ${shellWord(name)}`],
});

/** The worker's side: says that it is ready, then runs each test it is handed. */
export function serve(library: GuestLibrary): void {
  const { parentPort, workerData } = threads();
  const port: MessagePort = parentPort!;
  port.on('message', (file: string) => port.postMessage(runTest(file, library, workerData as TestOptions)));
  port.postMessage('ready');
}
