/**
 * Statements by the shape of their line. What the grammar makes of a line depends on the types of its tokens and on few of its words:
 * `add rax, [rbx+8]` reads as `mov rcx, [rdi+16]` does. The first line of a shape goes through the parser; the tree of every later one is
 * that tree with its own words in it. Measured: a long source has some hundred shapes.
 */

import type { Body, DataItem, Expression, Label, OperandSyntax } from './ast.ts';
import { parseNumber, stringBytes } from './literals.ts';
import type { ParsedLine } from './parser.ts';
import * as t from './tokens.ts';

/** Longer lines are rare and mostly data, no two of one length. */
const MOST_TOKENS = 48;
const MOST_SHAPES = 4000;

/** Types whose word the grammar copies into the tree and does not look at. */
const OPEN: ReadonlySet<t.Token['tokenType']> = new Set([t.Identifier, t.Register, t.Numeral, t.Text, t.Mnemonic]);
/** Types that several words share and whose word decides what the tree is. */
const TOLD_BY_WORD: ReadonlySet<t.Token['tokenType']> = new Set([
  t.Prefix,
  t.Hint,
  t.Data,
  t.Reserve,
  t.Equal,
  t.NotEqual,
  t.ShiftLeft,
  t.ShiftRight,
]);
/** What the parser does with these lines is not all in their tree, or it is little. */
const NEVER: ReadonlySet<t.Token['tokenType']> = new Set([
  t.Directive,
  t.Incbin,
  t.StringFunction,
  t.OpenString,
  t.Stray,
]);

/** The shape of a line; undefined where it goes to the parser anyway. */
export function shapeOf(tokens: readonly t.Token[]): string | undefined {
  if (tokens.length > MOST_TOKENS) return undefined;
  let shape = '';
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const type = token.tokenType;
    shape += LETTERS[token.tokenTypeIdx] ??= letter(type, token.tokenTypeIdx);
    if (OPEN.has(type)) continue;
    if (NEVER.has(type)) return undefined;
    if (TOLD_BY_WORD.has(type)) shape += token.image;
  }
  return shape;
}

const LETTERS: string[] = [];

/** One letter for each type, none of which a word holds. */
function letter(type: t.Token['tokenType'], index: number): string {
  if (type.tokenTypeIdx !== index) throw new Error(`the token type ${type.name} has two numbers`);
  return String.fromCharCode(0xe000 + index);
}

/** A tree that the parser made, with the number of each of its tokens in the line. */
interface Model<T> {
  readonly tree: T;
  readonly numbers: ReadonlyMap<t.Token, number>;
}

/** The trees of one of the grammar's rules. */
export class KnownShapes<T> {
  readonly #models = new Map<string, Model<T>>();
  readonly #again: (tree: T, words: Words) => T;
  readonly #isKept: (tree: T) => boolean;

  /** `again` makes the tree of a model with other words; `isKept` is false of trees that it cannot make. */
  constructor(again: (tree: T, words: Words) => T, isKept: (tree: T) => boolean = () => true) {
    this.#again = again;
    this.#isKept = isKept;
  }

  /** The tree of a line of this shape; undefined where none is known, or the line has a number that is none. */
  tree(shape: string, tokens: readonly t.Token[]): T | undefined {
    const model = this.#models.get(shape);
    if (model === undefined) return undefined;
    const words = new Words(tokens, model.numbers);
    const tree = this.#again(model.tree, words);
    return words.areNumbers ? tree : undefined;
  }

  /** Keeps what the parser made of a line of {@link distinct} tokens. */
  keep(shape: string, tokens: readonly t.Token[], tree: T): void {
    if (this.#models.size >= MOST_SHAPES || !this.#isKept(tree)) return;
    const numbers = new Map<t.Token, number>();
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token.tokenType === t.Numeral && parseNumber(token.image) === undefined) return;
      numbers.set(token, i);
    }
    this.#models.set(shape, { tree, numbers });
  }
}

/** The tokens, none of them twice: a macro's argument may stand in a line several times as one token. */
export function distinct(tokens: readonly t.Token[]): t.Token[] {
  const seen = new Set<t.Token>();
  return tokens.map((token) => {
    const own = seen.has(token) ? { ...token } : token;
    seen.add(own);
    return own;
  });
}

/** The tokens of a line that has the shape of another. */
class Words {
  /** False once a number of the line was none of those that an integer is written as. */
  areNumbers = true;
  readonly #tokens: readonly t.Token[];
  readonly #numbers: ReadonlyMap<t.Token, number>;

  constructor(tokens: readonly t.Token[], numbers: ReadonlyMap<t.Token, number>) {
    this.#tokens = tokens;
    this.#numbers = numbers;
  }

  /** What stands where `token` stood in the line of the model. */
  at(token: t.Token): t.Token {
    return this.#tokens[this.#numbers.get(token)!]!;
  }

  number(at: t.Token): bigint {
    const value = parseNumber(at.image);
    if (value === undefined) this.areNumbers = false;
    return value ?? 0n;
  }
}

/** Statements by their shapes. The words of a directive have no grammar. */
export function statementShapes(): KnownShapes<ParsedLine> {
  return new KnownShapes(lineAgain, ({ body }) => body.kind !== 'directive' && body.kind !== 'incbin');
}

/** Expressions by their shapes. */
export function expressionShapes(): KnownShapes<Expression> {
  return new KnownShapes(expressionAgain);
}

function lineAgain({ label, times, body }: ParsedLine, words: Words): ParsedLine {
  return {
    label: label === undefined ? undefined : labelAgain(label, words),
    times: times === undefined ? undefined : expressionAgain(times, words),
    body: bodyAgain(body, words),
  };
}

function labelAgain({ at, colon }: Label, words: Words): Label {
  const token = words.at(at);
  return { name: t.symbolName(token.image), at: token, colon };
}

function bodyAgain(body: Body, words: Words): Body {
  switch (body.kind) {
    case 'none':
      return body;
    case 'instruction': {
      const operands: OperandSyntax[] = [];
      for (const operand of body.operands) operands.push(operandAgain(operand, words));
      const { prefixes, mnemonic, name } = body;
      if (name === undefined) return { kind: 'instruction', prefixes, mnemonic, name, at: words.at(body.at), operands };
      const word = words.at(name);
      return {
        kind: 'instruction',
        prefixes,
        mnemonic: word.image.toLowerCase(),
        name: word,
        at: words.at(body.at),
        operands,
      };
    }
    case 'data':
      return { kind: 'data', unit: body.unit, items: itemsAgain(body.items, words), at: words.at(body.at) };
    case 'reserve':
      return {
        kind: 'reserve',
        unit: body.unit,
        count: expressionAgain(body.count, words),
        at: words.at(body.at),
      };
    case 'equ':
      return { kind: 'equ', value: expressionAgain(body.value, words), at: words.at(body.at) };
    case 'incbin':
    case 'directive':
      throw new Error(`a line with \`${body.at.image}\` has no shape`);
  }
}

function operandAgain({ hints, expression, memory, first, last }: OperandSyntax, words: Words): OperandSyntax {
  const again = {
    hints,
    expression: expressionAgain(expression, words),
    first: words.at(first),
    last: words.at(last),
  };
  if (memory === undefined) return again;
  const { segment } = memory;
  return {
    ...again,
    memory: { hints: memory.hints, segment: segment === undefined ? undefined : words.at(segment) },
  };
}

function itemsAgain(items: readonly DataItem[], words: Words): DataItem[] {
  return items.map((item) => itemAgain(item, words));
}

function itemAgain(item: DataItem, words: Words): DataItem {
  switch (item.kind) {
    case 'unset':
      return { kind: 'unset', unit: item.unit, at: words.at(item.at) };
    case 'value': {
      const { expression, unit, first, last } = item;
      return {
        kind: 'value',
        expression: expressionAgain(expression, words),
        unit,
        first: words.at(first),
        last: words.at(last),
      };
    }
    case 'repeat': {
      const { count, items, unit, at } = item;
      return {
        kind: 'repeat',
        count: count === undefined ? undefined : expressionAgain(count, words),
        items: itemsAgain(items, words),
        unit,
        at: words.at(at),
      };
    }
  }
}

function expressionAgain(expression: Expression, words: Words): Expression {
  const at = words.at(expression.at);
  switch (expression.kind) {
    case 'number':
      return { kind: 'number', value: words.number(at), at };
    case 'float':
      throw new Error(`a line with \`${at.image}\` has no shape`);
    case 'string':
      return { kind: 'string', bytes: stringBytes(at.image), at };
    case 'symbol':
      return { kind: 'symbol', name: t.symbolName(at.image), at };
    case 'register':
      return { kind: 'register', name: at.image.toLowerCase(), at };
    case 'here':
      return { kind: 'here', at };
    case 'section-start':
      return { kind: 'section-start', at };
    case 'unary':
      return {
        kind: 'unary',
        operator: expression.operator,
        operand: expressionAgain(expression.operand, words),
        at,
      };
    case 'binary':
      return {
        kind: 'binary',
        operator: expression.operator,
        left: expressionAgain(expression.left, words),
        right: expressionAgain(expression.right, words),
        at,
      };
    case 'conditional': {
      const condition = expressionAgain(expression.condition, words);
      const [yes, no] = [expressionAgain(expression.then, words), expressionAgain(expression.otherwise, words)];
      // biome-ignore lint/suspicious/noThenProperty: the grammar's own node, which nothing awaits.
      return { kind: 'conditional', condition, then: yes, otherwise: no, at };
    }
    case 'wrt':
      // `at` is the name of the base.
      return { kind: 'wrt', value: expressionAgain(expression.value, words), base: at.image, at };
  }
}
