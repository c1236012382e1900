/**
 * Statements by the shape of their line. What the grammar makes of a line depends on the types of its tokens and on few of its words:
 * `add rax, [rbx+8]` reads as `mov rcx, [rdi+16]` does. The first line of a shape goes through the parser; the tree of every later one is
 * that tree with its own words in it. Measured: a long source has some hundred shapes.
 */

import type { Body, DataItem, Expression, Label, OperandSyntax } from './ast.ts';
import { parseNumber, stringBytes } from './literals.ts';
import type { ParsedLine } from './parser.ts';
import { type PreparedShapes, preparedShapes } from './prepared-shapes.ts';
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
/** Lines whose trees are of their own. */
const NEVER: ReadonlySet<t.Token['tokenType']> = new Set([
  t.Directive,
  t.Incbin,
  t.StringFunction,
  t.OpenString,
  t.Stray,
]);

/** The shape of a line; undefined where it goes to the parser anyway. */
export function shapeOf(tokens: readonly t.Token[]): string | undefined {
  const first = tokens[0]?.tokenType;
  if (first === t.Directive) return tokens.some(isRightBracket) ? undefined : directiveShape();
  return shapeOfPart(tokens, 0, tokens.length);
}

/** The same for the tokens from `start` up to `end`. */
export function shapeOfPart(tokens: readonly t.Token[], start: number, end: number): string | undefined {
  if (end - start > MOST_TOKENS) return undefined;
  let shape = '';
  for (let i = start; i < end; i++) {
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
const isRightBracket = ({ tokenType }: t.Token) => tokenType === t.RightBracket;

/** Of every line that begins with a directive: the words behind it have no grammar. */
const directiveShape = () => letter(t.Directive, t.Directive.tokenTypeIdx!);

/** One letter for each type, none of which a word holds. */
function letter(type: t.Token['tokenType'], index: number): string {
  if (type.tokenTypeIdx !== index) throw new Error(`the token type ${type.name} has two numbers`);
  return String.fromCharCode(0xe000 + index);
}

/** In the tree of a shape a token is a place: its number in the line. */
type Place = t.Token & { readonly place: number };

/** The trees of one of the grammar's rules. */
export class KnownShapes<T> {
  readonly #trees = new Map<string, T>();
  readonly #again: (tree: T, words: Words) => T;
  readonly #isKept: (tree: T, shape: string) => boolean;
  readonly #prepared: Readonly<Record<string, string>>;

  /** `again` makes the tree of a shape with other words; `isKept` is false of trees that it cannot make. */
  constructor(
    again: (tree: T, words: Words) => T,
    isKept: (tree: T, shape: string) => boolean,
    prepared: Readonly<Record<string, string>> = {},
  ) {
    this.#again = again;
    this.#isKept = isKept;
    this.#prepared = prepared;
  }

  /** The tree of a text of this shape, that begins at `start`; undefined where none is known, or the text has a number that is none. */
  tree(shape: string, tokens: readonly t.Token[], start = 0): T | undefined {
    const known = this.#trees.get(shape) ?? this.#fromPrepared(shape);
    if (known === undefined) return undefined;
    const words = new LineWords(tokens, start);
    const tree = this.#again(known, words);
    return words.areNumbers ? tree : undefined;
  }

  #fromPrepared(shape: string): T | undefined {
    const text = this.#prepared[shape];
    if (text === undefined) return undefined;
    const tree = JSON.parse(text) as T;
    this.#trees.set(shape, tree);
    return tree;
  }

  /** Keeps what the parser made of a line of {@link distinct} tokens. */
  keep(shape: string, tokens: readonly t.Token[], tree: T): void {
    if (this.#trees.size >= MOST_SHAPES || !this.#isKept(tree, shape)) return;
    const places = new LinePlaces(tokens);
    const kept = this.#again(tree, places);
    if (places.areNumbers) this.#trees.set(shape, kept);
  }

  /** What is known, for {@link recordedShapes}. */
  record(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#trees].map(([shape, tree]) => [shape, JSON.stringify(tree, placesAlone)]));
  }
}

/** Values come from the words of the line; of a place its number is enough. */
function placesAlone(_: string, value: unknown): unknown {
  if (typeof value === 'bigint' || value instanceof Uint8Array) return undefined;
  const place = (value as Partial<Place> | null)?.place;
  return place === undefined ? value : { place };
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

/** What takes the places of a tree's tokens. */
abstract class Words {
  /** False once a number of the line was no integer: what it is worth, its type does not tell. */
  areNumbers = true;

  abstract at(token: t.Token): t.Token;
  /** All behind the token, which begins its line. */
  abstract behind(token: t.Token): readonly t.Token[];

  number(at: t.Token): bigint {
    const value = parseNumber(at.image);
    if (value === undefined) this.areNumbers = false;
    return value ?? 0n;
  }
}

/** The tokens of a line, for the tree of its shape. */
class LineWords extends Words {
  readonly #tokens: readonly t.Token[];
  readonly #start: number;

  constructor(tokens: readonly t.Token[], start: number) {
    super();
    this.#tokens = tokens;
    this.#start = start;
  }

  at(token: t.Token): t.Token {
    return this.#tokens[this.#start + (token as Place).place]!;
  }

  behind(): readonly t.Token[] {
    return this.#tokens.slice(1);
  }
}

/** The places of a line's tokens, for the tree that the parser made of it. */
class LinePlaces extends Words {
  readonly #places: ReadonlyMap<t.Token, Place>;

  constructor(tokens: readonly t.Token[]) {
    super();
    this.#places = new Map(tokens.map((token, place) => [token, { image: token.image, place } as Place]));
  }

  at(token: t.Token): t.Token {
    const place = this.#places.get(token);
    if (place === undefined) throw new Error(`\`${token.image}\` is no token of its line`);
    return place;
  }

  behind(): readonly t.Token[] {
    return [];
  }
}

/** Names and numbers of all token types: what the letters of a shape mean. */
export function vocabulary(): string {
  return [...t.lexed, ...t.named].map((type) => `${type.name} ${type.tokenTypeIdx}`).join();
}

let statements: KnownShapes<ParsedLine> | undefined;
let expressions: KnownShapes<Expression> | undefined;
let operands: KnownShapes<OperandSyntax> | undefined;

/** Statements by their shapes, of all sources of the process. Only where a line begins with a directive are its words known. */
export function statementShapes(): KnownShapes<ParsedLine> {
  statements ??= new KnownShapes<ParsedLine>(
    lineAgain,
    isStatementKept,
    areForUs(preparedShapes) ? preparedShapes.statements : {},
  );
  return statements;
}

/** Expressions by their shapes, of all sources of the process. */
export function expressionShapes(): KnownShapes<Expression> {
  expressions ??= new KnownShapes<Expression>(
    expressionAgain,
    () => true,
    areForUs(preparedShapes) ? preparedShapes.expressions : {},
  );
  return expressions;
}

/** Operands of instructions by their shapes, of all sources of the process. */
export function operandShapes(): KnownShapes<OperandSyntax> {
  operands ??= new KnownShapes<OperandSyntax>(
    operandAgain,
    () => true,
    areForUs(preparedShapes) ? preparedShapes.operands : {},
  );
  return operands;
}

/** False of trees that hold more than places of tokens, and of instructions, whose parts are kept. */
export function isStatementKept({ times, body }: ParsedLine, shape: string): boolean {
  if (body.kind === 'instruction' && body.name !== undefined && times === undefined) return false;
  return body.kind !== 'incbin' && (body.kind !== 'directive' || shape === directiveShape());
}

const areForUs = (prepared: PreparedShapes): boolean => prepared.vocabulary === vocabulary();

/** For the build: the shapes of the sources read so far, see {@link preparedShapes}. */
export function recordedShapes(): PreparedShapes {
  return {
    vocabulary: vocabulary(),
    statements: statementShapes().record(),
    expressions: expressionShapes().record(),
    operands: operandShapes().record(),
  };
}

/** A statement with other words. */
export function lineAgain({ label, times, body }: ParsedLine, words: Words): ParsedLine {
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
    case 'directive': {
      const at = words.at(body.at);
      return { kind: 'directive', name: at.image.toLowerCase(), words: words.behind(at), at };
    }
    case 'incbin':
      throw new Error(`a line with \`${body.at.image}\` has no shape`);
  }
}

export function operandAgain({ hints, expression, memory, first, last }: OperandSyntax, words: Words): OperandSyntax {
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
      words.areNumbers = false;
      return expression;
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
