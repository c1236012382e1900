/** Logic and bits: SDM vol. 2, AND OR XOR NOT TEST, BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT, BSWAP. */

import { STATUS_FLAGS } from '../flags.ts';
import type { Meaning, Ops } from '../ops.ts';

const binary = <V>(o: Ops<V>, operation: (a: V, b: V) => V): void => {
  const b = o.read(1, o.widthOf(0));
  const result = operation(o.readForUpdate(0), b);
  o.write(0, result);
  o.flagsOfResult(result);
};
const and: Meaning = (o) => binary(o, (a, b) => o.and(a, b));
const or: Meaning = (o) => binary(o, (a, b) => o.or(a, b));
const xor: Meaning = (o) => binary(o, (a, b) => o.xor(a, b));

const test: Meaning = (o) => {
  const a = o.read(0);
  o.flagsOfResult(o.and(a, o.read(1, o.widthOf(0))));
};

const not: Meaning = (o) => {
  o.write(0, o.not(o.readForUpdate(0)));
};

type BitChange = <V>(o: Ops<V>, value: V, mask: V) => V;

/**
 * A register bit index addresses memory beyond the operand: the word at `address + width/8 · floor(index / width)`.
 * An immediate index, and any index into a register, wraps.
 */
const bitTest = <V>(o: Ops<V>, change?: BitChange): void => {
  const width = o.widthOf(0);
  const shift = BigInt(Math.log2(width));
  const index = o.read(1, width);
  const within = o.and(index, o.constant(width, BigInt(width - 1)));
  const mask = o.shiftLeft(o.constant(width, 1n), within);
  if (o.isMemory(0) && !o.isImmediate(1)) {
    const words = o.shiftRightArithmetic(index, o.constant(8, shift));
    const bytes = o.shiftLeft(o.signExtend(64, words), o.constant(8, shift - 3n));
    const address = o.linearAddress(0, bytes);
    if (change) o.probeStore(width, address);
    const value = o.load(width, address);
    const carry = o.bit(value, within);
    if (change) o.store(address, change(o, value, mask));
    o.setFlag('CF', carry);
    return;
  }
  const value = change ? o.readForUpdate(0) : o.read(0);
  const carry = o.bit(value, within);
  if (change) o.write(0, change(o, value, mask));
  o.setFlag('CF', carry);
};
const bt: Meaning = (o) => bitTest(o);
const bts: Meaning = (o) => bitTest(o, (ops, value, mask) => ops.or(value, mask));
const btr: Meaning = (o) => bitTest(o, (ops, value, mask) => ops.and(value, ops.not(mask)));
const btc: Meaning = (o) => bitTest(o, (ops, value, mask) => ops.xor(value, mask));

/** BSF and BSR of zero set ZF and leave the destination as it was, which both makers promise though the manual says undefined. */
const scan = <V>(o: Ops<V>, find: (value: V) => V): void => {
  const value = o.read(1);
  const width = o.widthOf(0);
  const isZero = o.equal(value, o.constant(width, 0n));
  o.when(o.not1(isZero), () => o.write(0, find(value)));
  o.flagsOfResult(value);
};
const bsf: Meaning = (o) => scan(o, (value) => o.lowestBit(value));
const bsr: Meaning = (o) => scan(o, (value) => o.highestBit(value));

const countZeros = <V>(o: Ops<V>, count: (value: V) => V): void => {
  const width = o.widthOf(0);
  const value = o.read(1);
  const isZero = o.equal(value, o.constant(width, 0n));
  const result = o.select(isZero, o.constant(width, BigInt(width)), count(value));
  o.write(0, result);
  o.flagsOfResult(result, { carry: isZero });
};
const tzcnt: Meaning = (o) => countZeros(o, (value) => o.lowestBit(value));
const lzcnt: Meaning = (o) =>
  countZeros(o, (value) => o.subtract(o.constant(o.widthOf(0), BigInt(o.widthOf(0) - 1)), o.highestBit(value)));

const popcnt: Meaning = (o) => {
  const value = o.read(1);
  const result = o.populationCount(value);
  o.write(0, result);
  const zero = o.constant(o.widthOf(0), 0n);
  // Only ZF, of the source; SF and PF are cleared, where the result (at most 64) could set PF.
  o.setStatusFlags(o.shiftLeft(o.fromBoolean(32, o.equal(value, zero)), o.constant(32, 6n)), STATUS_FLAGS);
};

const bswap: Meaning = (o) => {
  o.write(0, o.byteSwap(o.read(0)));
};

export const logic = { and, or, xor, test, not, bt, bts, btr, btc, bsf, bsr, tzcnt, lzcnt, popcnt, bswap } as const;
