/** A run of random programs on pairs of machines. */

import { CodeMemory } from '../../../src/hardware/vcpu/code-memory.ts';
import { type Difference, Pair } from './pair.ts';
import { Tally } from './tally.ts';

/** VM entries of each program. */
const ENTRIES = 12;
/** Programs that follow each other on one pair of machines, so that one finds the other's translations. */
const TOGETHER = 24;

/** What differed, if anything did, and what was covered until then. */
export interface Outcome {
  readonly difference: Difference;
  readonly tally: Tally;
}

/**
 * The programs of `count` seeds from `seed` on. Every other pair translates what is run twice, branches that were not taken
 * included, the others what is run twenty times; half of either finds decoded code again. `onPair` is told of each new pair's number.
 */
export function runPrograms(
  count: number,
  seed: number,
  onPair: (pair: number, tally: Tally) => void = () => {},
): Outcome {
  const tally = new Tally();
  for (let first = 0; first < count; first += TOGETHER) {
    const number = first / TOGETHER;
    onPair(number, tally);
    const eager = number % 2 === 0;
    const decoded = number % 4 < 2 ? undefined : new CodeMemory();
    const pair = new Pair({ threshold: eager ? 2 : 20, eager }, decoded);
    for (let each = first; each < Math.min(first + TOGETHER, count); each++) {
      try {
        const difference = pair.compare(seed + each, ENTRIES, tally);
        if (difference !== undefined) return { difference, tally };
      } catch (error) {
        throw new Error(`seed ${seed + each}, in the run from ${seed + first}`, { cause: error });
      }
    }
  }
  return { difference: undefined, tally };
}
