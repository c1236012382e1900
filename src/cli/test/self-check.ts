/**
 * Programs that test themselves: the guest library's report functions print the lines of kvm-unit-tests, and the status says how
 * it went (lib/report.c: 0, 1 after an unexpected failure, 77 if nothing was checked).
 */

import { EXIT } from '../exit-status.ts';
import type { Verdict } from './outcome.ts';

/** What a program says of itself; undefined if it printed no summary. */
export function ownVerdict(transcript: string, status: number): Verdict | undefined {
  const lines = transcript.split('\n');
  const summary = lines.findLast((line) => line.startsWith('SUMMARY: '));
  if (summary === undefined) return undefined;
  if (status === EXIT.OK) return { outcome: 'PASS', report: [] };
  if (status === EXIT.SKIPPED) return { outcome: 'UNSUPPORTED', report: [summary] };
  const failures = lines.filter((line) => /^(FAIL|XPASS): /.test(line));
  const outcome = status === EXIT.LIMIT ? 'TIMEOUT' : 'FAIL';
  return { outcome, report: [...failures, summary, transcript.split('\n').at(-2)!] };
}
