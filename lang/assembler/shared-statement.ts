/** What the assembler made of a line that several calls of a macro share. */

import type { ParsedLine } from '../syntax/parser.ts';
import type { Work } from './assembly.ts';
import type { InstructionWork } from './instruction-work.ts';

export interface SharedStatement {
  readonly parsed: ParsedLine;
  /** True where the line is its work and nothing else: no label, no `times`. */
  readonly isBare: boolean;
  /** Work that may stand at every place; undefined where each place needs its own. */
  readonly work: Work | undefined;
  /** Work to be made again for each place. */
  readonly model?: InstructionWork;
}
