/** Tokens back to text, for a listing and for the output of the preprocessor alone: one blank where the source had any. */

import { endOf, type SourceLine } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';

/** A line as NASM writes it out of its tokens: blanks become one, comments go, indentation stays as one blank. */
export function lineText({ tokens, origin }: SourceLine): string {
  let text = startsIndented(tokens[0]!, origin) ? ' ' : '';
  let before: t.Token | undefined;
  for (const token of tokens) {
    if (before !== undefined && hasBlank(before, token, origin)) text += ' ';
    text += token.image;
    before = token;
  }
  return text;
}

function startsIndented(first: t.Token, line: Origin): boolean {
  const { text } = (first.origin ?? line).file;
  return /[ \t\f\v]/.test(text[first.startOffset - 1] ?? '');
}

const TIGHT_BEFORE: ReadonlySet<unknown> = new Set([t.Comma, t.Colon, t.RightBracket, t.RightParen]);
const TIGHT_AFTER: ReadonlySet<unknown> = new Set([t.LeftBracket, t.LeftParen, t.Colon]);

/** Tokens of one place stand as they did there; where a macro brought them together, as one would write them. */
function hasBlank(before: t.Token, token: t.Token, line: Origin): boolean {
  const gap = token.startOffset - endOf(before);
  if ((before.origin ?? line) === (token.origin ?? line) && gap >= 0) return gap > 0;
  return !TIGHT_BEFORE.has(token.tokenType) && !TIGHT_AFTER.has(before.tokenType);
}
