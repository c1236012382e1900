/** Check lines against texts: LLVM FileCheck's rules, from its documentation, and FileCheck itself where it is installed. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check } from '../../../src/cli/test/check/check.ts';
import { readChecks } from '../../../src/cli/test/check/directives.ts';

const FILECHECK = ['/usr/lib/llvm-14/bin/FileCheck', '/usr/bin/FileCheck', '/usr/bin/FileCheck-14'].find(existsSync);

/** The messages with which the lines of `source` fail on `text`; none if all hold. */
function failures(source: string, text: string): string[] {
  const { checks, bad } = readChecks(source);
  if (bad.length > 0) return bad.map(({ message }) => message);
  return check(checks, text).failures.map(({ check: { name }, message }) => `${name}: ${message}`);
}

const HEX = 'buffer at 0x1000\nend   at 0x1040\n';

/** Check lines, text, and the message of the first failure (none: they hold). */
const table: readonly (readonly [what: string, source: string, text: string, failure?: string])[] = [
  ['a text anywhere', '; CHECK: b', 'a\nb\n'],
  ['a text that is missing', '; CHECK: c', 'a\nb\n', 'CHECK: expected text not found'],
  ['checks in order', '; CHECK: b\n; CHECK: a', 'a\nb\n', 'CHECK: expected text not found'],
  ['runs of blanks count as one', '; CHECK: a   b', 'a \t b\n'],
  ['a regex', '; CHECK: id {{[0-9]+}}!', 'id 42!\n'],
  ['a dot does not cross lines', '; CHECK: a{{.*}}b', 'a\nb\n', 'CHECK: expected text not found'],
  ['a negated bracket does not cross lines', '; CHECK: a{{[^x]*}}b', 'a\nb\n', 'CHECK: expected text not found'],
  ['a character class', '; CHECK: {{[[:digit:]]+[[:alpha:]_]}}', '12_\n'],
  ['line ends', '; CHECK: {{^}}b{{$}}', 'ab\nb\n'],
  ['NEXT on the next line', '; CHECK: a\n; CHECK-NEXT: b', 'a\nb\n'],
  [
    'NEXT too far',
    '; CHECK: a\n; CHECK-NEXT: b',
    'a\n\nb\n',
    'CHECK-NEXT: is not on the line behind the match before, but 1 further',
  ],
  [
    'NEXT on the same line',
    '; CHECK: a\n; CHECK-NEXT: b',
    'a b\n',
    'CHECK-NEXT: is on the same line as the match before',
  ],
  ['NEXT with nothing in front', '; CHECK-NEXT: b', 'b\n', "'CHECK-NEXT' needs a check line in front that it follows"],
  ['SAME', '; CHECK: a\n; CHECK-SAME: b', 'a b\n'],
  [
    'SAME on another line',
    '; CHECK: a\n; CHECK-SAME: b',
    'a\nb\n',
    'CHECK-SAME: is not on the line of the match before',
  ],
  ['EMPTY', '; CHECK: a\n; CHECK-EMPTY:\n; CHECK-NEXT: b', 'a\n\nb\n'],
  [
    'EMPTY where a line is',
    '; CHECK: a\n; CHECK-EMPTY:',
    'a\nb\n',
    'CHECK-EMPTY: is not on the line behind the match before, but 1 further',
  ],
  ['EMPTY with a pattern', '; CHECK: a\n; CHECK-EMPTY: b', 'a\n\nb\n', "'CHECK-EMPTY' takes no pattern"],
  ['NOT between two', '; CHECK: a\n; CHECK-NOT: x\n; CHECK: b', 'a\nb\nx\n'],
  ['NOT violated', '; CHECK: a\n; CHECK-NOT: x\n; CHECK: b', 'a\nx\nb\n', 'CHECK-NOT: excluded text found'],
  ['NOT in front', '; CHECK-NOT: x\n; CHECK: b', 'x\nb\n', 'CHECK-NOT: excluded text found'],
  ['NOT to the end', '; CHECK: a\n; CHECK-NOT: x', 'a\nb\nx\n', 'CHECK-NOT: excluded text found'],
  ['NOT alone', '; CHECK-NOT: x', 'a\n'],
  ['DAG in any order', '; CHECK-DAG: b\n; CHECK-DAG: a\n; CHECK: c', 'a\nb\nc\n'],
  ['DAG without overlap', '; CHECK-DAG: a\n; CHECK-DAG: a', 'a\n', 'CHECK-DAG: expected text not found'],
  ['DAG twice', '; CHECK-DAG: a{{.}}\n; CHECK-DAG: a{{.}}', 'a1\na2\n'],
  [
    'DAG, then a plain check behind all',
    '; CHECK-DAG: b\n; CHECK-DAG: a\n; CHECK: b',
    'a\nb\n',
    'CHECK: expected text not found',
  ],
  [
    'NOT between DAG groups',
    '; CHECK-DAG: a\n; CHECK-NOT: x\n; CHECK-DAG: b',
    'a\nx\nb\n',
    'CHECK-NOT: excluded text found',
  ],
  ['LABEL cuts blocks', '; CHECK-LABEL: one\n; CHECK: x\n; CHECK-LABEL: two\n; CHECK: y', 'one\nx\ntwo\ny\n'],
  [
    'LABEL keeps a check in its block',
    '; CHECK-LABEL: one\n; CHECK: y\n; CHECK-LABEL: two',
    'one\nx\ntwo\ny\n',
    'CHECK: expected text not found',
  ],
  [
    'LABEL with a variable',
    '; CHECK-LABEL: [[A:x]]',
    'x\n',
    "'CHECK-LABEL' can neither set nor use variables: labels are looked for before everything else",
  ],
  ['COUNT', '; CHECK-COUNT-3: a\n; CHECK-NEXT: b', 'a\na\na\nb\n'],
  ['COUNT too few', '; CHECK-COUNT-3: a', 'a\na\n', 'CHECK-COUNT-3: match 3 of 3 expected text not found'],
  ['COUNT of nothing', '; CHECK-COUNT-0: a', 'a\n', "'CHECK-COUNT-0' has to count at least 1"],
  ['a variable', '; CHECK: at [[A:0x[0-9a-f]+]]\n; CHECK: read [[A]]', 'at 0x10\nread 0x10\n'],
  [
    'a variable with another value',
    '; CHECK: at [[A:0x[0-9a-f]+]]\n; CHECK: read [[A]]',
    'at 0x10\nread 0x20\n',
    'CHECK: expected text not found',
  ],
  ['a variable on its own line', '; CHECK: [[A:[a-z]+]] [[A]]', 'ab cd\nx x\n'],
  ['an undefined variable', '; CHECK: [[A]]', 'x\n', 'CHECK: undefined variable: A'],
  ['a number and a sum', '; CHECK: buffer at 0x[[#%x,BASE:]]\n; CHECK: end at 0x[[#BASE+64]]', HEX],
  [
    'a wrong sum',
    '; CHECK: buffer at 0x[[#%x,BASE:]]\n; CHECK: end at 0x[[#BASE+65]]',
    HEX,
    'CHECK: expected text not found',
  ],
  ['the 0x form', '; CHECK: buffer at [[#%#x,BASE:]]\n; CHECK: end at [[#%#x,BASE+0x40]]', HEX],
  ['upper-case digits', '; CHECK: [[#%X,A:]]\n; CHECK: [[#%X,A+1]]', 'FE\nFF\n'],
  ['a precision', '; CHECK: [[#%.8x,A:]]\n; CHECK: [[#%.8x,A+1]]', '0000000f\n00000010\n'],
  ['a signed number', '; CHECK: [[#%d,A:]]\n; CHECK: [[#A-1]]', '-1\n-2\n'],
  ['functions', '; CHECK: [[#A:]]\n; CHECK: [[#mul(A,3)]] [[#max(A,7)]] [[#sub(add(A,1),2)]]', '5\n15 7 4\n'],
  ['a constraint', '; CHECK: [[#A:]]\n; CHECK: [[#B:==A+1]] [[#B]]', '5\n6 6\n', 'CHECK: undefined variable: B'],
  ['a constrained definition, used later', '; CHECK: [[#A:]]\n; CHECK: [[#B:A+1]]\n; CHECK: is [[#B]]', '5\n6\nis 6\n'],
  ['any number', '; CHECK: a[[#]]b', 'a12b\n'],
  ['the line of the check', '\n; CHECK: line [[#@LINE]] [[@LINE+1]]', 'line 2 3\n'],
  [
    'a format that is none',
    '; CHECK: [[#%q,A:]]',
    '1\n',
    "invalid number format in '[[#%q,A:]]': %u, %d, %x and %X are known, with # and .DIGITS",
  ],
  ['literal', '; CHECK{LITERAL}: [[x]] {{y}}', '[[x]] {{y}}\n'],
  ['a comment line', '; COM: CHECK: x\n; CHECK: a', 'a\n'],
  ['an open regex', '; CHECK: {{a', 'a\n', "'{{' is not closed by '}}'"],
  ['an open variable', '; CHECK: [[A:x', 'a\n', "'[[' is not closed by ']]'"],
  ['an invalid regex', '; CHECK: {{(}}', '(\n', "invalid regex '(': Unterminated group"],
  ['no pattern', '; CHECK:', 'a\n', "'CHECK:' has no pattern; use {{.*}} for any text, or CHECK-EMPTY"],
  ['brackets that are text', '; CHECK: [0x10] [ x', '[0x10] [ x\n'],
  ['brackets that name nothing', '; CHECK: [[ x ]]', '[[ x ]]\n', "invalid name in '[[ x ]]'"],
];

const rows = table.map((row) => [row[0], row] as const);

describe('the rules', () => {
  test.each(rows)('%s', (_, [, source, text, failure]) => {
    expect(failures(source, text)[0]).toBe(failure);
  });

  test.each(['CHECK-NXT', 'CHECKNEXT', 'CHECK_NOT', 'CHECKCOUNT-2'])(
    'a directive that is none is refused, and neither taken for text nor passed over: %s',
    (name) => {
      expect(failures(`; CHECK: x\n; ${name}: x`, 'x\n')[0]).toContain(`there is no directive '${name}'`);
    },
  );

  test('a prefix may end in the name of a directive', () => {
    expect(readChecks('; CHECKNOT: x\n; CHECKNOT-NEXT: y\n', ['CHECK', 'CHECKNOT']).bad).toEqual([]);
  });

  test('a repetition may share its brace with the closing pair, which FileCheck does not take', () => {
    expect(failures('; CHECK: {{^a{2}}}', 'aa\n')).toEqual([]);
  });

  test('each block reports its failure', () => {
    const source = '; CHECK-LABEL: one\n; CHECK: x\n; CHECK-LABEL: two\n; CHECK: y';
    expect(failures(source, 'one\ntwo\n')).toHaveLength(2);
  });

  test('a mark outside a comment is no check', () => {
    expect(readChecks('CHECK: mov rax, rbx').checks).toHaveLength(0);
  });
});

/** Whether FileCheck accepts. */
function fileCheck(source: string, text: string): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-filecheck-'));
  try {
    writeFileSync(join(folder, 'checks'), source);
    return spawnSync(FILECHECK!, ['--allow-empty', join(folder, 'checks')], { input: text }).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.skipIf(FILECHECK === undefined)('LLVM FileCheck says the same', () => {
  test.each(rows)('%s', (_, [, source, text, failure]) => {
    expect(fileCheck(source, text)).toBe(failure === undefined);
  });

  test('for small checks of every kind on small texts', () => {
    const pattern = fc.constantFrom(
      'a',
      'b',
      'a{{.}}',
      '{{^}}b',
      '{{[^a]}}',
      'a{{$}}',
      '[[V:[abc]]]',
      '[[#N:]]',
      '[[#N+1]]',
      '[[V]]',
    );
    const plain = fc.constantFrom('a', 'b', 'c', '{{^}}a', '{{b$}}');
    const line = fc.oneof(
      fc
        .tuple(fc.constantFrom('', '-NEXT', '-SAME', '-NOT', '-DAG', '-COUNT-2'), pattern)
        .map(([kind, text]) => `; CHECK${kind}: ${text}`),
      plain.map((text) => `; CHECK-LABEL: ${text}`),
      fc.constant('; CHECK-EMPTY:'),
    );
    const lines = fc.array(line, { minLength: 1, maxLength: 5 }).map((all) => `${all.join('\n')}\n`);
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c', '1', '2', ' ', '\n', '\n'), { maxLength: 14 })
      .map((characters) => `${characters.join('')}\n`);
    fc.assert(
      fc.property(lines, text, (source, input) => {
        expect(failures(source, input).length === 0, JSON.stringify({ source, input })).toBe(fileCheck(source, input));
      }),
      { numRuns: 300 },
    );
  });
});
