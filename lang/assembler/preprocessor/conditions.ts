/** `%if` … `%endif` (NASM manual §4.4): which lines are read, and what each kind of test means. */

import type { Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { isName } from './single-line.ts';

interface Level {
  /** Reading; not yet (a branch may still come); no more. */
  state: 'reading' | 'waiting' | 'done';
  sawElse: boolean;
  readonly span: Span;
  /** Number of line sources that were open: an `%endif` must stand in the same one. */
  readonly depth: number;
}

/** The nest of open conditions. */
export class Conditions {
  readonly #levels: Level[] = [];

  /** False while lines are to be skipped. */
  get reading(): boolean {
    return this.#levels.length === 0 || this.#levels.at(-1)!.state === 'reading';
  }

  open(span: Span, depth: number, test: () => boolean): void {
    const state = !this.reading ? 'done' : test() ? 'reading' : 'waiting';
    this.#levels.push({ state, sawElse: false, span, depth });
  }

  /** `%elif` and `%else`; returns what is wrong with it, if anything. */
  branch(word: string, depth: number, last: boolean, test: () => boolean): string | undefined {
    const level = this.#levels.at(-1);
    if (level === undefined || level.depth !== depth) return `\`${word}\` without \`%if\``;
    if (level.sawElse) return `\`${word}\` after \`%else\``;
    level.sawElse = last;
    if (level.state === 'waiting') {
      if (test()) level.state = 'reading';
    } else {
      level.state = 'done';
    }
    return undefined;
  }

  close(depth: number): boolean {
    const level = this.#levels.at(-1);
    if (level === undefined || level.depth !== depth) return false;
    this.#levels.pop();
    return true;
  }

  /** Drops the conditions of a line source that has ended, and gives the places of those left open. */
  *unclosed(depth: number): Generator<Span> {
    while (this.#levels.length > 0 && this.#levels.at(-1)!.depth >= depth) yield this.#levels.pop()!.span;
  }
}

/** A condition word taken apart: `%elifnidni` → kind `idni`, negated. */
export interface ConditionWord {
  readonly branch: 'if' | 'elif';
  readonly kind: string;
  readonly negated: boolean;
}

const KINDS = new Set(['', 'def', 'macro', 'idn', 'idni', 'id', 'num', 'str', 'empty', 'token']);

/** The parts of a condition's name (with its `%`), or undefined where it is none. */
export function conditionWord(word: string): ConditionWord | undefined {
  const match = /^%(if|elif)(.*)$/.exec(word.toLowerCase());
  if (match === null) return undefined;
  const branch = match[1] as 'if' | 'elif';
  const rest = match[2]!;
  if (KINDS.has(rest)) return { branch, kind: rest, negated: false };
  if (rest.startsWith('n') && KINDS.has(rest.slice(1))) return { branch, kind: rest.slice(1), negated: true };
  return undefined;
}

/** `%ifidn a, b`: equal token for token, blanks aside. Strings compare by contents. */
function identical(tokens: readonly t.Token[], ignoreCase: boolean): boolean | undefined {
  const comma = tokens.findIndex((token) => token.tokenType === t.Comma);
  if (comma < 0) return undefined;
  const text = (list: readonly t.Token[]) =>
    list.map((token) => (token.tokenType === t.Text ? `"${token.image.slice(1, -1)}"` : token.image)).join('\n');
  const [a, b] = [text(tokens.slice(0, comma)), text(tokens.slice(comma + 1))];
  return ignoreCase ? a.toLowerCase() === b.toLowerCase() : a === b;
}

/** Tests of `%ifid`, `%ifnum` … on expanded tokens; undefined where `%ifidn` has nothing to compare. */
export function testTokens(kind: string, tokens: readonly t.Token[]): boolean | undefined {
  switch (kind) {
    case 'idn':
      return identical(tokens, false);
    case 'idni':
      return identical(tokens, true);
    case 'id':
      return tokens.length > 0 && isName(tokens[0]!);
    case 'num':
      return tokens.at(-1)?.tokenType === t.Numeral && (tokens.length === 1 || tokens[0]!.tokenType === t.Minus);
    case 'str':
      return tokens[0]?.tokenType === t.Text;
    case 'empty':
      return tokens.length === 0;
    case 'token':
      return tokens.length === 1;
    default:
      throw new Error(`the condition ${kind} is listed but not tested`);
  }
}
