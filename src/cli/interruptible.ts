/**
 * Ends work that never comes back to the event loop: on Ctrl-C, or when its time is up. Node's watchdog thread stops JavaScript wherever it
 * is, so the work itself pays nothing; what it worked on may be left half-changed, and is good for a report only.
 */

import { Script } from 'node:vm';

export type Interrupted = 'ctrl-c' | 'timeout';

/** Where the script finds its work: a script sees globals only. */
const WORK = '__gvmWork';

/** Longest time of a timer and of the watchdog, in milliseconds: 24 days. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** How work may be broken off. */
export interface Interruptions {
  /** After so many seconds of real time; undefined for as long as it takes. */
  readonly seconds: number | undefined;
  /** By Ctrl-C, which then does not end the process. */
  readonly byHand: boolean;
}

/** The value of `work`, or why it was ended. */
export function interruptible<T extends object>(work: () => T, { seconds, byHand }: Interruptions): T | Interrupted {
  const scope = globalThis as Record<string, unknown>;
  scope[WORK] = work;
  try {
    return new Script(`${WORK}()`).runInThisContext({
      breakOnSigint: byHand,
      displayErrors: false,
      ...(seconds === undefined ? {} : { timeout: Math.min(Math.max(1, Math.round(seconds * 1000)), LONGEST_TIMER) }),
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
