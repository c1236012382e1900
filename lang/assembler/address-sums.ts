/**
 * Which of two registers NASM makes the base of an address (eval.c and parser.c of NASM 2.16, process_ea in assemble.c): the one that
 * stands first, unless a number or a place has been added to another anywhere in the expression, as in `[rsi + rdx + table + 4]`. It
 * then has forgotten the order, and takes them by their names; and a `nosplit` that stands before them it has forgotten as well.
 */

import type { Expression } from '../syntax/ast.ts';
import type { Assembly } from './assembly.ts';
import type { Value } from './value.ts';

/** A value as NASM has it: `plain` if there is a number in it, and be it the 0 of a label at the beginning of its section. */
interface Part {
  readonly plain: boolean;
  readonly summed: boolean;
}

/** True where two numbers, two places of a section or a register and itself come together by `+` or `-`, and something is left of them. */
export const isSummed = (expression: Expression, assembly: Assembly): boolean => partOf(expression, assembly).summed;

function partOf(expression: Expression, assembly: Assembly): Part {
  switch (expression.kind) {
    case 'register':
      return { plain: false, summed: false };
    case 'unary': {
      const { plain, summed } = partOf(expression.operand, assembly);
      return { plain: plain || !/^[-+]$/.test(expression.operator), summed };
    }
    case 'binary':
      return binary(expression, assembly);
    case 'wrt':
      return partOf(expression.value, assembly);
    case 'conditional': {
      const parts = [expression.condition, expression.then, expression.otherwise].map((each) => partOf(each, assembly));
      return { plain: true, summed: parts.some(({ summed }) => summed) };
    }
    default:
      return { plain: true, summed: false };
  }
}

function binary({ operator, left, right }: Expression & { kind: 'binary' }, assembly: Assembly): Part {
  const [a, b] = [partOf(left, assembly), partOf(right, assembly)];
  const summed = a.summed || b.summed;
  if (operator === '*') return { plain: isNumber(left, assembly) ? b.plain : a.plain, summed };
  if (operator !== '+' && operator !== '-') return { plain: true, summed };
  const sign = operator === '+' ? 1n : -1n;
  const [before, behind] = [assembly.value(left), assembly.value(right)];
  const isNothing = before.constant + sign * behind.constant === 0n;
  const numbers = a.plain && b.plain;
  return {
    plain: numbers ? !isNothing : a.plain || b.plain,
    summed: summed || (numbers && !isNothing) || meet(before, behind, sign),
  };
}

const isNumber = (expression: Expression, assembly: Assembly): boolean => assembly.value(expression).terms.length === 0;

/** Whether a term of both is left when they are added. */
const meet = (before: Value, behind: Value, sign: bigint): boolean =>
  before.terms.some(({ of, factor }) =>
    behind.terms.some((other) => other.of === of && factor + sign * other.factor !== 0n),
  );
