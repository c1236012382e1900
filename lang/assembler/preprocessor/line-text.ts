/** A line of tokens as text, for a listing and for the output of the preprocessor alone. */

import { type SourceLine, textOf } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';

/** A line as NASM writes it out of its tokens: blanks become one, comments go, indentation stays as one blank. */
export function lineText({ tokens, origin }: SourceLine): string {
  return (startsIndented(tokens[0]!, origin) ? ' ' : '') + textOf(tokens);
}

function startsIndented(first: Token, line: Origin): boolean {
  const { text } = (first.origin ?? line).file;
  return /[ \t\f\v]/.test(text[first.startOffset - 1] ?? '');
}
