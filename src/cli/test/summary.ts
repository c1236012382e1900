/** Results as a machine or a person reads them: TAP, JUnit, JSON, and the closing line. */

import type { Outcome, TestResult } from './outcome.ts';

const failing: readonly Outcome[] = ['FAIL', 'XPASS', 'TIMEOUT'];

export const failed = ({ outcome }: TestResult): boolean => failing.includes(outcome);

const words: Readonly<Record<Outcome, string>> = {
  PASS: 'passed',
  FAIL: 'failed',
  TIMEOUT: 'timed out',
  XPASS: 'unexpectedly passed',
  XFAIL: 'expectedly failed',
  UPDATED: 'goldens written',
  UNSUPPORTED: 'unsupported',
};

/** `7 passed, 1 failed, 3 unfinished: interrupted`; `no tests` of none. */
export function countLine(results: readonly TestResult[], left = 0): string {
  const counts = Object.entries(words).flatMap(([outcome, word]) => {
    const count = results.filter((result) => result.outcome === outcome).length;
    return count === 0 ? [] : [`${count} ${count === 1 ? word.replace('goldens', 'golden') : word}`];
  });
  if (left > 0) counts.push(`${left} unfinished: interrupted`);
  return counts.length === 0 ? 'no tests' : counts.join(', ');
}

/** Test Anything Protocol, version 13; `left` more have no result. */
export function tap(results: readonly TestResult[], left = 0): string {
  const lines = results.map(({ name, outcome, report }, index) => {
    // An expected failure is a TODO that is not ok; a TODO that is ok would not count as a failure, and it is one here.
    const ok = outcome === 'XFAIL' || failing.includes(outcome) ? 'not ok' : 'ok';
    const directive =
      outcome === 'XFAIL' ? ' # TODO expected to fail' : outcome === 'UNSUPPORTED' ? ` # SKIP ${report[0]}` : '';
    const comments = failing.includes(outcome) ? report.flatMap((text) => text.split('\n')) : [];
    return [
      `${ok} ${index + 1} - ${name.replace(/[\\#]/g, '\\$&')}${directive}`,
      ...comments.map((line) => `# ${line}`),
    ].join('\n');
  });
  if (left > 0) lines.push('Bail out! interrupted');
  return `TAP version 13\n1..${results.length + left}\n${lines.map((line) => `${line}\n`).join('')}`;
}

/** JUnit's XML, as CI systems read it. */
export function junit(results: readonly TestResult[]): string {
  const cases = results.map((result) => {
    const { name, outcome, report } = result;
    const slash = name.lastIndexOf('/');
    const named = `classname="${xml(slash < 0 ? '.' : name.slice(0, slash))}" name="${xml(name.slice(slash + 1))}"`;
    const attributes = `${named} time="${secondsOf([result])}"`;
    if (failed(result)) {
      const text = xml(report.join('\n'));
      return `    <testcase ${attributes}><failure type="${outcome}" message="${xml(report[0] ?? outcome)}">${text}</failure></testcase>\n`;
    }
    const skipped = outcome === 'UNSUPPORTED' || outcome === 'XFAIL';
    const message = outcome === 'XFAIL' ? 'expected to fail' : (report[0] ?? '');
    return `    <testcase ${attributes}>${skipped ? `<skipped message="${xml(message)}"/>` : ''}</testcase>\n`;
  });
  const failures = results.filter(failed).length;
  const skipped = results.filter(({ outcome }) => outcome === 'UNSUPPORTED' || outcome === 'XFAIL').length;
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n' +
    `  <testsuite name="gvm test" tests="${results.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${secondsOf(results)}">\n` +
    `${cases.join('')}  </testsuite>\n</testsuites>\n`
  );
}

const secondsOf = (results: readonly TestResult[]): string =>
  results.reduce((sum, { seconds = 0 }) => sum + seconds, 0).toFixed(3);

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
};
/** Text as XML; what XML 1.0 cannot hold is replaced. */
const xml = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what XML cannot hold
    .replace(/[\u0000-\u0008\u000b-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"\n]/g, (character) => entities[character]!);

/** One JSON object: `{"v":1,"tests":[{name,outcome,report}],"counts":{…},"ok":true}`; after Ctrl-C with `"unfinished"`. */
export function json(results: readonly TestResult[], left = 0): string {
  const counts: Partial<Record<Outcome, number>> = {};
  for (const { outcome } of results) counts[outcome] = (counts[outcome] ?? 0) + 1;
  const tests = results.map(({ name, outcome, report }) => ({ name, outcome, report }));
  const ok = left === 0 && !results.some(failed);
  return `${JSON.stringify({ v: 1, tests, counts, ...(left > 0 && { unfinished: left }), ok })}\n`;
}
