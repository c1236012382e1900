/**
 * Text → tokens, by the patterns of `tokens.ts`: of the types that a text with this first character may have, the first whose pattern
 * matches. Chevrotain's own lexer does the same; to build it and to begin each line with it took longer than to read the line.
 */

import { Lexer, type TokenType } from 'chevrotain';
import { BEYOND_ASCII, lexed, type Token } from './tokens.ts';

/** A type as the scanner tries it. */
interface Candidate {
  readonly type: TokenType;
  readonly index: number;
  /** Undefined: a fixed text. */
  readonly pattern: RegExp | undefined;
  readonly text: string;
  readonly isSkipped: boolean;
}

const BEYOND = BEYOND_ASCII.charCodeAt(0);
const BLANK = 0x20;

/** Candidates by the code of the first character; the last list is for all beyond ASCII. */
let candidates: readonly (readonly Candidate[])[] | undefined;

function candidatesByStart(): readonly (readonly Candidate[])[] {
  const lists: Candidate[][] = Array.from({ length: BEYOND + 1 }, () => []);
  for (const type of lexed) {
    const { PATTERN, GROUP, START_CHARS_HINT } = type;
    const isText = typeof PATTERN === 'string';
    const candidate: Candidate = {
      type,
      index: type.tokenTypeIdx!,
      pattern: isText ? undefined : new RegExp((PATTERN as RegExp).source, 'y'),
      text: isText ? PATTERN : '',
      isSkipped: GROUP === Lexer.SKIPPED,
    };
    const starts = isText ? [PATTERN] : (START_CHARS_HINT as string[] | undefined);
    if (starts === undefined) for (const list of lists) list.push(candidate);
    else for (const start of starts) lists[start.charCodeAt(0)]!.push(candidate);
  }
  return lists;
}

/** The tokens of a piece of text that ends where a line does; line ends are tokens, too. */
export function scan(text: string, start: number, end: number): Token[] {
  candidates ??= candidatesByStart();
  const tokens: Token[] = [];
  for (let at = start; at < end; ) {
    const code = text.charCodeAt(at);
    if (code === BLANK) {
      at++;
      continue;
    }
    const list = candidates[code < BEYOND ? code : BEYOND]!;
    for (let i = 0; ; i++) {
      const candidate = list[i]!;
      const length = lengthOf(candidate, text, at);
      if (length === 0) continue;
      if (!candidate.isSkipped) {
        const { type, index } = candidate;
        const image = candidate.pattern === undefined ? candidate.text : text.slice(at, at + length);
        tokens.push({ image, startOffset: at, tokenTypeIdx: index, tokenType: type } as Token);
      }
      at += length;
      break;
    }
  }
  return tokens;
}

/** Characters of the text at a place that a type takes; 0 where it does not match. */
function lengthOf({ pattern, text: fixed }: Candidate, text: string, at: number): number {
  if (pattern === undefined) return text.startsWith(fixed, at) ? fixed.length : 0;
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex - at : 0;
}
