/** The lines of a source file, checked for what an editor would have shown: bytes that are no text. */

import { type SourceLine, sourceLines } from '../../syntax/lexer.ts';
import type { SourceFile } from '../../syntax/source.ts';
import type { Diagnostics } from '../diagnostics.ts';

/** Bytes that are no UTF-8 come here as U+FFFD; outside comments they cannot be assembled as they were meant. */
export function linesOfFile(file: SourceFile, diagnostics: Diagnostics): Iterator<SourceLine> {
  const lines = sourceLines(file);
  return file.text.includes('\ufffd') ? checkEncoding(lines, diagnostics) : lines;
}

function* checkEncoding(lines: Iterable<SourceLine>, diagnostics: Diagnostics): Generator<SourceLine> {
  for (const line of lines) {
    const wrong = line.tokens.find((token) => token.image.includes('\ufffd'));
    if (wrong === undefined) {
      yield line;
      continue;
    }
    const at = wrong.startOffset + wrong.image.indexOf('\ufffd');
    diagnostics.error({ origin: line.origin, start: at, end: at + 1 }, 'this is not UTF-8 text');
  }
}
