/** What becomes of a test. */

/** lit's words. Of these FAIL, XPASS and TIMEOUT are failures; UPDATED is a golden that was written. */
export type Outcome = 'PASS' | 'FAIL' | 'XFAIL' | 'XPASS' | 'UNSUPPORTED' | 'TIMEOUT' | 'UPDATED';

export interface TestResult {
  /** Path of the source, as the user reaches it. */
  readonly name: string;
  readonly outcome: Outcome;
  /** Why, in lines; empty for a plain PASS. */
  readonly report: readonly string[];
}
