/**
 * Expressions over the numbers in the holes of a call, for the many calls that share a plan: in JavaScript's numbers, which take a tenth of the
 * time of evaluate.ts. Where those are not exact, the answer is NaN.
 */

import type { Expression } from '../syntax/ast.ts';
import { stringValue } from '../syntax/literals.ts';
import { holeOf } from './preprocessor/call-words.ts';

type Operator =
  | 'number'
  | 'hole'
  | 'negate'
  | 'not'
  | 'complement'
  | '+'
  | '-'
  | '*'
  | '='
  | '!='
  | '<'
  | '<='
  | '>'
  | '>='
  | '&&'
  | '||'
  | '&'
  | '|'
  | '^'
  | '<<'
  | '>>'
  | '/'
  | '%';

const SPELLINGS: Readonly<Record<string, Operator>> = { '==': '=', '<>': '!=', '<<<': '<<' };
const BINARY: ReadonlySet<string> = new Set('+ - * = != < <= > >= && || & | ^ << >> / %'.split(' '));
/** Those through which registers pass. */
const LINEAR: ReadonlySet<string> = new Set(['+', '-', '*']);
const UNARY: Readonly<Record<string, Operator>> = { '-': 'negate', '~': 'complement', '!': 'not' };

export class Arithmetic {
  readonly #operator: Operator;
  /** A value, or the number of a hole. */
  readonly #number: number;
  readonly #left: Arithmetic | undefined;
  readonly #right: Arithmetic | undefined;
  /** Holes in it, each as often as it stands there. */
  readonly holes: readonly number[];
  readonly hasRegister: boolean;

  private constructor(operator: Operator, number: number, left?: Arithmetic, right?: Arithmetic, isRegister = false) {
    this.#operator = operator;
    this.#number = number;
    this.#left = left;
    this.#right = right;
    const holes = [...(left?.holes ?? []), ...(right?.holes ?? [])];
    if (operator === 'hole') holes.push(number);
    this.holes = holes;
    this.hasRegister = isRegister || left?.hasRegister === true || right?.hasRegister === true;
  }

  /**
   * The expression of a filled line; undefined where it holds more than numbers and their operators, or a register whose factor is in a hole.
   * With registers, whose factors are then the same in all calls, it is the number beside them.
   */
  static of(expression: Expression): Arithmetic | undefined {
    switch (expression.kind) {
      case 'number': {
        const hole = holeOf(expression.at);
        if (hole !== undefined) return new Arithmetic('hole', hole);
        const value = Number(expression.value);
        return Number.isSafeInteger(value) ? new Arithmetic('number', value) : undefined;
      }
      case 'string': {
        const value = Number(stringValue(expression.bytes));
        return Number.isSafeInteger(value) ? new Arithmetic('number', value) : undefined;
      }
      case 'register':
        return new Arithmetic('number', 0, undefined, undefined, true);
      case 'unary':
        return Arithmetic.#unary(expression.operator, Arithmetic.of(expression.operand));
      case 'binary':
        return Arithmetic.#binary(expression.operator, Arithmetic.of(expression.left), Arithmetic.of(expression.right));
      default:
        return undefined;
    }
  }

  static #unary(operator: string, operand: Arithmetic | undefined): Arithmetic | undefined {
    if (operand === undefined || operator === '+') return operand;
    const known = UNARY[operator];
    if (known === undefined || (operand.hasRegister && known !== 'negate')) return undefined;
    return new Arithmetic(known, 0, operand);
  }

  static #binary(written: string, left: Arithmetic | undefined, right: Arithmetic | undefined): Arithmetic | undefined {
    const operator = SPELLINGS[written] ?? (BINARY.has(written) ? (written as Operator) : undefined);
    if (left === undefined || right === undefined || operator === undefined) return undefined;
    if (left.hasRegister || right.hasRegister) {
      if (!LINEAR.has(operator)) return undefined;
      if (operator === '*' && left.holes.length + right.holes.length > 0) return undefined;
    }
    return new Arithmetic(operator, 0, left, right);
  }

  /** The value for these numbers in the holes; NaN where it has to be worked out otherwise. */
  evaluate(numbers: readonly number[]): number {
    const operator = this.#operator;
    if (operator === 'hole') return numbers[this.#number]!;
    if (operator === 'number') return this.#number;
    const a = this.#left!.evaluate(numbers);
    const b = this.#right === undefined ? 0 : this.#right.evaluate(numbers);
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.NaN;
    const value = calculate(operator, a, b);
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }
}

/** By the rules of evaluate.ts, for numbers for which they are the same in 64 bits and without bounds; NaN for others. */
function calculate(operator: Operator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case 'negate':
      return -a;
    case 'complement':
      return -1 - a;
    case 'not':
      return a === 0 ? 1 : 0;
    case '=':
      return a === b ? 1 : 0;
    case '!=':
      return a !== b ? 1 : 0;
    case '<':
      return a < b ? 1 : 0;
    case '<=':
      return a <= b ? 1 : 0;
    case '>':
      return a > b ? 1 : 0;
    case '>=':
      return a >= b ? 1 : 0;
    case '&&':
      return a !== 0 && b !== 0 ? 1 : 0;
    case '||':
      return a !== 0 || b !== 0 ? 1 : 0;
    case '&':
      return areSmall(a, b) ? a & b : Number.NaN;
    case '|':
      return areSmall(a, b) ? a | b : Number.NaN;
    case '^':
      return areSmall(a, b) ? a ^ b : Number.NaN;
    case '<<':
      return b >= 0 && b < 53 ? a * 2 ** b : Number.NaN;
    case '>>':
      return a >= 0 && b >= 0 && b < 53 ? Math.floor(a / 2 ** b) : Number.NaN;
    case '/':
      return a >= 0 && b > 0 ? Math.floor(a / b) : Number.NaN;
    case '%':
      return a >= 0 && b > 0 ? a % b : Number.NaN;
    default:
      throw new Error(`${operator} has no operands`);
  }
}

/** Within 32 bits with a sign, where JavaScript's operators give what those of 64 bits do. */
function areSmall(a: number, b: number): boolean {
  return (a | 0) === a && (b | 0) === b;
}
