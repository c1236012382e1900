/** The whole language, case by case: what NASM accepts has NASM's bytes here, what NASM refuses is refused here. */

import { describe, expect, test } from 'vitest';
import { has } from '../assembler/tools.ts';
import { assembled, byNasm, casesOf, corpusFiles, preprocessed, writeCases } from './corpus.ts';

const nasmIsHere = has('nasm');
if (!nasmIsHere) console.warn('nasm is not installed: the corpus is not compared with it again');
const STRICTER = 'refused here:';
const update = process.env['CORPUS'] === 'update';

describe.each(corpusFiles)('%s', (file) => {
  const cases = casesOf(file);
  if (update && nasmIsHere) {
    for (const each of cases) {
      const theirs = byNasm(each.source);
      const isStricter = theirs !== 'refused' && assembled(each.source).result === 'refused';
      Object.assign(each, { expected: isStricter ? `${STRICTER} ${theirs}` : theirs });
    }
    writeCases(file, cases);
  }

  test.each(cases)('$title', ({ source, expected }) => {
    const { result, said } = assembled(source);
    expect(result, said.join('\n')).toBe(expected.startsWith(STRICTER) ? 'refused' : expected);
    if (result === 'refused') expect(said.length).toBeGreaterThan(0);
  });

  test('what -E prints assembles to the same bytes, here and by nasm', () => {
    for (const { title, source, expected } of cases.filter((each) => /^[0-9a-f]+$/.test(each.expected))) {
      const text = preprocessed(source);
      if (text === undefined) continue;
      expect(assembled(text).result, title).toBe(expected);
      if (nasmIsHere) expect(byNasm(text), title).toBe(expected);
    }
  });

  test.skipIf(!nasmIsHere)('the expectations are what nasm says', () => {
    const wrong = cases.filter((each) => byNasm(each.source) !== each.expected.replace(STRICTER, '').trim());
    expect(wrong.map((each) => each.title)).toEqual([]);
  });
});
