/** What a listing sees of the reading. */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { SourceFile } from '../../syntax/source.ts';

/** Is told what is read of the user's own, before anything is done with it. `level` counts the files, macros and repetitions around it. */
export interface SourceObserver {
  opened(file: SourceFile, level: number): void;
  /** A line with tokens. */
  read(line: SourceLine, level: number, fromFile: boolean): void;
  /** The label of a macro's call, before the lines of the macro. */
  label(line: SourceLine, level: number): void;
}
