/**
 * Numeric blocks of a pattern, `[[#%x,ADDRESS:==BASE+4]]`, with FileCheck's grammar: an optional format, an optional variable
 * that the match defines, an optional expression that the matched number has to equal. Values are integers of any size.
 */

import { CheckFault } from './fault.ts';

/** How a number is written: FileCheck's `%u`, `%d`, `%x`, `%X`, with `#` for 0x and `.N` for at least N digits. */
export interface NumberFormat {
  readonly conversion: 'u' | 'd' | 'x' | 'X';
  readonly alternate: boolean;
  readonly precision: number;
}

/** Value of a numeric variable, and the format it was read in: an expression that names no format takes it. */
export interface NumericValue {
  readonly value: bigint;
  readonly format: NumberFormat;
}

export type Expression =
  | { readonly kind: 'literal'; readonly value: bigint }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly operands: readonly Expression[] };

export interface NumericBlock {
  readonly format: NumberFormat | undefined;
  /** Variable that takes the matched number. */
  readonly defines: string | undefined;
  readonly expression: Expression | undefined;
}

const DECIMAL: NumberFormat = { conversion: 'u', alternate: false, precision: 0 };

const functions: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => {
    if (b === 0n) throw new CheckFault('division by zero in a numeric expression');
    return a / b;
  },
  min: (a, b) => (a < b ? a : b),
  max: (a, b) => (a > b ? a : b),
};

/** Read what stands between `[[#` and `]]`. */
export function parseNumericBlock(text: string): NumericBlock {
  let rest = text.trim();
  let format: NumberFormat | undefined;
  const written = /^%(#?)(?:\.(\d+))?([a-zA-Z]?)\s*(,|$)/.exec(rest);
  if (rest.startsWith('%')) {
    if (written === null || !/^[udxX]$/.test(written[3]!))
      throw new CheckFault(`invalid number format in '[[#${text}]]': %u, %d, %x and %X are known, with # and .DIGITS`);
    const conversion = written[3] as NumberFormat['conversion'];
    if (written[1] === '#' && (conversion === 'u' || conversion === 'd'))
      throw new CheckFault(`'#' asks for 0x, which %${conversion} has not, in '[[#${text}]]'`);
    format = { conversion, alternate: written[1] === '#', precision: Number(written[2] ?? 0) };
    rest = rest.slice(written[0].length).trim();
  }
  let defines: string | undefined;
  const definition = /^(\$?[A-Za-z_]\w*)\s*:/.exec(rest);
  if (definition !== null) {
    defines = definition[1]!;
    rest = rest.slice(definition[0].length).trim();
  }
  if (rest.startsWith('==')) rest = rest.slice(2).trim();
  return { format, defines, expression: rest === '' ? undefined : new ExpressionParser(rest, text).parse() };
}

class ExpressionParser {
  readonly #text: string;
  readonly #whole: string;
  #at = 0;

  constructor(text: string, whole: string) {
    this.#text = text;
    this.#whole = whole;
  }

  parse(): Expression {
    const expression = this.#sum();
    if (this.#at < this.#text.length) this.#fail(`unexpected '${this.#text.slice(this.#at)}'`);
    return expression;
  }

  #sum(): Expression {
    let left = this.#operand();
    for (;;) {
      const sign = this.#take(/[+-]/y);
      if (sign === undefined) return left;
      left = { kind: 'call', name: sign === '+' ? 'add' : 'sub', operands: [left, this.#operand()] };
    }
  }

  #operand(): Expression {
    if (this.#take(/\(/y) !== undefined) {
      const inner = this.#sum();
      this.#expect(')');
      return inner;
    }
    const number = this.#take(/-?(?:0x[0-9a-fA-F]+|\d+)/y);
    if (number !== undefined)
      return { kind: 'literal', value: number.startsWith('-') ? -BigInt(number.slice(1)) : BigInt(number) };
    const name = this.#take(/@LINE|\$?[A-Za-z_]\w*/y);
    if (name === undefined) return this.#fail('a number, a variable or a function is missing');
    if (this.#take(/\(/y) === undefined) return { kind: 'variable', name };
    if (!(name in functions)) this.#fail(`there is no function '${name}', only ${Object.keys(functions).join(', ')}`);
    const first = this.#sum();
    this.#expect(',');
    const second = this.#sum();
    this.#expect(')');
    return { kind: 'call', name, operands: [first, second] };
  }

  #take(pattern: RegExp): string | undefined {
    while (this.#text[this.#at] === ' ') this.#at++;
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match[0];
  }

  #expect(character: string): void {
    if (this.#take(new RegExp(`\\${character}`, 'y')) === undefined) this.#fail(`'${character}' is missing`);
  }

  #fail(reason: string): never {
    throw new CheckFault(`in '[[#${this.#whole}]]': ${reason}`);
  }
}

/** Value of an expression; `look` gives variables. */
export function evaluate(expression: Expression, look: (name: string) => NumericValue | undefined): bigint {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'variable': {
      const found = look(expression.name);
      if (found === undefined) throw new CheckFault(`undefined variable: ${expression.name}`);
      return found.value;
    }
    case 'call': {
      const [a, b] = expression.operands.map((operand) => evaluate(operand, look));
      return functions[expression.name]!(a!, b!);
    }
  }
}

/** Format of an expression that names none: that of its variables, which have to agree. */
export function implicitFormat(
  expression: Expression | undefined,
  look: (name: string) => NumericValue | undefined,
): NumberFormat {
  const formats = expression === undefined ? [] : variablesOf(expression).flatMap((name) => look(name)?.format ?? []);
  const [first] = formats;
  if (first === undefined) return DECIMAL;
  const other = formats.find(
    ({ conversion, alternate }) => conversion !== first.conversion || alternate !== first.alternate,
  );
  if (other !== undefined) {
    throw new CheckFault(
      `the variables of the expression have different formats, %${first.conversion} and %${other.conversion}: name one`,
    );
  }
  return first;
}

function variablesOf(expression: Expression): string[] {
  if (expression.kind === 'variable') return expression.name === '@LINE' ? [] : [expression.name];
  return expression.kind === 'call' ? expression.operands.flatMap(variablesOf) : [];
}

/** A regular expression for any number in `format`. */
export function anyNumber({ conversion, alternate, precision }: NumberFormat): string {
  const digits = { u: '0-9', d: '0-9', x: '0-9a-f', X: '0-9A-F' }[conversion];
  const leading = digits.replace('0-', '1-');
  const body = precision === 0 ? `[${digits}]+` : `(?:[${leading}][${digits}]*)?[${digits}]{${precision}}`;
  return `${conversion === 'd' ? '-?' : ''}${alternate ? '0x' : ''}${body}`;
}

/** `value` as `format` writes it. */
export function writeNumber(value: bigint, { conversion, alternate, precision }: NumberFormat): string {
  if (value < 0n && conversion !== 'd')
    throw new CheckFault(`the expression is ${value}, which %${conversion} cannot write`);
  const magnitude = value < 0n ? -value : value;
  const digits = magnitude.toString(conversion === 'x' || conversion === 'X' ? 16 : 10).padStart(precision, '0');
  const cased = conversion === 'X' ? digits.toUpperCase() : digits;
  return `${value < 0n ? '-' : ''}${alternate ? '0x' : ''}${cased}`;
}

/** The number that `text`, matched by {@link anyNumber}, stands for. */
export function readNumber(text: string, { conversion }: NumberFormat): bigint {
  const magnitude = text.replace(/^-/, '').replace(/^0x/, '');
  const value = BigInt(conversion === 'x' || conversion === 'X' ? `0x${magnitude}` : magnitude);
  return text.startsWith('-') ? -value : value;
}
