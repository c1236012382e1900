/** Tokens being put together from several places: keeps the blanks between them right and joins words that touch (`%+`, `label_%1`). */

import { spaced, spanOf, tokensOf, touches } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { ExpansionFault, MAX_TOKENS } from './expansion-fault.ts';

/** Names whose tokens stand for a macro call: plain identifiers and, behind a second expansion, words the parser already typed. */
export function isName(token: t.Token): boolean {
  return token.tokenType === t.Identifier || NAMES.has(token.tokenType);
}

const NAMES = new Set([
  t.Register,
  t.Mnemonic,
  t.Prefix,
  t.Hint,
  t.Data,
  t.Reserve,
  t.Times,
  t.Equ,
  t.Incbin,
  t.Directive,
  t.Dup,
  t.Wrt,
  t.Seg,
  t.StringFunction,
]);

export class TokenRun {
  readonly tokens: t.Token[] = [];
  /** True once two words became one, which may be the name of a macro. */
  joined = false;
  readonly #origin: Origin;
  #added = 0;
  /** What stands between the last token and the next: nothing said, a parameter's edge, or `%+`. */
  #seam: 'none' | 'soft' | 'hard' = 'none';

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** Appends a token as it was written, `glued` to what stood before it or not. */
  push(token: t.Token, glued: boolean): void {
    const left = this.tokens.at(-1);
    const seam = this.#seam;
    this.#seam = 'none';
    if (left === undefined) {
      this.tokens.push(token);
    } else if (seam === 'hard' || (seam === 'soft' && glued && pastes(left) && pastes(token))) {
      this.tokens.pop();
      const word = tokensOf(left.image + token.image, spanOf(left, token, this.#origin));
      const before = this.tokens.at(-1);
      const first = word[0]!;
      const gap = before !== undefined && touches(before, left);
      this.tokens.push(before === undefined ? first : spaced(first, gap), ...word.slice(1));
      this.joined = true;
    } else {
      this.tokens.push(touches(left, token) === glued ? token : spaced(token, glued));
    }
  }

  /** Appends what takes the place of a parameter or of another `%` form; words that touch it become one with it. */
  insert(tokens: readonly t.Token[], glued: boolean): void {
    if (this.#seam !== 'hard') this.#seam = 'soft';
    this.append(tokens, glued);
    if (tokens.length > 0) this.#seam = 'soft';
  }

  /** Appends tokens with the blanks they have among themselves. */
  append(tokens: readonly t.Token[], glued: boolean): void {
    this.#added += tokens.length;
    if (this.#added > MAX_TOKENS) {
      const first = tokens[0]!;
      throw new ExpansionFault(spanOf(first, first, this.#origin), 'macros make this line too long');
    }
    for (let i = 0; i < tokens.length; i++) {
      this.push(tokens[i]!, i === 0 ? glued : touches(tokens[i - 1]!, tokens[i]!));
    }
  }

  /** `%+`: the tokens on its sides become one word. */
  paste(): void {
    this.#seam = 'hard';
  }
}

function pastes(token: t.Token): boolean {
  return isName(token) || token.tokenType === t.Numeral;
}
