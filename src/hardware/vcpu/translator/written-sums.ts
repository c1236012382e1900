/** Registers that hold sums over GF(2), written as such where a block ends. */

import type { Emitter } from './emitter.ts';
import { OP } from './wasm-function.ts';
import { constant, type Term, type WasmValue, type XorSum } from './wasm-value.ts';
import { isWorthwhile, missingFrom } from './xor-sum.ts';

/** The exclusive or of a value and some terms. */
function withTerms({ frame, arithmetic }: Emitter, value: WasmValue, terms: readonly Term[]): WasmValue {
  frame.temporaries.push(value);
  for (const { bit, constant: chosen } of terms) {
    arithmetic.pushIf(bit, constant(32, chosen));
    frame.code.op(OP.I32_XOR);
  }
  return frame.temporaries.result(32);
}

function whole(emitter: Emitter, { base, shift, terms }: XorSum): WasmValue {
  const moved =
    base === undefined ? constant(32, 0n) : emitter.arithmetic.shift('right', base, constant(8, BigInt(shift)));
  return withTerms(emitter, moved, terms);
}

interface Written {
  readonly sum: XorSum;
  readonly value: WasmValue;
}

/** The sum made from one that has all its terms and more. */
function fromLarger(emitter: Emitter, sum: XorSum, written: readonly Written[]): WasmValue | undefined {
  for (const { sum: larger, value } of written) {
    const missing = missingFrom(sum, larger);
    if (missing !== undefined) return withTerms(emitter, value, missing);
  }
  return undefined;
}

/**
 * Give the registers that hold sums their values once more, as sums; the engine leaves out what they were made from. What is nearly
 * another one is made from that, so that few parts have to be held. At one place of a block, so that no sum is written at each step.
 */
export function writeSums(emitter: Emitter): void {
  const { frame } = emitter;
  const sums = [...frame.values.entries()].flatMap(([number, { sum }]) => (isWorthwhile(sum) ? [{ number, sum }] : []));
  sums.sort((a, b) => b.sum.terms.length - a.sum.terms.length);
  const written: Written[] = [];
  for (const { number, sum } of sums) {
    const value = fromLarger(emitter, sum, written) ?? whole(emitter, sum);
    written.push({ sum, value });
    frame.temporaries.push(value);
    frame.code.op(OP.I64_EXTEND_I32_U);
    frame.code.set(frame.changedRegister(number));
  }
}
