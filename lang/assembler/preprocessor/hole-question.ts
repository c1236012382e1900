/** A condition of a macro's body that looks at words of the call. */

import type { Token } from '../../syntax/tokens.ts';
import type { Question } from './call-plan.ts';
import { type CallWords, holesOf } from './call-words.ts';

/** A number that depends on the numbers in holes; NaN where it has to be worked out otherwise. */
export interface NumberOfHoles {
  evaluate(numbers: readonly number[]): number;
}

/** Answers that are kept by their words. */
const MOST_ANSWERS = 1000;

export class HoleQuestion implements Question {
  readonly #rest: readonly Token[];
  readonly #holes: readonly number[];
  readonly #negated: boolean;
  readonly #number: NumberOfHoles | undefined;
  readonly #test: (rest: readonly Token[]) => boolean | undefined;
  readonly #answers = new Map<string, boolean | undefined>();

  /** `rest`: what is tested, with holes; `number`: its value, where it is one; `test`: the general way, on words. */
  constructor(
    rest: readonly Token[],
    negated: boolean,
    number: NumberOfHoles | undefined,
    test: (rest: readonly Token[]) => boolean | undefined,
  ) {
    this.#rest = rest;
    this.#holes = holesOf(rest);
    this.#negated = negated;
    this.#number = number;
    this.#test = test;
  }

  answer(words: CallWords): boolean | undefined {
    const number = this.#number === undefined ? Number.NaN : this.#number.evaluate(words.numbers);
    if (!Number.isNaN(number)) return (number !== 0) !== this.#negated;
    const key = this.#holes.map((hole) => words.texts[hole]).join('\n');
    if (this.#answers.has(key)) return this.#answers.get(key);
    const given = this.#test(words.filled(this.#rest));
    const answer = given === undefined ? undefined : given !== this.#negated;
    if (this.#answers.size < MOST_ANSWERS) this.#answers.set(key, answer);
    return answer;
  }
}
