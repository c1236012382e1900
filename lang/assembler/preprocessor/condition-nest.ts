/** The nest of open `%if`s: which lines are read (NASM manual §4.4). */

import type { Span } from '../../syntax/source.ts';

interface Level {
  /** Reading; not yet (a branch may still come); no more. */
  state: 'reading' | 'waiting' | 'done';
  sawElse: boolean;
  readonly span: Span;
  /** Number of line sources that were open: an `%endif` must stand in the same one. */
  readonly depth: number;
}

export class ConditionNest {
  readonly #levels: Level[] = [];

  /** False while lines are to be skipped. */
  get reading(): boolean {
    const { length } = this.#levels;
    return length === 0 || this.#levels[length - 1]!.state === 'reading';
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

  /** Forgets the conditions of line sources that are left early. */
  drop(depth: number): void {
    while (this.#levels.length > 0 && this.#levels.at(-1)!.depth >= depth) this.#levels.pop();
  }

  /** Drops a condition that a line source leaves open at its end, and gives its place; undefined when there is none. */
  dropUnclosed(depth: number): Span | undefined {
    const level = this.#levels[this.#levels.length - 1];
    if (level === undefined || level.depth < depth) return undefined;
    this.#levels.pop();
    return level.span;
  }
}
