/** The scanner gives the tokens of chevrotain's lexer, which tries every pattern at every place. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lexer } from 'chevrotain';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scan } from '../../../lang/syntax/scan.ts';
import { lexed } from '../../../lang/syntax/tokens.ts';

const reference = new Lexer([...lexed], { positionTracking: 'onlyOffset', safeMode: true });

const told = ({ image, startOffset, tokenType, tokenTypeIdx }: ReturnType<typeof scan>[number]) =>
  `${startOffset} ${tokenType.name} ${tokenTypeIdx} ${image}`;

function expectSame(text: string): void {
  expect(scan(text, 0, text.length).map(told)).toEqual(reference.tokenize(text).tokens.map(told));
}

test.each(['test/lang/language', 'test/lang/sources', 'lang/library', 'programs'])('the sources in %s', (folder) => {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (/\.(txt|asm|gasm|inc)$/.test(name)) expectSame(readFileSync(join(folder, name), 'utf8'));
  }
});

test('characters in any order', () => {
  const pieces = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom(...'%$?.@~#[](){}:,;+-*/\\\'"`<>=!&|^ \t\r\n_aZe0x9', '%%', '%+', '%{', '\\\n'),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        '%define',
        '%1',
        '%-2',
        '%[',
        '$0f',
        '..@x',
        '1.5e-3',
        "'it'",
        'é',
        '\u0000',
        '\ud800',
      ),
    },
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (list) => expectSame(list.join(''))),
    { numRuns: 1000 },
  );
});

test('a piece of a text keeps the places of the whole', () => {
  const text = 'first: nop\nadd rax, [rbx + 8] ; and so on\nlast';
  expect(scan(text, 11, 42).map(told)).toEqual(
    reference
      .tokenize(text)
      .tokens.filter(({ startOffset }) => startOffset >= 11 && startOffset < 42)
      .map(told),
  );
});
