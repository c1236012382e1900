/** Expression → value (NASM manual §3.5–3.8): 64-bit arithmetic that wraps around, unsigned `/ %` `>>`, signed `// %%` `>>>`. */

import type { Expression } from '../syntax/ast.ts';
import { stringValue } from '../syntax/literals.ts';
import { addScaled, constantValue, isConstant, registerValue, scale, UNKNOWN, type Value } from './value.ts';

/** What names mean at a place. */
export interface Scope {
  /** Value of a symbol; {@link UNKNOWN} while it has none. */
  symbol(name: string, at: Expression): Value;
  /** `$` */
  here(): Value;
  /** `$$` */
  sectionStart(): Value;
}

/** An expression that means nothing; `expression` is the part at fault. */
export class EvaluationFault extends Error {
  readonly expression: Expression;
  constructor(expression: Expression, message: string) {
    super(message);
    this.expression = expression;
  }
}

/** Value of an expression; throws {@link EvaluationFault}. */
export function evaluate(expression: Expression, scope: Scope): Value {
  switch (expression.kind) {
    case 'number':
      return constantValue(expression.value);
    case 'string':
      return constantValue(stringValue(expression.bytes));
    case 'float':
      throw new EvaluationFault(expression, 'a floating-point number stands only in `dd` and `dq`');
    case 'symbol':
      return scope.symbol(expression.name, expression);
    case 'register':
      return registerValue(expression.name);
    case 'here':
      return scope.here();
    case 'section-start':
      return scope.sectionStart();
    case 'unary':
      return unary(expression, evaluate(expression.operand, scope));
    case 'binary':
      return binary(expression, evaluate(expression.left, scope), evaluate(expression.right, scope));
    case 'conditional': {
      const condition = numberOf(expression.condition, evaluate(expression.condition, scope), '?');
      if (condition === undefined) return UNKNOWN;
      return evaluate(condition !== 0n ? expression.then : expression.otherwise, scope);
    }
    case 'wrt':
      return { ...evaluate(expression.value, scope), wrt: expression.base };
  }
}

function unary(expression: Extract<Expression, { kind: 'unary' }>, value: Value): Value {
  switch (expression.operator) {
    case '+':
      return value;
    case '-':
      return scale(value, -1n);
    default: {
      const number = numberOf(expression.operand, value, expression.operator);
      if (number === undefined) return UNKNOWN;
      return constantValue(expression.operator === '~' ? ~number : number === 0n ? 1n : 0n);
    }
  }
}

function binary(expression: Extract<Expression, { kind: 'binary' }>, left: Value, right: Value): Value {
  const { operator } = expression;
  if (operator === '+') return addScaled(left, right, 1n);
  if (operator === '-') return addScaled(left, right, -1n);
  if (operator === '*') {
    if (isConstant(right)) return scale(left, right.constant);
    if (isConstant(left)) return scale(right, left.constant);
  }
  if (COMPARISONS.has(operator)) {
    // Two places in one section compare though neither is a number yet.
    const difference = addScaled(left, right, -1n);
    if (isConstant(difference) && left.terms.length > 0) {
      return constantValue(calculate(expression, difference.constant, 0n));
    }
  }
  const a = numberOf(expression.left, left, operator);
  const b = numberOf(expression.right, right, operator);
  return a === undefined || b === undefined ? UNKNOWN : constantValue(calculate(expression, a, b));
}

const COMPARISONS = new Set(['=', '==', '!=', '<>', '<', '<=', '>', '>=', '<=>']);

function numberOf(expression: Expression, value: Value, operator: string): bigint | undefined {
  if (!value.known) return undefined;
  if (value.terms.length === 0) return value.constant;
  const what = typeof value.terms[0]!.of === 'string' ? 'a register' : 'an address that the linker decides';
  throw new EvaluationFault(expression, `\`${operator}\` needs numbers, and this is ${what}`);
}

function calculate(expression: Extract<Expression, { kind: 'binary' }>, a: bigint, b: bigint): bigint {
  const unsignedA = () => BigInt.asUintN(64, a);
  const unsignedB = () => BigInt.asUintN(64, b);
  switch (expression.operator) {
    case '*':
      return a * b;
    case '/':
      return unsignedA() / divisor(expression, unsignedB());
    case '//':
      return a / divisor(expression, b);
    case '%':
      return unsignedA() % divisor(expression, unsignedB());
    case '%%':
      return a % divisor(expression, b);
    case '<<':
    case '<<<':
      return a << (b & 63n);
    case '>>':
      return unsignedA() >> (b & 63n);
    case '>>>':
      return a >> (b & 63n);
    case '&':
      return a & b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '<=>':
      // The manual says -1 for less; NASM 2.16.01 itself gives 0, and bytes must be equal.
      return a > b ? 1n : 0n;
    default:
      return truth(expression.operator, a, b) ? 1n : 0n;
  }
}

function truth(operator: string, a: bigint, b: bigint): boolean {
  switch (operator) {
    case '&&':
      return a !== 0n && b !== 0n;
    case '||':
      return a !== 0n || b !== 0n;
    case '^^':
      return (a !== 0n) !== (b !== 0n);
    case '=':
    case '==':
      return a === b;
    case '!=':
    case '<>':
      return a !== b;
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
  }
  throw new Error(`the parser let the unknown operator ${operator} through`);
}

function divisor(expression: Extract<Expression, { kind: 'binary' }>, value: bigint): bigint {
  if (value === 0n) throw new EvaluationFault(expression.right, 'division by zero');
  return value;
}
