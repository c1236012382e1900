/** Arithmetic on WebAssembly values: every result is brought back to its width, and what is known is computed here. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { bitsOfAnd, bitsOfNegation, bitsOfOr, bitsOfShiftRight, earliest } from './bit-facts.ts';
import { combined, extended, type LinearForm, lowHalf, scaled } from './linear-form.ts';
import { OP, type WasmFunction } from './wasm-function.ts';
import {
  type Bit,
  type BitFacts,
  constant,
  linearOf,
  type Temporaries,
  type WasmValue,
  type XorSum,
} from './wasm-value.ts';
import { sumOfShiftRight, sumOfXor, termOf } from './xor-sum.ts';

const MASK_32 = 0xffff_ffffn;
const OPCODES = {
  add: [OP.I32_ADD, OP.I64_ADD],
  subtract: [OP.I32_SUB, OP.I64_SUB],
  multiply: [OP.I32_MUL, OP.I64_MUL],
  and: [OP.I32_AND, OP.I64_AND],
  or: [OP.I32_OR, OP.I64_OR],
  xor: [OP.I32_XOR, OP.I64_XOR],
} as const;
const COMPARISONS = {
  equal: [OP.I32_EQ, OP.I64_EQ],
  below: [OP.I32_LT_U, OP.I64_LT_U],
  notAbove: [OP.I32_LE_U, OP.I64_LE_U],
  less: [OP.I32_LT_S, OP.I64_LT_S],
  notGreater: [OP.I32_LE_S, OP.I64_LE_S],
} as const;
const SHIFTS = {
  left: [OP.I32_SHL, OP.I64_SHL],
  right: [OP.I32_SHR_U, OP.I64_SHR_U],
  arithmetic: [OP.I32_SHR_S, OP.I64_SHR_S],
} as const;

export type BinaryName = keyof typeof OPCODES;
export type ComparisonName = keyof typeof COMPARISONS;
export type ShiftName = keyof typeof SHIFTS;

const folded: Readonly<Record<BinaryName, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

/** a + factor · b, where one of them is traced. */
function linearSum(a: WasmValue, b: WasmValue, factor: bigint): LinearForm | undefined {
  if (a.linear === undefined && b.linear === undefined) return undefined;
  const [left, right] = [linearOf(a), linearOf(b)];
  return left && right && combined(left, right, factor);
}

/** a · b, where one is traced and the other known. */
function linearProduct(a: WasmValue, b: WasmValue): LinearForm | undefined {
  const [traced, known] = a.linear === undefined ? [b.linear, a.known] : [a.linear, b.known];
  return traced && known !== undefined ? scaled(traced, known) : undefined;
}

const traced = (value: WasmValue, linear: LinearForm | undefined): WasmValue =>
  linear === undefined ? value : { ...value, linear };

/** Values of less than 32 bits are held with their sign, of which nothing is noted. */
const withBits = (value: WasmValue, bits: BitFacts | undefined): WasmValue =>
  bits === undefined || value.width < 32 ? value : { ...value, bits };

const withSum = (value: WasmValue, sum: XorSum | undefined): WasmValue =>
  sum === undefined ? value : { ...value, sum };

/** What an operation of a value and itself, or one that changes nothing, comes to. */
function trivial(name: BinaryName, a: WasmValue, b: WasmValue): WasmValue | undefined {
  if (a.local !== undefined && a.local === b.local) {
    if (name === 'subtract' || name === 'xor') return constant(widthOf(a), 0n);
    if (name === 'and' || name === 'or') return a;
  }
  if (b.known === 0n && name !== 'multiply' && name !== 'and') return a;
  if (a.known === 0n && (name === 'add' || name === 'or' || name === 'xor')) return b;
  return undefined;
}

const widthOf = (value: WasmValue): Width => value.width as Width;
const unsignedOf = ({ known, width }: WasmValue): bigint => BigInt.asUintN(width, known!);

const compared: Readonly<Record<ComparisonName, (a: WasmValue, b: WasmValue) => boolean>> = {
  equal: (a, b) => a.known === b.known,
  below: (a, b) => unsignedOf(a) < unsignedOf(b),
  notAbove: (a, b) => unsignedOf(a) <= unsignedOf(b),
  less: (a, b) => a.known! < b.known!,
  notGreater: (a, b) => a.known! <= b.known!,
};

interface Shifted {
  readonly name: ShiftName;
  readonly result: WasmValue;
  readonly of: WasmValue;
  readonly count: bigint;
}

/** Emits arithmetic into one function. */
export class WasmArithmetic {
  readonly #code: WasmFunction;
  readonly #temporaries: Temporaries;
  /** The last shift by a known count. An instruction's definition may shift in two steps, to have the last bit that falls out. */
  #shifted: Shifted | undefined;

  constructor(code: WasmFunction, temporaries: Temporaries) {
    this.#code = code;
    this.#temporaries = temporaries;
  }

  #push(value: WasmValue): void {
    this.#temporaries.push(value);
  }

  /** The value on the stack, sign-extended from `width`. */
  #narrowed(width: Width | 1): WasmValue {
    if (width === 8) this.#code.op(OP.I32_EXTEND8_S);
    if (width === 16) this.#code.op(OP.I32_EXTEND16_S);
    return this.#temporaries.result(width);
  }

  /** Put a value on the stack without its sign: as an i32 up to 32 bits. */
  #pushUnsigned(value: WasmValue): void {
    if (value.unsigned !== undefined) {
      this.#code.get(value.unsigned);
      return;
    }
    if (value.known !== undefined && value.width !== 64) {
      this.#code.i32(Number(BigInt.asIntN(32, unsignedOf(value))));
      return;
    }
    this.#push(value);
    if (value.width === 8 || value.width === 16) {
      this.#code.i32(value.width === 8 ? 0xff : 0xffff);
      this.#code.op(OP.I32_AND);
    }
  }

  #pushWide(value: WasmValue, signed: boolean): void {
    if (signed || value.width === 64) {
      this.#temporaries.pushWide(value);
      return;
    }
    this.#pushUnsigned(value);
    this.#code.op(OP.I64_EXTEND_I32_U);
  }

  binary(name: BinaryName, a: WasmValue, b: WasmValue): WasmValue {
    const width = widthOf(a);
    if (a.known !== undefined && b.known !== undefined) return constant(width, folded[name](a.known, b.known));
    const simple = trivial(name, a, b);
    if (simple !== undefined) return simple;
    if (name === 'and') return this.#and(a, b);
    this.#push(a);
    this.#push(b);
    this.#code.op(OPCODES[name][width === 64 ? 1 : 0]);
    switch (name) {
      case 'add':
        return traced(this.#narrowed(width), linearSum(a, b, 1n));
      case 'subtract':
        return traced(
          withBits(this.#narrowed(width), a.known === 0n ? bitsOfNegation(b) : undefined),
          linearSum(a, b, -1n),
        );
      case 'multiply':
        return traced(this.#narrowed(width), linearProduct(a, b));
      case 'xor':
        return withSum(withBits(this.#temporaries.result(width), bitsOfOr(a, b)), sumOfXor(a, b));
      default:
        return withBits(this.#temporaries.result(width), bitsOfOr(a, b));
    }
  }

  /** Bits that `b` picks are taken from where they come from. */
  #and(a: WasmValue, b: WasmValue): WasmValue {
    const width = widthOf(a);
    if (a.known !== undefined) return this.#and(b, a);
    const chosen = width === 32 ? a.bits?.spread : undefined;
    if (chosen !== undefined) {
      const bit = chosen.picked ?? { value: chosen, mask: 1n };
      this.pushIf(bit, b);
      return withSum(withBits(this.#temporaries.result(width), bitsOfAnd(a, b)), termOf(bit, b));
    }
    const from = b.known === undefined ? { value: a, shift: 0 } : earliest(a, b.known);
    this.#push(from.shift === 0 ? from.value : this.shift('right', from.value, constant(8, BigInt(from.shift))));
    this.#push(b);
    this.#code.op(OPCODES.and[width === 64 ? 1 : 0]);
    const result = withBits(this.#temporaries.result(width), bitsOfAnd(a, b));
    return b.known === 1n ? { ...result, picked: { value: from.value, mask: 1n << BigInt(from.shift) } } : result;
  }

  /** Put on the stack `chosen`, of 32 bits, if the bit is set, else 0. */
  pushIf({ value, mask }: Bit, chosen: WasmValue): void {
    this.#push(chosen);
    this.#code.i32(0);
    this.#push(value);
    this.#code.i32(Number(BigInt.asIntN(32, mask)));
    this.#code.op(OP.I32_AND, OP.SELECT);
  }

  not(a: WasmValue): WasmValue {
    return this.binary('xor', a, constant(widthOf(a), -1n));
  }

  compare(name: ComparisonName, a: WasmValue, b: WasmValue): WasmValue {
    if (a.known !== undefined && b.known !== undefined) return constant(1, compared[name](a, b) ? 1n : 0n);
    const isSigned = name === 'less' || name === 'notGreater';
    const unsigned = !isSigned && [a, b].every((each) => each.unsigned !== undefined || each.known !== undefined);
    for (const each of [a, b])
      if (unsigned) this.#pushUnsigned(each);
      else this.#push(each);
    this.#code.op(COMPARISONS[name][a.width === 64 ? 1 : 0]);
    return this.#temporaries.result(1);
  }

  /** Whether the sign bit of `a` is set. */
  signBit(a: WasmValue): WasmValue {
    return this.compare('less', a, constant(widthOf(a), 0n));
  }

  shift(name: ShiftName, a: WasmValue, count: WasmValue): WasmValue {
    const width = widthOf(a);
    if (a.known !== undefined && count.known !== undefined) {
      const from = name === 'right' ? unsignedOf(a) : a.known;
      return constant(width, name === 'left' ? from << unsignedOf(count) : from >> unsignedOf(count));
    }
    if (count.known === 0n && width >= 32) return a;
    const before = this.#shifted;
    if (before?.result === a && before.name === name && count.known !== undefined) {
      const both = before.count + unsignedOf(count);
      if (both < width) return this.shift(name, before.of, constant(8, both));
    }
    const result = this.#shift(name, a, count);
    this.#shifted =
      count.known === undefined || width < 32 ? undefined : { name, result, of: a, count: unsignedOf(count) };
    return result;
  }

  #shift(name: ShiftName, a: WasmValue, count: WasmValue): WasmValue {
    const width = widthOf(a);
    if (name === 'right') this.#pushUnsigned(a);
    else this.#push(a);
    if (width === 64) this.#pushWide(count, false);
    else this.#temporaries.pushLow(count);
    this.#code.op(SHIFTS[name][width === 64 ? 1 : 0]);
    if (name === 'arithmetic') return this.#temporaries.result(width);
    const shifted = this.#narrowed(width);
    const { linear } = a;
    if (count.known === undefined) return shifted;
    if (name === 'right') {
      const by = Number(unsignedOf(count));
      return withSum(withBits(shifted, bitsOfShiftRight(a, by)), sumOfShiftRight(a, by));
    }
    if (linear === undefined) return shifted;
    return traced(shifted, scaled(linear, 1n << unsignedOf(count)));
  }

  zeroExtend(width: Width, a: WasmValue): WasmValue {
    if (a.width === width) return a;
    if (a.known !== undefined) return constant(width, unsignedOf(a));
    if (width === 64) this.#pushWide(a, false);
    else this.#pushUnsigned(a);
    return traced(this.#temporaries.result(width), a.linear && width === 64 ? extended(a.linear, false) : undefined);
  }

  signExtend(width: Width, a: WasmValue): WasmValue {
    if (a.width === width) return a;
    if (a.known !== undefined) return constant(width, a.known);
    if (width !== 64) return { width, local: a.local! };
    this.#temporaries.pushWide(a);
    return traced(this.#temporaries.result(64), a.linear && extended(a.linear, true));
  }

  truncate(width: Width, a: WasmValue): WasmValue {
    if (a.width === width) return a;
    if (a.known !== undefined) return constant(width, a.known);
    this.#temporaries.pushLow(a);
    return traced(this.#narrowed(width), a.linear && width === 32 ? lowHalf(a.linear) : undefined);
  }

  fromBoolean(width: Width, a: WasmValue): WasmValue {
    if (a.known !== undefined) return constant(width, a.known);
    if (width !== 64) return { width, local: a.local! };
    this.#push(a);
    this.#code.op(OP.I64_EXTEND_I32_U);
    return this.#temporaries.result(64);
  }

  /** Bit `count` of `a`. */
  bit(a: WasmValue, count: WasmValue): WasmValue {
    const shifted = this.shift('arithmetic', a, count);
    if (shifted.known !== undefined) return constant(1, shifted.known);
    this.#temporaries.pushLow(shifted);
    this.#code.i32(1);
    this.#code.op(OP.I32_AND);
    return this.#temporaries.result(1);
  }

  not1(a: WasmValue): WasmValue {
    if (a.known !== undefined) return constant(1, 1n - a.known);
    this.#push(a);
    this.#code.op(OP.I32_EQZ);
    return this.#temporaries.result(1);
  }

  /** a ∧ b, a ∨ b or a ≠ b of truth values. */
  logical(name: 'and' | 'or' | 'xor', a: WasmValue, b: WasmValue): WasmValue {
    if (a.known !== undefined && b.known !== undefined) return constant(1, folded[name](a.known, b.known));
    this.#push(a);
    this.#push(b);
    this.#code.op(OPCODES[name][0]);
    return this.#temporaries.result(1);
  }

  select(condition: WasmValue, a: WasmValue, b: WasmValue): WasmValue {
    if (condition.known !== undefined) return condition.known !== 0n ? a : b;
    this.#push(a);
    this.#push(b);
    this.#push(condition);
    this.#code.op(OP.SELECT);
    return this.#temporaries.result(a.width);
  }

  /** Index of the lowest set bit of a value that is not zero. */
  lowestBit(a: WasmValue): WasmValue {
    this.#push(a);
    this.#code.op(a.width === 64 ? OP.I64_CTZ : OP.I32_CTZ);
    return this.#temporaries.result(a.width);
  }

  highestBit(a: WasmValue): WasmValue {
    if (a.width === 64) this.#code.i64(63n);
    else this.#code.i32(31);
    this.#pushUnsigned(a);
    this.#code.op(...(a.width === 64 ? [OP.I64_CLZ, OP.I64_SUB] : [OP.I32_CLZ, OP.I32_SUB]));
    return this.#temporaries.result(a.width);
  }

  populationCount(a: WasmValue): WasmValue {
    this.#pushUnsigned(a);
    this.#code.op(a.width === 64 ? OP.I64_POPCNT : OP.I32_POPCNT);
    return this.#temporaries.result(a.width);
  }

  /** Swap neighbouring groups of `bits` bits of the i64 in `from`; leaves the result on the stack. */
  #swapGroups(from: number, bits: bigint, mask: bigint): void {
    const code = this.#code;
    code.get(from);
    code.i64(bits);
    code.op(OP.I64_SHR_U);
    code.i64(mask);
    code.op(OP.I64_AND);
    code.get(from);
    code.i64(mask);
    code.op(OP.I64_AND);
    code.i64(bits);
    code.op(OP.I64_SHL, OP.I64_OR);
  }

  /** The bytes of a 32- or 64-bit value, turned round. */
  byteSwap(a: WasmValue): WasmValue {
    const code = this.#code;
    if (a.width === 64) {
      this.#push(a);
      const { local } = this.#temporaries.result(64);
      this.#swapGroups(local!, 8n, 0x00ff_00ff_00ff_00ffn);
      code.set(local!);
      this.#swapGroups(local!, 16n, 0x0000_ffff_0000_ffffn);
      code.i64(32n);
      code.op(OP.I64_ROTL);
      return this.#temporaries.result(64);
    }
    for (const [turn, mask] of [
      [8, 0x00ff00ff],
      [24, 0xff00ff00],
    ] as const) {
      this.#push(a);
      code.i32(turn);
      code.op(OP.I32_ROTL);
      code.i32(mask);
      code.op(OP.I32_AND);
    }
    code.op(OP.I32_OR);
    return this.#temporaries.result(32);
  }

  /** The double-width product of two values of at most 32 bits, as an i64 on the stack. */
  #pushProduct(a: WasmValue, b: WasmValue, signed: boolean): void {
    this.#pushWide(a, signed);
    this.#pushWide(b, signed);
    this.#code.op(OP.I64_MUL);
  }

  /** High half of the product. */
  multiplyHigh(a: WasmValue, b: WasmValue, signed: boolean): WasmValue {
    const width = widthOf(a);
    if (width === 64) return this.#multiplyHigh64(a, b, signed);
    this.#pushProduct(a, b, signed);
    this.#code.i64(BigInt(width));
    this.#code.op(OP.I64_SHR_U, OP.I32_WRAP_I64);
    return this.#narrowed(width);
  }

  /** Schoolbook, in halves of 32 bits; a signed product is the unsigned one less what negative factors added. */
  #multiplyHigh64(a: WasmValue, b: WasmValue, signed: boolean): WasmValue {
    const mask = constant(64, MASK_32);
    const half = constant(8, 32n);
    const lower = (value: WasmValue) => this.binary('and', value, mask);
    const upper = (value: WasmValue) => this.shift('right', value, half);
    const product = (x: WasmValue, y: WasmValue) => this.binary('multiply', x, y);
    const sum = (x: WasmValue, y: WasmValue) => this.binary('add', x, y);
    const [al, ah, bl, bh] = [lower(a), upper(a), lower(b), upper(b)];
    const middle = sum(product(ah, bl), upper(product(al, bl)));
    const other = sum(product(al, bh), lower(middle));
    const high = sum(sum(product(ah, bh), upper(middle)), upper(other));
    if (!signed) return high;
    const sign = constant(8, 63n);
    const correction = (x: WasmValue, y: WasmValue) => this.binary('and', this.shift('arithmetic', x, sign), y);
    return this.binary('subtract', this.binary('subtract', high, correction(a, b)), correction(b, a));
  }

  /** Whether the product needs more than its low half. */
  multiplySpills(a: WasmValue, b: WasmValue, signed: boolean): WasmValue {
    const width = widthOf(a);
    if (width === 64) {
      const high = this.#multiplyHigh64(a, b, signed);
      const fits = signed
        ? this.shift('arithmetic', this.binary('multiply', a, b), constant(8, 63n))
        : constant(64, 0n);
      return this.not1(this.compare('equal', high, fits));
    }
    this.#pushProduct(a, b, signed);
    const product = this.#temporaries.result(64);
    const beyond = constant(8, BigInt(64 - width));
    const back = this.shift(signed ? 'arithmetic' : 'right', this.shift('left', product, beyond), beyond);
    return this.not1(this.compare('equal', back, product));
  }
}
