/** A line of tokens as text, for a listing and for the output of the preprocessor alone. */

import { endOf, type SourceLine, textOf } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import { MacroBrace, type Token } from '../../syntax/tokens.ts';

/**
 * A line as NASM writes it out of its tokens: blanks become one, comments go, indentation stays as one blank; a parameter has no braces
 * (`%{1}`).
 */
export function lineText({ tokens, origin }: SourceLine): string {
  return (startsIndented(tokens[0]!, origin) ? ' ' : '') + textOf(tokens.map(bare));
}

function bare(token: Token): Token {
  if (token.tokenType !== MacroBrace) return token;
  return { ...token, image: `%${token.image.slice(2, -1)}`, endOffset: endOf(token) - 1 };
}

function startsIndented(first: Token, line: Origin): boolean {
  const { text } = (first.origin ?? line).file;
  return /[ \t\f\v]/.test(text[first.startOffset - 1] ?? '');
}
