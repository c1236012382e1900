/** Trees made after a model are those that the parser makes. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { OperandSyntax } from '../../../lang/syntax/ast.ts';
import { instructionLine, keepOperands } from '../../../lang/syntax/instruction-line.ts';
import { Keywords } from '../../../lang/syntax/keywords.ts';
import { SourceLines } from '../../../lang/syntax/lexer.ts';
import {
  distinct,
  isStatementKept,
  KnownShapes,
  lineAgain,
  operandAgain,
  shapeOf,
} from '../../../lang/syntax/line-shapes.ts';
import { nasmParser, type ParsedLine } from '../../../lang/syntax/parser.ts';
import { SourceFile } from '../../../lang/syntax/source.ts';
import * as t from '../../../lang/syntax/tokens.ts';

const keywords = new Keywords({
  isMnemonic: (name) => ['mov', 'add', 'lea', 'jmp', 'movsb'].includes(name),
  isRegister: (name) => ['rax', 'rbx', 'r9', 'al', 'fs'].includes(name),
});

function tokensOfLine(text: string): t.Token[] {
  const line = new SourceLines(new SourceFile('test', text)).next();
  const tokens = [...(line?.tokens ?? [])];
  for (const token of tokens) {
    if (token.tokenType !== t.Identifier) continue;
    token.tokenType = keywords.type(token.image);
    token.tokenTypeIdx = token.tokenType.tokenTypeIdx!;
  }
  return tokens;
}

const freshShapes = (prepared: Readonly<Record<string, string>> = {}) =>
  new KnownShapes<ParsedLine>(lineAgain, isStatementKept, prepared);
const freshOperands = (prepared: Readonly<Record<string, string>> = {}) =>
  new KnownShapes<OperandSyntax>(operandAgain, () => true, prepared);

/** What the parser makes of the line alone, and what the shapes make of it behind the model. */
function bothWays(model: string, text: string): { again: ParsedLine | undefined; parsed: ParsedLine } {
  const learned = freshShapes();
  const first = distinct(tokensOfLine(model));
  const shape = shapeOf(first);
  const learnedOperands = freshOperands();
  if (shape !== undefined) {
    const parsed = nasmParser().parseLine(first);
    learned.keep(shape, first, parsed);
    keepOperands(first, parsed, learnedOperands);
  }
  // As the build passes it on.
  const known = freshShapes(learned.record());
  const knownOperands = freshOperands(learnedOperands.record());
  const tokens = tokensOfLine(text);
  const own = shapeOf(tokens);
  const again = instructionLine(tokens, knownOperands) ?? (own === undefined ? undefined : known.tree(own, tokens));
  return { again, parsed: nasmParser().parseLine(tokens) };
}

const register = fc.constantFrom('rax', 'rbx', 'r9', 'al', 'RAX');
const number = fc.constantFrom('1', '0x10', '12h', '$1f', '0b11', '1_000');
const symbol = fc.constantFrom('a', 'a.b', '$rax', '.l', '..@3.x');
const value: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    register,
    number,
    symbol,
    fc.constantFrom("'ab'", '`\\n`', '$', '$$'),
    fc.tuple(fc.constantFrom('-', '~', '!', '+'), tie('value')).map(([sign, of]) => `${sign} ${of}`),
    fc
      .tuple(
        tie('value'),
        fc.constantFrom('+', '*', '==', '=', '<<', '<<<', '>>>', '<>', '!=', '%%', '|'),
        tie('value'),
      )
      .map(([left, operator, right]) => `${left} ${operator} ${right}`),
    fc.tuple(tie('value'), tie('value'), tie('value')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.tuple(tie('value'), symbol).map(([of, base]) => `(1 + ${of}) wrt ${base}`),
  ),
})).value;
const operand = fc.oneof(
  value,
  fc.tuple(fc.constantFrom('', 'byte ', 'qword ', 'strict dword '), value).map(([hint, of]) => `${hint}[${of}]`),
  value.map((of) => `[rel fs:${of}]`),
);
const item: fc.Arbitrary<string> = fc.oneof(
  value,
  fc.constant('?'),
  value.map((of) => `word 0 + ${of}`),
  fc.tuple(value, value).map(([count, of]) => `(${count}) dup (${of}, ?)`),
);
const line = fc.oneof(
  fc
    .tuple(fc.constantFrom('', 'l: ', 'l ', 'rep ', 'times 3 ', '$mov: lock '), fc.constantFrom('mov', 'ADD', 'lea'))
    .chain(([start, name]) => fc.array(operand, { maxLength: 3 }).map((list) => `${start}${name} ${list.join(', ')}`)),
  fc
    .tuple(fc.constantFrom('db', 'dw', 'DQ'), fc.array(item, { minLength: 1, maxLength: 4 }))
    .map(([word, items]) => `${word} ${items.join(', ')}`),
  fc.tuple(fc.constantFrom('resb', 'resq'), value).map(([word, of]) => `x ${word} ${of}`),
  value.map((of) => `x equ ${of}`),
  fc.constantFrom('lock', 'rep', 'l:', 'mov', 'movsb'),
);

/** The line with other words of the same kinds. */
const OTHERS: Readonly<Record<string, string>> = { rax: 'r9', RAX: 'rbx', al: 'fs', mov: 'LEA', a: 'longer', l: '$z' };
const reworded = (text: string) =>
  text.replace(/(?<![\w$.@'`\\])(?:rax|RAX|al|mov|a|l)(?![\w.])/g, (word) => OTHERS[word]!).replace(/\b0x10\b/g, '77q');

test('a line of a known shape has the tree that the parser makes of it', () => {
  let known = 0;
  fc.assert(
    fc.property(line, (text) => {
      const { again, parsed } = bothWays(text, reworded(text));
      if (again === undefined) return;
      known++;
      expect(again).toEqual(parsed);
    }),
    { numRuns: 1500 },
  );
  expect(known).toBeGreaterThan(1000);
});

test('a line of operands that were in several others needs no parser', () => {
  const known = freshOperands();
  for (const text of ['add qword [rbx + 8]', 'add rax, 1', 'l lock']) {
    const tokens = tokensOfLine(text);
    keepOperands(tokens, nasmParser().parseLine(tokens), known);
  }
  for (const text of ['l: lock add qword [rax + 9], 0x10', 'mov r9, qword [r9 + 1]', 'l rep lock movsb', 'x mov rax']) {
    const tokens = tokensOfLine(text);
    expect(instructionLine(tokens, known), text).toEqual(nasmParser().parseLine(tokens));
  }
  for (const text of [
    'mov rax,',
    'mov , rax',
    'mov rax rax',
    'mov [rax + 9], rax',
    'l:',
    'lock',
    '',
    'db 1',
    'mov rax, 1.5',
  ]) {
    const tokens = tokensOfLine(text);
    if (tokens.length > 0) expect(instructionLine(tokens, known), text).toBeUndefined();
  }
});

test('what the grammar tells by the word is told by it again', () => {
  for (const [model, text] of [
    ['x equ a == 1', 'x equ a = 1'],
    ['x equ a << 1', 'x equ a <<< 1'],
    ['db 1', 'dq 1'],
    ['mov byte [a], 1', 'mov word [a], 1'],
    ['rep movsb', 'repne movsb'],
    ['dd 1', 'dd 1.5'],
    ['mov rax, rax', 'mov rax, rbx'],
  ] as const) {
    const { again, parsed } = bothWays(model, text);
    if (again !== undefined) expect(again, `${model} / ${text}`).toEqual(parsed);
  }
});

test('primitive directives, files and fractions have no shape', () => {
  for (const text of ['[warning -label-orphan]', 'l: [list -]', "incbin 'a'", 'dd 1.5']) {
    const tokens = tokensOfLine(text);
    const shape = shapeOf(tokens);
    const known = freshShapes();
    if (shape !== undefined) known.keep(shape, tokens, nasmParser().parseLine(tokens));
    expect(known.record(), text).toEqual({});
  }
});

test('a directive keeps its own words', () => {
  const { again, parsed } = bothWays('section .text', 'Global a:function, b');
  expect(again).toEqual(parsed);
  expect(parsed.body).toMatchObject({ kind: 'directive', name: 'global' });
});

test('a macro parameter named twice is two words of the next line', () => {
  const [name, comma, , last] = tokensOfLine('mov , , rax') as [t.Token, t.Token, t.Token, t.Token];
  const twice = distinct([name, last, comma, last]);
  const known = freshOperands();
  keepOperands(twice, nasmParser().parseLine(twice), known);
  const tokens = tokensOfLine('mov rbx, r9');
  expect(instructionLine(tokens, known)).toEqual(nasmParser().parseLine(tokens));
});
