/** xorshift: many draws from one number of a property. */
export class Draws {
  #state: number;

  constructor(start: number) {
    this.#state = start | 1;
  }

  /** An integer from 0 up to `below`, which it is not. */
  next(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.next(from.length)]!;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.next(times) === 0;
  }
}
