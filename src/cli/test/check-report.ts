/** Failed check lines as the user reads them: the line of the source, and the place of the transcript that was searched. */

import type { Checked } from './check/check.ts';
import type { BadCheck } from './check/directives.ts';

/** Lines of the transcript shown from the place of the failure on. */
const SHOWN = 4;

/** Report of what failed; also a run that ended badly although no check line says so. Empty if all is well. */
export function checkFailureText(file: string, source: string, transcript: string, checked: Checked): string[] {
  const report = checked.failures.flatMap(({ check, message, at, notes }) => [
    ...errorAt(file, source, check, `${check.name}: ${message}`),
    ...notes.map((note) => `   = note: ${note}`),
    '   = note: the transcript from there on:',
    ...excerpt(checked.text, at),
  ]);
  if (report.length > 0) return report;
  const status = /\[gvm\] exit status (\d+)\n$/.exec(transcript);
  const start = checked.text.lastIndexOf('[gvm] exit status');
  if (status === null || status[1] === '0' || checked.matches.some((match) => match.end > start)) return [];
  return [
    `${file}: error: the run ended with exit status ${status[1]}, which no check line asks for`,
    ...excerpt(checked.text, Math.max(0, checked.text.lastIndexOf('\n', start - 2) + 1)),
  ];
}

/** Report of check lines that cannot be used. */
export const badCheckText = (file: string, source: string, bad: readonly BadCheck[]): string[] =>
  bad.flatMap((each) => errorAt(file, source, each, each.message));

/** A mistake, and the line of the source it is in. */
function errorAt(file: string, source: string, { line, column }: Pick<BadCheck, 'line' | 'column'>, message: string) {
  const text = source.split(/\r?\n/)[line - 1] ?? '';
  return [
    `${file}:${line}:${column}: error: ${message}`,
    `${String(line).padStart(5)} | ${text}`,
    `      | ${text.slice(0, column - 1).replace(/[^\t]/g, ' ')}^`,
  ];
}

function excerpt(text: string, at: number): string[] {
  const before = text.slice(0, at);
  const first = before.split('\n').length;
  const lines = text.slice(before.lastIndexOf('\n') + 1).split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0) return [`${String(first).padStart(5)} | (end)`];
  return lines.slice(0, SHOWN).map((line, index) => `${String(first + index).padStart(5)} | ${line}`);
}
