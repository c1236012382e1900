/** BMI1, BMI2 and CRC32: SDM vol. 2, ANDN BEXTR BLSI BLSMSK BLSR BZHI MULX PDEP PEXT RORX SARX SHLX SHRX CRC32 RDRAND RDSEED. */

import { STATUS_FLAGS } from '../flags.ts';
import type { Meaning, Ops } from '../ops.ts';

const RDX = 2;

const andn: Meaning = (o) => {
  const result = o.and(o.not(o.read(1)), o.read(2));
  o.write(0, result);
  o.flagsOfResult(result);
};

/** BLSR, BLSMSK and BLSI combine a value with its neighbour; `borrow` is whether CF says that the source was zero, or that it was not. */
const lowestSetBit = <V>(o: Ops<V>, combine: (value: V, one: V, zero: V) => V, carryWhenZero: boolean): void => {
  const width = o.widthOf(0);
  const zero = o.constant(width, 0n);
  const value = o.read(1);
  const result = combine(value, o.constant(width, 1n), zero);
  const isZero = o.equal(value, zero);
  o.write(0, result);
  o.flagsOfResult(result, { carry: carryWhenZero ? isZero : o.not1(isZero) });
};
const blsr: Meaning = (o) => lowestSetBit(o, (value, one) => o.and(value, o.subtract(value, one)), true);
const blsmsk: Meaning = (o) => lowestSetBit(o, (value, one) => o.xor(value, o.subtract(value, one)), true);
const blsi: Meaning = (o) => lowestSetBit(o, (value, _, zero) => o.and(value, o.subtract(zero, value)), false);

/** The lowest `count` (any value) bits of `value`. */
const lowBits = <V>(o: Ops<V>, value: V, count: V): V => {
  const width = o.widthOf(0);
  const one = o.constant(width, 1n);
  const within = o.below(count, o.constant(32, BigInt(width)));
  const mask = o.subtract(o.shiftLeft(one, o.and(count, o.constant(32, BigInt(width - 1)))), one);
  return o.select(within, o.and(value, mask), value);
};

/** Start and length stand in bytes 0 and 1 of the third operand. */
const bextr: Meaning = (o) => {
  const width = o.widthOf(0);
  const value = o.read(1);
  const control = o.truncate(32, o.read(2));
  const byte = o.constant(32, 0xffn);
  const start = o.and(control, byte);
  const length = o.and(o.shiftRight(control, o.constant(8, 8n)), byte);
  const shifted = o.shiftRight(value, o.and(start, o.constant(32, BigInt(width - 1))));
  const inside = o.below(start, o.constant(32, BigInt(width)));
  const result = lowBits(o, o.select(inside, shifted, o.constant(width, 0n)), length);
  o.write(0, result);
  o.flagsOfResult(result);
};

const bzhi: Meaning = (o) => {
  const width = o.widthOf(0);
  const value = o.read(1);
  const index = o.and(o.truncate(32, o.read(2)), o.constant(32, 0xffn));
  const result = lowBits(o, value, index);
  o.write(0, result);
  o.flagsOfResult(result, { carry: o.not1(o.below(index, o.constant(32, BigInt(width)))) });
};

/** The upper half goes to the first operand, which wins if both are the same register. */
const mulx: Meaning = (o) => {
  const b = o.read(2);
  const a = o.register(RDX, o.widthOf(0));
  const low = o.multiply(a, b);
  const high = o.multiplyHigh(a, b, false);
  o.write(1, low);
  o.write(0, high);
};

const pdep: Meaning = (o) => o.write(0, o.depositBits(o.read(1), o.read(2)));
const pext: Meaning = (o) => o.write(0, o.extractBits(o.read(1), o.read(2)));

/** Shifts and a rotation that leave the flags alone; the count is taken modulo the width. */
const unflagged = <V>(o: Ops<V>, shift: (value: V, count: V) => V): void => {
  const value = o.read(1);
  const count = o.and(o.truncate(32, o.read(2)), o.constant(32, BigInt(o.widthOf(0) - 1)));
  o.write(0, shift(value, count));
};
const shlx: Meaning = (o) => unflagged(o, (value, count) => o.shiftLeft(value, count));
const shrx: Meaning = (o) => unflagged(o, (value, count) => o.shiftRight(value, count));
const sarx: Meaning = (o) => unflagged(o, (value, count) => o.shiftRightArithmetic(value, count));
const rorx: Meaning = (o) => {
  const width = o.widthOf(0);
  const value = o.read(1);
  const inWidth = o.constant(32, BigInt(width - 1));
  const count = o.and(o.zeroExtend(32, o.read(2, 8)), inWidth);
  const back = o.and(o.subtract(o.constant(32, BigInt(width)), count), inWidth);
  o.write(0, o.or(o.shiftRight(value, count), o.shiftLeft(value, back)));
};

/** CRC-32C over the source, least significant byte first; the destination's upper half is cleared. */
const crc32: Meaning = (o) => {
  const value = o.read(1);
  const crc = o.crc32c(o.truncate(32, o.read(0)), value);
  o.write(0, o.zeroExtend(o.widthOf(0), crc));
};

/** RDRAND and RDSEED always have a number here, so CF is set; the other status flags are cleared. */
const random: Meaning = (o) => {
  const width = o.widthOf(0);
  const value = o.query('randomNumber');
  o.write(0, width === 64 ? value : o.truncate(width, value));
  o.setStatusFlags(o.constant(32, 1n), STATUS_FLAGS);
};

export const bitFields = {
  andn,
  blsr,
  blsmsk,
  blsi,
  bextr,
  bzhi,
  mulx,
  pdep,
  pext,
  shlx,
  shrx,
  sarx,
  rorx,
  crc32,
  rdrand: random,
  rdseed: random,
} as const;
