/** What becomes of a test. */

import { shellWord } from '../shell-word.ts';
import type { LineHits } from './coverage.ts';

/** lit's words. Of these FAIL, XPASS and TIMEOUT are failures; UPDATED is a golden that was written. */
export type Outcome = 'PASS' | 'FAIL' | 'XFAIL' | 'XPASS' | 'UNSUPPORTED' | 'TIMEOUT' | 'UPDATED';

export interface Verdict {
  readonly outcome: Outcome;
  /** Why, in lines; empty for a plain PASS. */
  readonly report: readonly string[];
}

export interface TestResult extends Verdict {
  /** Path of the source, as the user reaches it. */
  readonly name: string;
  /** What it took, in seconds of real time; absent where nothing was run. */
  readonly seconds?: number;
  /** Lines that were executed, if that was asked for and the program was run. */
  readonly coverage?: LineHits;
}

/** The last line of a report: the commands that show it again, as a shell takes them. */
export function reproduceLine(file: string): string {
  const word = shellWord(file);
  return `   = reproduce: gvm test ${word}   (the run alone: gvm run ${word})`;
}
