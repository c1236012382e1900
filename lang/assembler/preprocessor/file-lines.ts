/** The lines of a source file, checked for what an editor would have shown: bytes that are no text. */

import { SourceLines } from '../../syntax/lexer.ts';
import type { SourceFile } from '../../syntax/source.ts';
import type { Diagnostics } from '../diagnostics.ts';
import type { BodyLine, LineReader } from './body-line.ts';

/** Bytes that are no UTF-8 come here as U+FFFD; outside comments they cannot be assembled as they were meant. */
export class FileLines implements LineReader {
  readonly #lines: SourceLines;
  readonly #diagnostics: Diagnostics;
  readonly #mayBeWrong: boolean;

  constructor(file: SourceFile, diagnostics: Diagnostics) {
    this.#lines = new SourceLines(file);
    this.#diagnostics = diagnostics;
    this.#mayBeWrong = file.text.includes('\ufffd');
  }

  next(): BodyLine | undefined {
    for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
      const { tokens, origin } = line;
      const wrong = this.#mayBeWrong ? tokens.find((token) => token.image.includes('\ufffd')) : undefined;
      if (wrong === undefined) return { tokens, origin, template: undefined };
      const at = wrong.startOffset + wrong.image.indexOf('\ufffd');
      this.#diagnostics.error({ origin, start: at, end: at + 1 }, 'this is not UTF-8 text');
    }
    return undefined;
  }
}
