/**
 * Ends work that never comes back to the event loop: on Ctrl-C, or when its time is up. Node's watchdog thread stops JavaScript wherever it
 * is, so the work itself pays nothing; what it worked on may be left half-changed, and is good for a report only.
 */

import { Script } from 'node:vm';

export type Interrupted = 'ctrl-c' | 'timeout';

/** Where the script finds its work: a script sees globals only. */
const WORK = '__gvmWork';

/** The value of `work`, or why it was ended. `seconds` of real time, undefined for as long as it takes. */
export function interruptible<T extends object>(work: () => T, seconds: number | undefined): T | Interrupted {
  const scope = globalThis as Record<string, unknown>;
  scope[WORK] = work;
  try {
    return new Script(`${WORK}()`).runInThisContext({
      breakOnSigint: true,
      displayErrors: false,
      ...(seconds === undefined ? {} : { timeout: Math.max(1, Math.round(seconds * 1000)) }),
    }) as T;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') return 'ctrl-c';
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return 'timeout';
    throw error;
  } finally {
    delete scope[WORK];
  }
}
