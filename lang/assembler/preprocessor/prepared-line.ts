/** What the preprocessor gives. */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { KnownCall } from './call-memory.ts';
import type { SharedLine } from './line-template.ts';

/** A line for the parser; `shared` where it is the same in other calls of its macro. */
export interface PreparedLine extends SourceLine {
  readonly shared?: SharedLine | undefined;
  /** The call that the line is, where it came out before: there are no tokens then. */
  readonly known?: KnownCall;
}
