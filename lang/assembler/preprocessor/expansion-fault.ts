/** What ends an expansion early, and the bound on what one line may grow to. */

import type { Span } from '../../syntax/source.ts';

/** Tokens that macros may put into one line, and bytes that a string may be joined to. */
export const MAX_TOKENS = 200_000;
export const MAX_STRING = 1 << 20;

/** A macro whose expansion does not end within bounds, or a call that cannot be read. */
export class ExpansionFault extends Error {
  readonly span: Span;
  constructor(span: Span, message: string) {
    super(message);
    this.span = span;
  }
}
