/**
 * Values as sums over GF(2): an earlier value moved down, and constants for those of some bits that are set, all of it exclusive-ored.
 * The turns of a checksum make such a value, each from the one before: to move it down is to move down what it is the sum of. Written
 * as one sum, the last of them waits for the bits alone, and not for every turn before.
 */

import type { Bit, Term, WasmValue, XorSum } from './wasm-value.ts';

/** More are not kept: the sum begins anew. */
const MAX_TERMS = 16;
/** From here on a sum is written as one; of fewer terms, a chain is not longer. */
const WORTH = 4;

/** What is known of any value. */
const itself = (value: WasmValue): XorSum => value.sum ?? { base: value, shift: 0, terms: [] };

/** `chosen` if `bit` is set, else 0. */
export const termOf = (bit: Bit, chosen: WasmValue): XorSum | undefined =>
  chosen.known === undefined
    ? undefined
    : { base: undefined, shift: 0, terms: [{ bit, constant: BigInt.asUintN(32, chosen.known) }] };

/** `a` moved down by `count`. */
export function sumOfShiftRight(a: WasmValue, count: number): XorSum | undefined {
  const { base, shift, terms } = itself(a);
  if (a.width !== 32 || shift + count >= 32) return undefined;
  const moved = terms
    .map(({ bit, constant }) => ({ bit, constant: constant >> BigInt(count) }))
    .filter(({ constant }) => constant !== 0n);
  return { base, shift: shift + count, terms: moved };
}

/** a ⊕ b, where one of them is terms alone. */
export function sumOfXor(a: WasmValue, b: WasmValue): XorSum | undefined {
  const [left, right] = [itself(a), itself(b)];
  if (a.width !== 32 || (left.base !== undefined && right.base !== undefined)) return undefined;
  const [sum, further] = left.base === undefined ? [right, left] : [left, right];
  const { base, shift } = sum;
  const terms = [...sum.terms, ...further.terms];
  return terms.length > MAX_TERMS ? undefined : { base, shift, terms };
}

/** Whether it is better to write the value as its sum. */
export const isWorthwhile = (sum: XorSum | undefined): sum is XorSum => sum !== undefined && sum.terms.length >= WORTH;

/** What `sum` has less than `whole`, if that is all in which they differ. */
export function missingFrom(sum: XorSum, whole: XorSum): readonly Term[] | undefined {
  const { base, shift, terms } = sum;
  // What two values have in one local, while both are held, is one.
  const alike = base?.local === whole.base?.local && base?.known === whole.base?.known && shift === whole.shift;
  if (!alike || !terms.every((term) => whole.terms.includes(term))) return undefined;
  return whole.terms.filter((term) => !terms.includes(term));
}
