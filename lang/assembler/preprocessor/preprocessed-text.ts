/** `-E`: what the preprocessor makes of a source, as a source again. `%line` says where each line came from (NASM manual §4.11). */

import type { SourceLine } from '../../syntax/lexer.ts';
import { lineText } from './line-text.ts';
import { SMARTALIGN_DEFAULT } from './packages.ts';

/** Collects the lines that the parser would have seen. */
export class PreprocessedText {
  readonly #lines: string[] = [];
  #file: string | undefined;
  /** Number that the next line has without a marker. */
  #next = 1;

  add(line: SourceLine): void {
    const { file } = line.origin;
    const number = file.line(line.tokens[0]!.startOffset);
    if (file.name === this.#file && number === this.#next + 1) this.#lines.push('');
    else if (file.name !== this.#file || number !== this.#next) this.#lines.push(`%line ${number}+1 ${file.name}`);
    this.#file = file.name;
    this.#next = number + 1;
    this.#lines.push(forOthers(lineText(line)));
  }

  text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }
}

/** `[smartalign …]` is gvm's own, behind the package's macro: another assembler has the package. */
function forOthers(text: string): string {
  if (text === SMARTALIGN_DEFAULT) return '%use smartalign';
  const mode = /^\[smartalign (.*?),?\]$/.exec(text)?.[1];
  return mode === undefined ? text : `alignmode ${mode}`;
}
