/**
 * Tests shared out over worker threads, each a gvm of its own that starts once and then takes test after test. Few tests, or
 * -j 1, run in this thread.
 */

import type { MessagePort, Worker } from 'node:worker_threads';
import type { GuestLibrary } from '../guest-program.ts';
import type { TestResult } from './outcome.ts';
import { runTest, type TestOptions } from './run-test.ts';

/** Tests that a worker has to get for its start (some 50 ms) to be worth it. */
const TESTS_A_WORKER = 8;

/** First word of a worker's command line. */
export const WORKER_WORD = '--worker';

// Asked for when needed: a plain run has no use for threads.
const threads = () => process.getBuiltinModule('node:worker_threads');

/** Run `files`, at most `jobs` at a time; `onResult` hears of each as it ends. Results come in the order of `files`. */
export async function runAll(
  files: readonly string[],
  library: GuestLibrary,
  options: TestOptions,
  jobs: number,
  onResult: (result: TestResult) => void,
): Promise<readonly TestResult[]> {
  const workers = Math.min(jobs, Math.floor(files.length / TESTS_A_WORKER));
  if (workers <= 1) {
    return files.map((file) => {
      const result = runTest(file, library, options);
      onResult(result);
      return result;
    });
  }
  const results: TestResult[] = new Array(files.length);
  let next = 0;
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker: Worker = new (threads().Worker)(new URL('gvm.js', import.meta.url), {
        argv: ['test', WORKER_WORD],
        workerData: options,
      });
      let running = -1;
      const give = (): void => {
        running = next++;
        worker.postMessage(files[running]);
      };
      worker.on('message', (result: TestResult) => {
        if (running >= 0) {
          results[running] = result;
          onResult(result);
        }
        if (next < files.length) give();
        else resolve(worker.terminate().then(() => undefined));
      });
      worker.on('error', reject);
    });
  await Promise.all(Array.from({ length: workers }, work));
  return results;
}

/** The worker's side: says that it is ready, then runs each test it is handed. */
export function serve(library: GuestLibrary): void {
  const { parentPort, workerData } = threads();
  const port: MessagePort = parentPort!;
  port.on('message', (file: string) => port.postMessage(runTest(file, library, workerData as TestOptions)));
  port.postMessage('ready');
}
