/** Faults that the syntax names itself, and the bounds that keep the parser's recursion off the end of the stack. */

import * as t from './tokens.ts';

/** A lexical or grammatical fault that the grammar's own error does not name better. */
export class SyntaxFault extends Error {
  readonly token: t.Token;
  constructor(token: t.Token, message: string) {
    super(message);
    this.token = token;
  }
}

/** Rules call each other once a level, and the stack of the machine has an end. */
export const MAX_NESTING = 200;
export const MAX_OPERATORS = 4000;

/** Throws where parentheses, conditionals and signs stand deeper in each other than the parser may go. */
export function refuseDeepNesting(tokens: readonly t.Token[]): void {
  let [parentheses, conditionals, signs] = [0, 0, 0];
  for (const token of tokens) {
    const type = token.tokenType;
    signs = type === t.Plus || type === t.Minus || type === t.Tilde || type === t.Bang ? signs + 1 : 0;
    if (type === t.LeftParen) parentheses++;
    else if (type === t.RightParen) parentheses--;
    else if (type === t.Question) conditionals++;
    // In data `?` is an item, not an operator.
    else if (type === t.Comma) conditionals = 0;
    if (parentheses + conditionals + signs > MAX_NESTING) {
      throw new SyntaxFault(token, 'this expression is nested too deeply');
    }
  }
}
