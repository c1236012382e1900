/** Operator precedence (NASM manual §3.5). All binary operators of NASM group from the left. */

import type { Expression } from './ast.ts';
import type { Token } from './tokens.ts';

const PRECEDENCE: Readonly<Record<string, number>> = {
  '||': 1,
  '^^': 2,
  '&&': 3,
  '=': 4,
  '==': 4,
  '!=': 4,
  '<>': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '<=>': 4,
  '|': 5,
  '^': 6,
  '&': 7,
  '<<': 8,
  '>>': 8,
  '<<<': 8,
  '>>>': 8,
  '+': 9,
  '-': 9,
  '*': 10,
  '/': 10,
  '//': 10,
  '%': 10,
  '%%': 10,
};

/** `values[0] operators[0] values[1] …` as a tree. */
export function orderByPrecedence(values: readonly Expression[], operators: readonly Token[]): Expression {
  if (operators.length === 0) return values[0]!;
  const stack: Expression[] = [values[0]!];
  const waiting: Token[] = [];
  const reduce = () => {
    const right = stack.pop()!;
    const left = stack.pop()!;
    const at = waiting.pop()!;
    stack.push({ kind: 'binary', operator: at.image, left, right, at });
  };
  for (let i = 0; i < operators.length; i++) {
    const operator = operators[i]!;
    while (waiting.length > 0 && PRECEDENCE[waiting.at(-1)!.image]! >= PRECEDENCE[operator.image]!) reduce();
    waiting.push(operator);
    stack.push(values[i + 1]!);
  }
  while (waiting.length > 0) reduce();
  return stack[0]!;
}
