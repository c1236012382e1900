/** The quick arithmetic of calls gives what the assembler's own does, or nothing. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Arithmetic } from '../../../lang/assembler/arithmetic.ts';
import { EvaluationFault, evaluate, type Scope } from '../../../lang/assembler/evaluate.ts';
import { UNKNOWN } from '../../../lang/assembler/value.ts';
import type { Expression } from '../../../lang/syntax/ast.ts';
import { Numeral, type Token } from '../../../lang/syntax/tokens.ts';

const scope: Scope = { symbol: () => UNKNOWN, here: () => UNKNOWN, sectionStart: () => UNKNOWN };
const token = (image: string, hole?: number) =>
  ({ image, startOffset: 0, tokenType: Numeral, tokenTypeIdx: 0, ...(hole === undefined ? {} : { hole }) }) as Token;
const at = token('x');

const number = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0 }), fc.maxSafeNat());
/** Trees whose numbers stand in holes, each in its own, or are constants. */
const { tree } = fc.letrec<{ tree: Expression; leaf: Expression }>((tie) => ({
  leaf: fc.oneof(
    number.map((value): Expression => ({ kind: 'number', value: BigInt(value), at })),
    fc.nat(2).map((hole): Expression => ({ kind: 'number', value: 0n, at: token('0', hole) })),
    fc.constantFrom('rax', 'rbx').map((name): Expression => ({ kind: 'register', name, at })),
  ),
  tree: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    tie('leaf'),
    fc
      .tuple(fc.constantFrom('-', '+', '~', '!'), tie('tree'))
      .map(([operator, operand]): Expression => ({ kind: 'unary', operator, operand, at })),
    fc
      .tuple(
        fc.constantFrom(
          ...'+ - * / // % %% << <<< >> >>> & | ^ && || ^^ = == != <> < <= > >= <=>'.split(' '),
          ...'+ - *'.split(' '),
        ),
        tie('tree'),
        tie('tree'),
      )
      .map(([operator, left, right]): Expression => ({ kind: 'binary', operator, left, right, at })),
  ),
}));

/** The tree with numbers in its holes. */
function filled(expression: Expression, numbers: readonly number[]): Expression {
  switch (expression.kind) {
    case 'number': {
      const { hole } = expression.at as { hole?: number };
      return hole === undefined ? expression : { ...expression, value: BigInt(numbers[hole]!) };
    }
    case 'unary':
      return { ...expression, operand: filled(expression.operand, numbers) };
    case 'binary':
      return { ...expression, left: filled(expression.left, numbers), right: filled(expression.right, numbers) };
    default:
      return expression;
  }
}

test('any expression, any numbers', () => {
  let answered = 0;
  fc.assert(
    fc.property(tree, fc.tuple(number, number, number), (expression, numbers) => {
      const given = Arithmetic.of(expression)?.evaluate(numbers) ?? Number.NaN;
      if (Number.isNaN(given)) return;
      answered++;
      try {
        const value = evaluate(filled(expression, numbers), scope);
        expect(BigInt(given)).toBe(value.constant);
      } catch (error) {
        // A register where none may stand: the operand says so.
        if (!(error instanceof EvaluationFault)) throw error;
        expect(error.message).toMatch(/register|division/);
      }
    }),
    { numRuns: 5000 },
  );
  expect(answered).toBeGreaterThan(1000);
});

test('registers have the same factors whatever is in the holes, or there is no answer', () => {
  fc.assert(
    fc.property(tree, fc.tuple(number, number, number), fc.tuple(number, number, number), (expression, a, b) => {
      const arithmetic = Arithmetic.of(expression);
      if (arithmetic === undefined || Number.isNaN(arithmetic.evaluate(a)) || Number.isNaN(arithmetic.evaluate(b))) {
        return;
      }
      const terms = (numbers: readonly number[]) => {
        try {
          return evaluate(filled(expression, numbers), scope).terms;
        } catch (error) {
          if (error instanceof EvaluationFault) return undefined;
          throw error;
        }
      };
      const [one, other] = [terms(a), terms(b)];
      if (one !== undefined && other !== undefined) expect(one).toEqual(other);
    }),
    { numRuns: 5000 },
  );
});
