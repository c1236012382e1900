/** The body that is being read up to its end word: lines of a macro or of a repetition, which mean nothing before it is complete. */

import type { BodyLine } from './body-line.ts';
import type { Collecting } from './directive.ts';

export class BodyCollector {
  /** `depth`: number of line sources that were open, of which the body must not see the end. */
  #collecting: { open: Collecting; nested: number; body: BodyLine[]; depth: number } | undefined;

  /** True while lines are collected. */
  get isOpen(): boolean {
    return this.#collecting !== undefined;
  }

  begin(open: Collecting, depth: number): void {
    this.#collecting = { open, nested: 0, body: [], depth };
  }

  /** Takes a line; `word` is the directive that it begins with, or ''. The end word finishes the body. */
  add(line: BodyLine, word: string): void {
    const collecting = this.#collecting!;
    const { open, body } = collecting;
    if (open.opens.has(word)) collecting.nested++;
    if (open.closes.has(word) && collecting.nested-- === 0) {
      this.#collecting = undefined;
      open.finish(body);
      return;
    }
    body.push(line);
  }

  /** Drops the body that a line source leaves open at its end, and gives what opened it; undefined when there is none. */
  dropUnclosed(depth: number): Collecting | undefined {
    const collecting = this.#collecting;
    if (collecting === undefined || collecting.depth !== depth) return undefined;
    this.#collecting = undefined;
    return collecting.open;
  }

  drop(): void {
    this.#collecting = undefined;
  }
}
