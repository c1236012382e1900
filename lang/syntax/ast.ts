/**
 * What a source line says, as a tree. Nodes keep the tokens they came from, so that a place is computed only for a message.
 */

import { spanOf } from './lexer.ts';
import type { Origin, Span } from './source.ts';
import type { Token } from './tokens.ts';

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint; readonly at: Token }
  | { readonly kind: 'float'; readonly value: number; readonly at: Token }
  | { readonly kind: 'string'; readonly bytes: Uint8Array; readonly at: Token }
  | { readonly kind: 'symbol'; readonly name: string; readonly at: Token }
  | { readonly kind: 'register'; readonly name: string; readonly at: Token }
  /** `$` */
  | { readonly kind: 'here'; readonly at: Token }
  /** `$$` */
  | { readonly kind: 'section-start'; readonly at: Token }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression; readonly at: Token }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
      readonly at: Token;
    }
  | {
      readonly kind: 'conditional';
      readonly condition: Expression;
      readonly then: Expression;
      readonly otherwise: Expression;
      readonly at: Token;
    }
  /** `symbol wrt ..plt` */
  | { readonly kind: 'wrt'; readonly value: Expression; readonly base: string; readonly at: Token };

/** Size words in bits; `short` and `near` belong to branches. */
export interface Hints {
  readonly width?: 8 | 16 | 32 | 64 | 80 | 128 | 256 | 512;
  readonly strict?: boolean;
  readonly short?: boolean;
  readonly near?: boolean;
  readonly far?: boolean;
  readonly relative?: boolean;
  readonly absolute?: boolean;
  readonly nosplit?: boolean;
  readonly addressWidth?: 16 | 32 | 64;
}

export interface OperandSyntax {
  /** Written before the operand or the bracket. */
  readonly hints: Hints;
  readonly expression: Expression;
  readonly memory?: { readonly hints: Hints; readonly segment: Token | undefined };
  readonly first: Token;
  readonly last: Token;
}

/** One item of `db` and its kin; `unit` is set where a size word in front of it says another (`dd 1, word 2`). */
export type DataItem =
  | {
      readonly kind: 'value';
      readonly expression: Expression;
      readonly unit: number | undefined;
      readonly first: Token;
      readonly last: Token;
    }
  /** `?`: room that is not initialised (zero in a section with contents). */
  | { readonly kind: 'unset'; readonly unit: number | undefined; readonly at: Token }
  /** `3 dup (1, 2)`; without a count a list that only shares its size. */
  | {
      readonly kind: 'repeat';
      readonly count: Expression | undefined;
      readonly items: readonly DataItem[];
      readonly unit: number | undefined;
      readonly at: Token;
    };

export interface Label {
  readonly name: string;
  readonly at: Token;
  readonly colon: boolean;
}

export type Body =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'instruction';
      readonly prefixes: readonly string[];
      readonly mnemonic: string;
      /** The mnemonic's token; undefined where prefixes stand alone. */
      readonly name: Token | undefined;
      readonly at: Token;
      readonly operands: readonly OperandSyntax[];
    }
  /** `unit` in bytes. */
  | { readonly kind: 'data'; readonly unit: number; readonly items: readonly DataItem[]; readonly at: Token }
  | { readonly kind: 'reserve'; readonly unit: number; readonly count: Expression; readonly at: Token }
  | { readonly kind: 'equ'; readonly value: Expression; readonly at: Token }
  | { readonly kind: 'incbin'; readonly file: Token; readonly arguments: readonly Expression[]; readonly at: Token }
  /** `section`, `global` …: the words behind it, as each directive has its own syntax. */
  | { readonly kind: 'directive'; readonly name: string; readonly words: readonly Token[]; readonly at: Token };

/** First and last token of an expression, outer parentheses apart. */
export function bounds(expression: Expression): [Token, Token] {
  switch (expression.kind) {
    case 'unary':
      return [expression.at, bounds(expression.operand)[1]];
    case 'binary':
      return [bounds(expression.left)[0], bounds(expression.right)[1]];
    case 'conditional':
      return [bounds(expression.condition)[0], bounds(expression.otherwise)[1]];
    case 'wrt':
      return [bounds(expression.value)[0], expression.at];
    default:
      return [expression.at, expression.at];
  }
}

/** Place of an expression in a line of this origin. */
export function expressionSpan(expression: Expression, origin: Origin): Span {
  const [first, last] = bounds(expression);
  return spanOf(first, last, origin);
}
