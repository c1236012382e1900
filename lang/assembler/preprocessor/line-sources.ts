/** The stack of what lines are read from: files, macro bodies, repetitions. Nesting costs no recursion, so it can have a limit. */

import type { LineReader } from './body-line.ts';
import type { MacroCall } from './multi-line.ts';

export interface LineSource {
  readonly kind: 'file' | 'macro' | 'rep';
  readonly lines: LineReader;
  /** The macro call whose parameters apply here; a repetition inherits it. */
  readonly call: MacroCall | undefined;
}

/** Sources that may be open at once, and files among them. */
export const MAX_SOURCES = 256;
export const MAX_INCLUDES = 64;

export class LineSources {
  readonly #open: LineSource[] = [];

  get depth(): number {
    return this.#open.length;
  }

  /** The innermost source; undefined when all have ended. */
  get top(): LineSource | undefined {
    return this.#open[this.#open.length - 1];
  }

  push(source: LineSource): void {
    this.#open.push(source);
  }

  pop(): void {
    this.#open.pop();
  }

  /** Leaves so many open. */
  cut(depth: number): void {
    this.#open.length = depth;
  }

  count(kind: LineSource['kind']): number {
    return this.#open.filter((source) => source.kind === kind).length;
  }

  /** True while the body of any macro or repetition is being read. */
  get isInBody(): boolean {
    for (let i = 0; i < this.#open.length; i++) if (this.#open[i]!.kind !== 'file') return true;
    return false;
  }

  /** True while the body of this macro is being read. */
  isActive(macro: MacroCall['macro']): boolean {
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const source = this.#open[i]!;
      if (source.kind === 'macro' && source.call!.macro === macro) return true;
    }
    return false;
  }

  /** True in a call of a macro, at whatever depth, that was defined with `.nolist`. */
  isUnlisted(): boolean {
    return this.#open.some(({ call }) => call?.macro.unlisted === true);
  }

  /** Drops the sources down to and with the innermost one of a kind; false where there is none. */
  leave(kind: 'rep' | 'macro'): boolean {
    const at = this.#open.findLastIndex((source) => source.kind === kind);
    if (at < 0) return false;
    this.#open.length = at;
    return true;
  }
}
