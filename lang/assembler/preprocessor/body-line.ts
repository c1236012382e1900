/** Lines as they are read: from a file, or from a body that may be read again. */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { LineTemplate } from './line-template.ts';

/** `template` where the line belongs to a body. */
export interface BodyLine extends SourceLine {
  readonly template: LineTemplate | undefined;
}

/** Gives lines one at a time; undefined when there are no more. */
export interface LineReader {
  next(): BodyLine | undefined;
}
