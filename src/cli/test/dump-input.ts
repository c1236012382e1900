/** `--dump-input`: the whole transcript, with what each check line matched or did not, as FileCheck shows its input. */

import type { Checked } from './check/check.ts';
import type { Check } from './check/directives.ts';

/** When the transcript is shown. */
export const DUMP_CHOICES = ['never', 'fail', 'always'] as const;
export type DumpChoice = (typeof DUMP_CHOICES)[number];

/** A remark below a line of the transcript. */
interface Remark {
  readonly label: string;
  /** Offsets in the text. */
  readonly start: number;
  readonly end: number;
  /** First character of the underlining: `^` a match, `X` what is wrong. */
  readonly mark: '^' | 'X';
  readonly message: string;
}

const labelOf = ({ name, line }: Check): string => `${name}:${line}`;

/** What the checks say of the text, in its order. */
function remarksOf({ matches, failures }: Checked): Remark[] {
  const found = matches.map(
    ({ check, start, end }): Remark => ({ label: labelOf(check), start, end, mark: '^', message: '' }),
  );
  const failed = failures.map(
    ({ check, at, message }): Remark => ({
      label: labelOf(check),
      start: at,
      end: at,
      mark: 'X',
      message: ` error: ${message}`,
    }),
  );
  return [...found, ...failed].sort((a, b) => a.start - b.start);
}

/** The text between `<<<<<<` and `>>>>>>`, a remark below the line where what it is about begins. */
export function dumpInput(checked: Checked): string[] {
  const { text } = checked;
  const lines = text.replace(/\n$/, '').split('\n');
  const remarks = remarksOf(checked);
  const width = Math.max(String(lines.length).length, ...remarks.map(({ label }) => label.length));
  const shown = ['the transcript, as it was checked:', '<<<<<<'];
  let start = 0;
  let next = 0;
  for (const [index, line] of lines.entries()) {
    shown.push(`${String(index + 1).padStart(width)}: ${line}`.trimEnd());
    const behind = index === lines.length - 1 ? Number.POSITIVE_INFINITY : start + line.length + 1;
    for (; next < remarks.length && remarks[next]!.start < behind; next++)
      shown.push(underlined(remarks[next]!, start, line, width));
    start = behind;
  }
  shown.push('>>>>>>');
  return shown;
}

/** `CHECK:3    ^~~~~`: below the part of the line that the remark is about. */
function underlined({ label, start, end, mark, message }: Remark, from: number, line: string, width: number): string {
  const column = Math.min(start - from, line.length);
  const length = mark === 'X' ? line.length - column : Math.min(end, from + line.length) - start;
  return `${label.padEnd(width)}  ${' '.repeat(column)}${mark}${'~'.repeat(Math.max(0, length - 1))}${message}`;
}
