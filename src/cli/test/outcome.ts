/** What becomes of a test. */

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
  /** Lines that were executed, if that was asked for and the program was run. */
  readonly coverage?: LineHits;
}
