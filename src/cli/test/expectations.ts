/**
 * What a source says of its own test, in comments: check lines (read by check/directives.ts), `; = 48 89 d8` for the bytes of
 * a line, `; error: text` for a mistake on a line, and lit's XFAIL, REQUIRES and UNSUPPORTED.
 */

import { type ChecksOfSource, readChecks } from './check/directives.ts';

/** Bytes that the line has to assemble to. */
export interface ExpectedBytes {
  readonly line: number;
  readonly bytes: readonly number[];
}

/** An error message that the line has to get. */
export interface ExpectedError {
  readonly line: number;
  readonly text: string;
}

export interface Expectations extends ChecksOfSource {
  readonly bytes: readonly ExpectedBytes[];
  readonly errors: readonly ExpectedError[];
  /** Conditions, as written: the test is expected to fail, needs a feature, or is not for this machine. */
  readonly xfail: readonly string[];
  readonly requires: readonly string[];
  readonly unsupported: readonly string[];
}

/** Read the expectations of a source. */
export function readExpectations(source: string, prefixes: readonly string[]): Expectations {
  const bytes: ExpectedBytes[] = [];
  const errors: ExpectedError[] = [];
  const conditions = { XFAIL: [] as string[], REQUIRES: [] as string[], UNSUPPORTED: [] as string[] };
  for (const [index, text] of source.split(/\r?\n/).entries()) {
    const line = index + 1;
    const match =
      /;\s*(?:=((?:\s+[0-9a-fA-F]{2})+)\s*$|error:\s*(.*?)\s*$|(XFAIL|REQUIRES|UNSUPPORTED):\s*(.*?)\s*$)/.exec(text);
    if (match === null) continue;
    const [, hex, error, condition, value] = match;
    if (hex !== undefined)
      bytes.push({
        line,
        bytes: hex
          .trim()
          .split(/\s+/)
          .map((byte) => Number.parseInt(byte, 16)),
      });
    if (error !== undefined) errors.push({ line, text: error });
    if (condition !== undefined) conditions[condition as keyof typeof conditions].push(...value!.split(/\s*,\s*/));
  }
  return {
    ...readChecks(source, prefixes),
    bytes,
    errors,
    xfail: conditions.XFAIL,
    requires: conditions.REQUIRES,
    unsupported: conditions.UNSUPPORTED,
  };
}
