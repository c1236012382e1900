/** Lines as they are read: from a file, or from a body that may be read again. */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { PlacedCall } from './call-memory.ts';
import type { LineTemplate } from './line-template.ts';

/** `template` where the line belongs to a body. */
export interface BodyLine extends SourceLine {
  readonly template: LineTemplate | undefined;
  /** What the line is known to become, in the place of its tokens. */
  readonly known?: Omit<PlacedCall, 'serial'>;
  /** The line as it was written, where it is all of its text; of a line of a file that may be kept. */
  readonly text?: string | undefined;
}

/** Gives lines one at a time; undefined when there are no more. */
export interface LineReader {
  next(): BodyLine | undefined;
}
