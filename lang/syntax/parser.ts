/**
 * One preprocessed line of tokens → a statement. Rules are named as in the NASM manual (§3.1 layout of a source line, §3.2
 * pseudo-instructions, §3.3 effective addresses, §3.5 expressions). One token of lookahead decides everything; binary operators
 * are read flat and ordered by precedence afterwards, which costs one loop instead of eleven nested rules.
 */

import { EmbeddedActionsParser, EOF, type IRecognitionException, type TokenType } from 'chevrotain';
import type { Body, DataItem, Expression, Hints, Label, OperandSyntax } from './ast.ts';
import { SIZES, UNITS } from './keywords.ts';
import { parseFloatingPoint, parseNumber, stringBytes } from './literals.ts';
import { orderByPrecedence } from './precedence.ts';
import { MAX_NESTING, MAX_OPERATORS, refuseDeepNesting, SyntaxFault } from './syntax-fault.ts';
import * as t from './tokens.ts';
import { unicodeString } from './unicode-strings.ts';

/** What the parser reports of a line that does not parse, and the token it expects at the end of one. */
export type GrammarError = IRecognitionException;
export const END_OF_LINE = EOF;

/** A line that the grammar takes, in its parts. */
export interface ParsedLine {
  readonly label: Label | undefined;
  readonly times: Expression | undefined;
  readonly body: Body;
}

type Operation = Pick<Extract<Body, { kind: 'instruction' }>, 'mnemonic' | 'name' | 'at' | 'operands'>;
const NO_PREFIXES: readonly string[] = [];

type Alternatives<T> = { ALT: () => T }[];

/** Alternatives that use nothing of their rule are made once: made anew they were a sixth of all that the assembler allocated. */
export class NasmParser extends EmbeddedActionsParser {
  #bodies: Alternatives<Body> | undefined;
  #operands: Alternatives<Pick<OperandSyntax, 'expression' | 'memory'>> | undefined;
  #values: Alternatives<Expression> | undefined;
  #instructions: Alternatives<Body> | undefined;

  constructor() {
    super([...t.lexed, ...t.named], {
      maxLookahead: 1,
      skipValidations: true,
      recoveryEnabled: false,
      nodeLocationTracking: 'none',
    });
    this.performSelfAnalysis();
  }

  /** Parses a whole line; throws {@link SyntaxFault} or a chevrotain recognition error. */
  parseLine(tokens: t.Token[]): ParsedLine {
    return this.#all(tokens, () => this.line());
  }

  /** Parses tokens that must be one expression (`%if`, `%assign`, an attribute of a section). */
  parseExpression(tokens: t.Token[]): Expression {
    return this.#all(tokens, () => this.expression());
  }

  #all<T>(tokens: t.Token[], rule: () => T): T {
    if (tokens.length > MAX_NESTING) refuseDeepNesting(tokens);
    this.input = tokens;
    const result = rule();
    const error: IRecognitionException | undefined = this.errors[0];
    if (error !== undefined) throw error;
    return result;
  }

  readonly line = this.RULE('line', (): ParsedLine => {
    const label = this.OPTION(() => this.SUBRULE(this.label));
    const times = this.OPTION1(() => {
      this.CONSUME(t.Times);
      return this.SUBRULE(this.expression);
    });
    const body: Body = this.OPTION2(() => this.SUBRULE(this.body)) ?? { kind: 'none' };
    return { label, times, body };
  });

  readonly label = this.RULE('label', (): Label => {
    const at = this.CONSUME(t.Identifier);
    const colon = this.OPTION(() => this.CONSUME(t.Colon)) !== undefined;
    return { name: t.symbolName(at.image), at, colon };
  });

  readonly body = this.RULE('body', (): Body => {
    this.#bodies ??= [
      { ALT: () => this.SUBRULE(this.instruction) },
      { ALT: () => this.SUBRULE(this.data) },
      { ALT: () => this.SUBRULE(this.reserve) },
      { ALT: () => this.SUBRULE(this.equ) },
      { ALT: () => this.SUBRULE(this.incbin) },
      { ALT: () => this.SUBRULE(this.directive) },
      { ALT: () => this.SUBRULE(this.primitive) },
    ];
    return this.OR(this.#bodies);
  });

  readonly instruction = this.RULE('instruction', (): Body => {
    this.#instructions ??= [
      {
        ALT: (): Body => {
          const prefixes: t.Token[] = [];
          this.AT_LEAST_ONE(() => prefixes.push(this.CONSUME(t.Prefix)));
          // A prefix may stand alone on its line; the assembler then emits just its byte.
          const operation = this.OPTION(() => this.SUBRULE(this.operation));
          return this.ACTION((): Body => {
            const words = prefixes.map((prefix) => prefix.image.toLowerCase());
            return {
              kind: 'instruction',
              mnemonic: '',
              name: undefined,
              at: prefixes[0]!,
              operands: [],
              ...operation,
              prefixes: words,
            };
          });
        },
      },
      { ALT: (): Body => ({ kind: 'instruction', prefixes: NO_PREFIXES, ...this.SUBRULE1(this.operation) }) },
    ];
    return this.OR(this.#instructions);
  });

  readonly operation = this.RULE('operation', (): Operation => {
    const at = this.CONSUME(t.Mnemonic);
    const operands: OperandSyntax[] = [];
    this.MANY_SEP({ SEP: t.Comma, DEF: () => operands.push(this.SUBRULE(this.operand)) });
    return { mnemonic: this.ACTION(() => at.image.toLowerCase()), name: at, at, operands };
  });

  readonly operand = this.RULE('operand', (): OperandSyntax => {
    const first = this.LA(1);
    const hints = this.SUBRULE(this.hints);
    this.#operands ??= [
      { ALT: () => this.SUBRULE(this.memory) },
      { ALT: () => ({ expression: this.SUBRULE(this.expression) }) },
    ];
    const operand = this.OR(this.#operands);
    return { hints, ...operand, first, last: this.LA(0) };
  });

  readonly memory = this.RULE('memory', (): Pick<Required<OperandSyntax>, 'expression' | 'memory'> => {
    this.CONSUME(t.LeftBracket);
    const hints = this.SUBRULE(this.hints);
    let expression = this.SUBRULE(this.expression);
    const segment = this.OPTION(() => {
      const colon = this.CONSUME(t.Colon);
      const before = expression;
      expression = this.SUBRULE1(this.expression);
      return this.ACTION(() => segmentOf(before, colon));
    });
    this.CONSUME(t.RightBracket);
    return { expression, memory: { hints, segment } };
  });

  readonly hints = this.RULE('hints', (): Hints => {
    let hints: Hints = NO_HINTS;
    this.MANY(() => {
      const word = this.OR([{ ALT: () => this.CONSUME(t.Hint) }, { ALT: () => this.CONSUME(t.Prefix) }]);
      this.ACTION(() => {
        hints = { ...hints, ...hint(word) };
      });
    });
    return hints;
  });

  readonly data = this.RULE('data', (): Body => {
    const at = this.CONSUME(t.Data);
    const items = this.SUBRULE(this.items);
    return { kind: 'data', unit: this.ACTION(() => unit(at)), items, at };
  });

  readonly items = this.RULE('items', (): DataItem[] => {
    const items: DataItem[] = [];
    // NASM allows a comma behind the last item.
    items.push(this.SUBRULE(this.item));
    this.MANY(() => {
      this.CONSUME(t.Comma);
      this.OPTION(() => items.push(this.SUBRULE1(this.item)));
    });
    return items;
  });

  /** `?`, a value, `3 dup (1, 2)`, each with a size word in front of it if it has another size than the line's. */
  readonly item = this.RULE('item', (): DataItem => {
    const size = this.OPTION(() => this.CONSUME(t.Hint));
    const unit = this.ACTION(() => (size === undefined ? undefined : unitOf(size)));
    if (size !== undefined && this.LA(1).tokenType === t.LeftParen) {
      return { kind: 'repeat', count: undefined, items: this.SUBRULE(this.list), unit, at: size };
    }
    return this.OR([
      { ALT: (): DataItem => ({ kind: 'unset', unit, at: this.CONSUME(t.Question) }) },
      {
        ALT: (): DataItem => {
          const first = this.LA(1);
          const value = this.SUBRULE(this.expression);
          const last = this.LA(0);
          // A string in parentheses is a number, as it is in every other expression.
          const isNumber = value?.kind === 'string' && first.tokenType === t.LeftParen;
          const expression: Expression = isNumber
            ? { kind: 'unary', operator: '+', operand: value, at: value.at }
            : value;
          const at = this.OPTION1(() => this.CONSUME(t.Dup));
          if (at === undefined) return { kind: 'value', expression, unit, first, last };
          const isList = this.LA(1).tokenType === t.LeftParen;
          const items = isList ? this.SUBRULE1(this.list) : [this.SUBRULE(this.item)];
          return { kind: 'repeat', count: expression, items, unit, at };
        },
      },
    ]);
  });

  readonly list = this.RULE('list', (): DataItem[] => {
    this.CONSUME(t.LeftParen);
    const items = this.SUBRULE(this.items);
    this.CONSUME(t.RightParen);
    return items;
  });

  readonly reserve = this.RULE('reserve', (): Body => {
    const at = this.CONSUME(t.Reserve);
    const count = this.SUBRULE(this.expression);
    return { kind: 'reserve', unit: this.ACTION(() => unit(at)), count, at };
  });

  readonly equ = this.RULE('equ', (): Body => {
    const at = this.CONSUME(t.Equ);
    return { kind: 'equ', value: this.SUBRULE(this.expression), at };
  });

  readonly incbin = this.RULE('incbin', (): Body => {
    const at = this.CONSUME(t.Incbin);
    const file = this.CONSUME(t.Text);
    const values: Expression[] = [];
    this.MANY(() => {
      this.CONSUME(t.Comma);
      values.push(this.SUBRULE(this.expression));
    });
    return { kind: 'incbin', file, arguments: values, at };
  });

  readonly directive = this.RULE('directive', (): Body => this.#directiveNamed(this.CONSUME(t.Directive)));

  #directiveNamed(at: t.Token): Body {
    const words: t.Token[] = [];
    return this.ACTION(() => {
      while (this.LA(1).tokenType !== EOF && this.LA(1).tokenType !== t.RightBracket) {
        words.push(this.LA(1));
        this.SKIP_TOKEN();
      }
      return { kind: 'directive', name: at.image.toLowerCase(), words, at };
    });
  }

  /** `[section .text]`, the primitive form of a directive; some have no other (`[list -]`). */
  readonly primitive = this.RULE('primitive', (): Body => {
    this.CONSUME(t.LeftBracket);
    const body = this.OR([
      { ALT: () => this.SUBRULE(this.directive) },
      { ALT: () => this.#directiveNamed(this.CONSUME(t.Identifier)) },
    ]);
    this.CONSUME(t.RightBracket);
    return body;
  });

  readonly expression = this.RULE('expression', (): Expression => {
    const values: Expression[] = [];
    const operators: t.Token[] = [];
    values.push(this.SUBRULE(this.value));
    this.MANY(() => {
      operators.push(this.CONSUME(t.Binary));
      values.push(this.SUBRULE1(this.value));
    });
    const condition = this.ACTION(() => {
      const surplus = operators[MAX_OPERATORS];
      if (surplus !== undefined)
        throw new SyntaxFault(surplus, `an expression of more than ${MAX_OPERATORS} operators`);
      return orderByPrecedence(values, operators);
    });
    const conditional = this.OPTION((): Expression => {
      const at = this.CONSUME(t.Question);
      const then = this.SUBRULE(this.expression);
      this.CONSUME(t.Colon);
      const otherwise = this.SUBRULE1(this.expression);
      return { kind: 'conditional', condition, then, otherwise, at };
    });
    return conditional ?? condition;
  });

  readonly value: () => Expression = this.RULE('value', (): Expression => {
    this.#values ??= [
      { ALT: () => this.SUBRULE(this.signed) },
      { ALT: () => this.SUBRULE(this.parenthesis) },
      { ALT: () => this.SUBRULE(this.number) },
      { ALT: (): Expression => this.#string(this.CONSUME(t.Text)) },
      {
        ALT: (): Expression => {
          const at = this.CONSUME(t.Identifier);
          return { kind: 'symbol', name: t.symbolName(at.image), at };
        },
      },
      {
        ALT: (): Expression => {
          const at = this.CONSUME(t.Register);
          return { kind: 'register', name: at.image.toLowerCase(), at };
        },
      },
      { ALT: () => this.SUBRULE(this.transformed) },
      { ALT: (): Expression => ({ kind: 'here', at: this.CONSUME(t.Here) }) },
      { ALT: (): Expression => ({ kind: 'section-start', at: this.CONSUME(t.SectionStart) }) },
    ];
    const value = this.OR(this.#values);
    const wrt = this.OPTION((): Expression => {
      this.CONSUME(t.Wrt);
      const at = this.CONSUME1(t.Identifier);
      return { kind: 'wrt', value, base: at.image, at };
    });
    return wrt ?? value;
  });

  readonly signed = this.RULE('signed', (): Expression => {
    const at = this.CONSUME(t.Sign);
    const operand = this.SUBRULE(this.value);
    return { kind: 'unary', operator: at.image, operand, at };
  });

  readonly parenthesis = this.RULE('parenthesis', (): Expression => {
    this.CONSUME(t.LeftParen);
    const inner = this.SUBRULE(this.expression);
    this.CONSUME(t.RightParen);
    return inner;
  });

  /** `__?utf16?__('text')`; the parentheses may be left away. */
  readonly transformed = this.RULE('transformed', (): Expression => {
    const word = this.CONSUME(t.StringFunction);
    const isParenthesized = this.OPTION(() => this.CONSUME(t.LeftParen)) !== undefined;
    const at = this.CONSUME(t.Text);
    if (isParenthesized) this.CONSUME(t.RightParen);
    return this.ACTION((): Expression => {
      const bytes = unicodeString(word.image, stringBytes(at.image));
      if (bytes === undefined) throw new SyntaxFault(at, `\`${word.image}\` takes a string of UTF-8 text`);
      return { kind: 'string', bytes, at };
    });
  });

  readonly number = this.RULE('number', (): Expression => {
    const at = this.CONSUME(t.Numeral);
    return this.ACTION((): Expression => {
      const value = parseNumber(at.image);
      if (value !== undefined) return { kind: 'number', value, at };
      const float = parseFloatingPoint(at.image);
      if (float !== undefined) return { kind: 'float', value: float, at };
      throw new SyntaxFault(at, `\`${at.image}\` is not a number`);
    });
  });

  #string(at: t.Token): Expression {
    return this.ACTION((): Expression => ({ kind: 'string', bytes: stringBytes(at.image), at }));
  }
}

const NO_HINTS: Hints = {};

function hint(word: t.Token): Hints {
  const name = word.image.toLowerCase();
  const width = SIZES[name];
  if (width !== undefined) return { width };
  switch (name) {
    case 'rel':
      return { relative: true };
    case 'abs':
      return { absolute: true };
    case 'short':
    case 'near':
    case 'far':
    case 'strict':
    case 'nosplit':
      return { [name]: true };
    case 'a16':
    case 'a32':
    case 'a64':
      return { addressWidth: Number(name.slice(1)) as 16 | 32 | 64 };
    default:
      throw new SyntaxFault(word, `\`${word.image}\` is a prefix; it stands in front of an instruction`);
  }
}

function unitOf(word: t.Token): number {
  const width = SIZES[word.image.toLowerCase()];
  if (width !== undefined) return width / 8;
  throw new SyntaxFault(word, `\`${word.image}\` is no size of data`);
}

function segmentOf(before: Expression, colon: t.Token): t.Token {
  if (before.kind === 'register') return before.at;
  throw new SyntaxFault(colon, 'only a segment register may stand before `:` in an address');
}

function unit(word: t.Token): number {
  return UNITS[word.image.at(-1)!.toLowerCase()]!;
}

/** The parser is built once, at first use. */
let parser: NasmParser | undefined;
export function nasmParser(): NasmParser {
  parser ??= new NasmParser();
  return parser;
}

/** Types that may follow a label without a colon. */
export const STARTS_BODY: ReadonlySet<TokenType> = new Set([
  t.Mnemonic,
  t.Prefix,
  t.Data,
  t.Reserve,
  t.Times,
  t.Equ,
  t.Incbin,
]);
