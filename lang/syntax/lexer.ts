/**
 * Text → lines of tokens. A file is read in chunks, so that the tokens of a long source are never all in memory at once.
 */

import { Lexer } from 'chevrotain';
import type { Origin, SourceFile, Span, Standing } from './source.ts';
import { lexed, Newline, type Token } from './tokens.ts';

/** Small enough to keep few tokens alive, large enough that the call costs nothing. */
const CHUNK = 1 << 16;

let lexer: Lexer | undefined;

/** Built at first use; the definition is checked by the tests, not at every start. */
function nasmLexer(): Lexer {
  lexer ??= new Lexer([...lexed], {
    positionTracking: 'onlyOffset',
    skipValidations: true,
    ensureOptimizations: false,
  });
  return lexer;
}

/** One source line (continuations joined) as tokens. */
export interface SourceLine {
  readonly tokens: readonly Token[];
  readonly origin: Origin;
}

/** Lines of a file that hold at least one token, one at a time. */
export class SourceLines {
  readonly #origin: Origin;
  readonly #text: string;
  #start = 0;
  #tokens: readonly Token[] = [];
  #next = 0;

  constructor(file: SourceFile) {
    this.#origin = { file, expansion: undefined };
    this.#text = file.text;
  }

  /** The next line; undefined when there are no more. */
  next(): SourceLine | undefined {
    for (;;) {
      const tokens = this.#line();
      if (tokens === undefined) return undefined;
      if (tokens.length > 0) return { tokens, origin: this.#origin };
    }
  }

  #line(): Token[] | undefined {
    if (this.#next === this.#tokens.length && !this.#readChunk()) return undefined;
    const tokens = this.#tokens;
    const line: Token[] = [];
    while (this.#next < tokens.length) {
      const token = tokens[this.#next++]!;
      if (token.tokenType === Newline) break;
      line.push(token);
    }
    return line;
  }

  /** A chunk ends behind a line end. */
  #readChunk(): boolean {
    this.#tokens = [];
    this.#next = 0;
    while (this.#start < this.#text.length && this.#tokens.length === 0) {
      const end = chunkEnd(this.#text, this.#start);
      this.#tokens = lexAt(this.#text, this.#start, end);
      this.#start = end;
    }
    return this.#tokens.length > 0;
  }
}

/** Tokens of a piece of text that stands nowhere in a file (a pasted name, a `-D` value): all placed at `span`. */
export function tokensOf(text: string, span: Span): Token[] {
  const tokens = nasmLexer()
    .tokenize(text)
    .tokens.filter((token) => token.tokenType !== Newline) as Token[];
  return tokens.map((token, i) => placed(token, span, i > 0 && touches(tokens[i - 1]!, token)));
}

/** A copy of a token that says it stands at `span`, with or without a blank before it. */
export function placed(token: Token, span: Span, glued: boolean): Token {
  return {
    image: token.image,
    startOffset: span.start,
    endOffset: span.end - 1,
    tokenType: token.tokenType,
    tokenTypeIdx: token.tokenTypeIdx,
    origin: span.origin,
    glued,
  } as Token;
}

/** The same token in a line of another origin. */
export function carried(token: Token, origin: Origin): Token {
  if (token.origin !== undefined) return token;
  return {
    image: token.image,
    startOffset: token.startOffset,
    tokenType: token.tokenType,
    tokenTypeIdx: token.tokenTypeIdx,
    origin,
  } as Token;
}

/** The same token with or without a blank before it. Field by field: a spread took a fiftieth of the time of 5,000 macro calls. */
export function spaced(token: Token, glued: boolean): Token {
  return {
    image: token.image,
    startOffset: token.startOffset,
    endOffset: token.endOffset,
    tokenType: token.tokenType,
    tokenTypeIdx: token.tokenTypeIdx,
    origin: token.origin,
    glued,
  } as Token;
}

/** True where no blank stands between two neighbours. */
export function touches(left: Token, right: Token): boolean {
  return right.glued ?? (left.origin === right.origin && endOf(left) === right.startOffset);
}

/** Tokens as a text that reads back to the same tokens: one blank where there was any. */
export function textOf(tokens: readonly Token[]): string {
  let text = '';
  for (let i = 0; i < tokens.length; i++) {
    if (i > 0 && !touches(tokens[i - 1]!, tokens[i]!)) text += ' ';
    text += tokens[i]!.image;
  }
  return text;
}

/** From the first token's start to the last one's end, as far as both stand in one place. */
export function spanOf(first: Standing, last: Standing, line: Origin): Span {
  if (line.standing !== undefined) {
    const begins = line.standing(first);
    return spanBetween(begins, first === last ? begins : line.standing(last), line);
  }
  return spanBetween(first, last, line);
}

function spanBetween(first: Standing, last: Standing, line: Origin): Span {
  const origin = first.origin ?? line;
  const start = first.startOffset;
  const same = (last.origin ?? line) === origin && last.startOffset >= start;
  return { origin, start, end: endOf(same ? last : first) };
}

/** Offset behind a token. Only tokens that stand for other text carry an end of their own. */
export function endOf(token: Standing): number {
  return token.endOffset === undefined ? token.startOffset + token.image.length : token.endOffset + 1;
}

function lexAt(text: string, start: number, end: number): Token[] {
  const piece = start === 0 && end === text.length ? text : text.slice(start, end);
  const { tokens, errors } = nasmLexer().tokenize(piece);
  if (errors.length > 0) throw new Error(`the lexer has no token for what stands at ${start + errors[0]!.offset}`);
  if (start !== 0) {
    for (const token of tokens) token.startOffset += start;
  }
  return tokens;
}

/** End of the chunk that begins at `start`: behind a line end that no `\` takes back. */
function chunkEnd(text: string, start: number): number {
  let at = start + CHUNK;
  while (at < text.length) {
    const end = text.indexOf('\n', at);
    if (end < 0) return text.length;
    const before = text[end - 1] === '\r' ? end - 2 : end - 1;
    if (text[before] !== '\\') return end + 1;
    at = end + 1;
  }
  return text.length;
}
