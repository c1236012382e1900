/** Shifts and rotates: SDM vol. 2, SHL SHR SAR ROL ROR RCL RCR SHLD SHRD. */

import type { Meaning, Ops } from '../ops.ts';

/** The count is taken modulo 32, or 64 for a 64-bit operand. */
const maskedCount = <V>(o: Ops<V>, k: number): V => {
  const mask = o.widthOf(0) === 64 ? 63n : 31n;
  return o.and(o.zeroExtend(32, o.read(k, 8)), o.constant(32, mask));
};

/** Counts up to 31 exceed 8- and 16-bit operands: work at 32 bits there, where every count is in range. */
const working = (width: number): 32 | 64 => (width === 64 ? 64 : 32);

const shift = <V>(o: Ops<V>, kind: 'left' | 'right' | 'arithmetic'): void => {
  const width = o.widthOf(0);
  const wide = working(width);
  const count = maskedCount(o, 1);
  const value = o.readForUpdate(0);
  o.when(
    o.not1(o.equal(count, o.constant(32, 0n))),
    () => {
      const one = o.constant(32, 1n);
      const before = o.subtract(count, one);
      let last: V;
      let result: V;
      if (kind === 'left') {
        const extended = o.zeroExtend(wide, value);
        const partial = o.shiftLeft(extended, before);
        last = o.signBit(o.truncate(width, partial));
        result = o.truncate(width, o.shiftLeft(partial, one));
      } else {
        const extended = kind === 'right' ? o.zeroExtend(wide, value) : o.signExtend(wide, value);
        const by = (v: V, n: V) => (kind === 'right' ? o.shiftRight(v, n) : o.shiftRightArithmetic(v, n));
        const partial = by(extended, before);
        last = o.bit(partial, o.constant(32, 0n));
        result = o.truncate(width, by(partial, one));
      }
      o.write(0, result);
      // OF is defined for a count of 1 only; this is what the silicon gives there, applied to every count.
      const overflow =
        kind === 'left'
          ? o.xor1(o.signBit(result), last)
          : kind === 'right'
            ? o.xor1(o.signBit(value), o.signBit(result))
            : undefined;
      o.flagsOfResult(result, overflow ? { carry: last, overflow } : { carry: last });
    },
    () => o.write(0, value),
  );
};
const shl: Meaning = (o) => shift(o, 'left');
const shr: Meaning = (o) => shift(o, 'right');
const sar: Meaning = (o) => shift(o, 'arithmetic');

/** ROL and ROR change CF and OF only. */
const rotate = <V>(o: Ops<V>, left: boolean): void => {
  const width = o.widthOf(0);
  const wide = working(width);
  const count = maskedCount(o, 1);
  const value = o.readForUpdate(0);
  o.when(
    o.not1(o.equal(count, o.constant(32, 0n))),
    () => {
      const turn = o.and(count, o.constant(32, BigInt(width - 1)));
      const back = o.and(o.subtract(o.constant(32, BigInt(width)), turn), o.constant(32, BigInt(width - 1)));
      const extended = o.zeroExtend(wide, value);
      const up = o.shiftLeft(extended, left ? turn : back);
      const down = o.shiftRight(extended, left ? back : turn);
      const result = o.truncate(width, o.or(up, down));
      o.write(0, result);
      const low = o.bit(result, o.constant(32, 0n));
      const high = o.signBit(result);
      const next = o.bit(result, o.constant(32, BigInt(width - 2)));
      o.setCarryOverflow(left ? low : high, o.xor1(high, left ? low : next));
    },
    () => o.write(0, value),
  );
};
const rol: Meaning = (o) => rotate(o, true);
const ror: Meaning = (o) => rotate(o, false);

/** A count below 32 modulo `by`, by taking multiples away: RCL and RCR turn 9 or 17 bits in the narrow sizes. */
const modulo = <V>(o: Ops<V>, count: V, by: number): V => {
  let rest = count;
  for (let multiple = by * Math.floor(31 / by); multiple > 0; multiple -= by) {
    const by32 = o.constant(32, BigInt(multiple));
    const less = o.subtract(rest, by32);
    // One of the subtractions at most leaves a number below `by` first, and the later ones find nothing to take.
    rest = o.select(o.below(rest, by32), rest, less);
  }
  return rest;
};

/** RCL and RCR turn the operand and CF together; they change CF and OF only. */
const rotateThroughCarry = <V>(o: Ops<V>, left: boolean): void => {
  const width = o.widthOf(0);
  const wide = working(width);
  const masked = maskedCount(o, 1);
  const count = width < 32 ? modulo(o, masked, width + 1) : masked;
  const value = o.readForUpdate(0);
  o.when(
    o.not1(o.equal(count, o.constant(32, 0n))),
    () => {
      const one = o.constant(32, 1n);
      const before = o.subtract(count, one);
      const rest = o.subtract(o.constant(32, BigInt(width)), count);
      const extended = o.zeroExtend(wide, value);
      const carry = o.fromBoolean(wide, o.flag('CF'));
      // Each part in two steps, so that no count reaches the width.
      const kept = left
        ? o.shiftLeft(o.shiftLeft(extended, before), one)
        : o.shiftRight(o.shiftRight(extended, before), one);
      const around = left
        ? o.shiftRight(o.shiftRight(extended, rest), one)
        : o.shiftLeft(o.shiftLeft(extended, rest), one);
      const entering = o.shiftLeft(carry, left ? before : rest);
      const result = o.truncate(width, o.or(o.or(kept, entering), around));
      const last = o.bit(extended, left ? rest : before);
      o.write(0, result);
      const high = o.signBit(result);
      const next = o.bit(result, o.constant(32, BigInt(width - 2)));
      o.setCarryOverflow(last, o.xor1(high, left ? last : next));
    },
    () => o.write(0, value),
  );
};
const rcl: Meaning = (o) => rotateThroughCarry(o, true);
const rcr: Meaning = (o) => rotateThroughCarry(o, false);

/**
 * SHLD and SHRD: bits shifted in come from the second operand. 16-bit operands are shifted as one 32-bit value, which makes a
 * count of 16 right; beyond that the result is undefined.
 */
const doubleShift = <V>(o: Ops<V>, left: boolean): void => {
  const width = o.widthOf(0);
  const count = maskedCount(o, 2);
  const fill = o.read(1);
  const value = o.readForUpdate(0);
  o.when(
    o.not1(o.equal(count, o.constant(32, 0n))),
    () => {
      const one = o.constant(32, 1n);
      const before = o.subtract(count, one);
      const rest = o.subtract(o.constant(32, BigInt(width)), count);
      let last: V;
      let result: V;
      if (width === 16) {
        const [upper, lower] = left ? [value, fill] : [fill, value];
        const sixteen = o.constant(8, 16n);
        const both = o.or(o.shiftLeft(o.zeroExtend(32, upper), sixteen), o.zeroExtend(32, lower));
        const partial = left ? o.shiftLeft(both, before) : o.shiftRight(both, before);
        last = left ? o.signBit(partial) : o.bit(partial, o.constant(32, 0n));
        const whole = left ? o.shiftRight(o.shiftLeft(partial, one), sixteen) : o.shiftRight(partial, one);
        result = o.truncate(16, whole);
      } else {
        const kept = left ? o.shiftLeft(value, count) : o.shiftRight(value, count);
        const entering = left ? o.shiftRight(fill, rest) : o.shiftLeft(fill, rest);
        last = o.bit(value, left ? rest : before);
        result = o.or(kept, entering);
      }
      o.write(0, result);
      o.flagsOfResult(result, { carry: last, overflow: o.xor1(o.signBit(value), o.signBit(result)) });
    },
    () => o.write(0, value),
  );
};
const shld: Meaning = (o) => doubleShift(o, true);
const shrd: Meaning = (o) => doubleShift(o, false);

export const shifts = { shl, shr, sar, rol, ror, rcl, rcr, shld, shrd } as const;
