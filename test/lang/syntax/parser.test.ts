/** The grammar: its definition is sound, and what lines mean. */

import { EmbeddedActionsParser, Lexer } from 'chevrotain';
import { describe, expect, test } from 'vitest';
import { type SourceLine, SourceLines } from '../../../lang/syntax/lexer.ts';
import { parseNumber, stringBytes, stringValue } from '../../../lang/syntax/literals.ts';
import { nasmParser } from '../../../lang/syntax/parser.ts';
import { SourceFile } from '../../../lang/syntax/source.ts';
import { lexed } from '../../../lang/syntax/tokens.ts';

function sourceLines(file: SourceFile): SourceLine[] {
  const reader = new SourceLines(file);
  const lines: SourceLine[] = [];
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    if (line.tokens.length > 0) lines.push(line);
  }
  return lines;
}

const lines = (text: string) =>
  sourceLines(new SourceFile('t', text)).map((line) => line.tokens.map((token) => token.image));

test('the token definitions pass the checks of chevrotain', () => {
  const lexer = new Lexer([...lexed], { positionTracking: 'onlyOffset' });
  expect(lexer.lexerDefinitionErrors).toEqual([]);
});

test('the parser is built once', () => {
  expect(nasmParser()).toBe(nasmParser());
  expect(nasmParser()).toBeInstanceOf(EmbeddedActionsParser);
});

describe('lines', () => {
  test('comments, blank lines and line ends of all kinds', () => {
    expect(lines('a ; x\r\n\n  \n; only\nb\rc')).toEqual([['a'], ['b'], ['c']]);
  });

  test('a continued line is one, also through a comment', () => {
    expect(lines('a \\\n b ; c \\\n d\ne')).toEqual([['a', 'b'], ['e']]);
  });

  test('a long source is read in pieces without losing a token', () => {
    const text = Array.from({ length: 30_000 }, (_, i) => `l${i}: db ${i} \\\r\n, 1`).join('\r\n');
    const found = lines(text);
    expect(found).toHaveLength(30_000);
    expect(found[29_999]).toEqual(['l29999', ':', 'db', '29999', ',', '1']);
  });

  test('places count from the start of the file', () => {
    const file = new SourceFile('t', `${'; filler\n'.repeat(20_000)}  here`);
    const [line] = sourceLines(file);
    expect(file.position(line!.tokens[0]!.startOffset)).toEqual({ line: 20_001, column: 3 });
  });
});

/** NASM manual §3.4.1, with readnum's rule for words that have a radix letter on both sides. */
test.each<[string, bigint | undefined]>([
  ['200', 200n],
  ['0200', 200n],
  ['0200d', 200n],
  ['0d200', 200n],
  ['0c8h', 200n],
  ['$0c8', 200n],
  ['0xc8', 200n],
  ['0hc8', 200n],
  ['310q', 200n],
  ['310o', 200n],
  ['0o310', 200n],
  ['0q310', 200n],
  ['11001000b', 200n],
  ['1100_1000b', 200n],
  ['0b1100_1000', 200n],
  ['0y1100_1000', 200n],
  ['0b1h', 0xb1n],
  ['0zz', undefined],
  ['12ab', undefined],
  ['0b12', undefined],
])('%s', (word, value) => {
  expect(parseNumber(word)).toBe(value);
});

/** NASM manual §3.4.2. */
test.each<[string, string]>([
  ["'a\\n'", '615c6e'],
  ['"it\'s"', '69742773'],
  ['`\\n\\r\\t\\0\\e\\a\\b\\v\\f\\\\\\`\\\'\\"\\?`', '0a0d09001b07080b0c5c6027223f'],
  ['`\\x4a\\112\\u263a\\U0001F600`', '4a4ae298baf09f9880'],
])('%s', (image, hex) => {
  expect(Buffer.from(stringBytes(image)).toString('hex')).toBe(hex);
});

test('a string as a number has its first byte lowest', () => {
  expect(stringValue(stringBytes("'abcd'"))).toBe(0x64636261n);
  expect(stringValue(stringBytes("''"))).toBe(0n);
});
