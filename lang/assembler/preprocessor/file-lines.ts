/** The lines of a source file, checked for what an editor would have shown: bytes that are no text. */

import { SourceLines } from '../../syntax/lexer.ts';
import type { SourceFile } from '../../syntax/source.ts';
import type { Diagnostics } from '../diagnostics.ts';
import type { BodyLine, LineReader } from './body-line.ts';

/** Characters of a line, with those that continue it. A longer one is no source text, and its tokens would fill the memory. */
const MAX_LINE = 1 << 20;

/** Bytes that are no UTF-8 come here as U+FFFD; outside comments they cannot be assembled as they were meant. */
export class FileLines implements LineReader {
  readonly #lines: SourceLines;
  readonly #diagnostics: Diagnostics;
  readonly #mayBeWrong: boolean;

  constructor(file: SourceFile, diagnostics: Diagnostics) {
    this.#lines = new SourceLines(file);
    this.#diagnostics = diagnostics;
    this.#mayBeWrong = file.text.includes('\ufffd');
    const start = longLine(file.text);
    if (start === undefined) return;
    const place = { origin: { file, expansion: undefined }, start, end: start + 1 };
    diagnostics.fatal(place, `this line is longer than ${MAX_LINE / 1024 / 1024} MiB`);
  }

  next(): BodyLine | undefined {
    for (;;) {
      const line = this.#lines.next();
      if (line === undefined) return undefined;
      const { tokens, origin } = line;
      if (tokens.length === 0) continue;
      const wrong = this.#mayBeWrong ? tokens.find((token) => token.image.includes('\ufffd')) : undefined;
      if (wrong === undefined) return { tokens, origin, template: undefined };
      const at = wrong.startOffset + wrong.image.indexOf('\ufffd');
      this.#diagnostics.error({ origin, start: at, end: at + 1 }, 'this is not UTF-8 text');
    }
  }
}

/** Where the first line begins that is too long, if there is one. */
function longLine(text: string): number | undefined {
  let start = 0;
  for (let at = 0; text.length - start > MAX_LINE; ) {
    const found = text.indexOf('\n', at);
    const end = found < 0 ? text.length : found;
    if (end - start > MAX_LINE) return start;
    at = end + 1;
    const isContinued = text[text[end - 1] === '\r' ? end - 2 : end - 1] === '\\';
    if (!isContinued) start = at;
  }
  return undefined;
}
