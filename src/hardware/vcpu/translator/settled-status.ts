/**
 * The status flags out of the frame's locals, whatever rule is there: flags.ts's `Flags.status` without a branch, so that
 * the engine can drop what of it nobody uses, and put off what only an exit uses.
 */

import { AF, CF, FLAG_KIND, OF, PF, SF, ZF } from '../flags.ts';
import type { Frame } from './frame.ts';
import type { WasmArithmetic } from './wasm-arithmetic.ts';
import { OP } from './wasm-function.ts';
import { constant, type WasmValue } from './wasm-value.ts';

/** What the rules are made of. */
function ingredients(frame: Frame, op: WasmArithmetic) {
  const quad = (local: number): WasmValue => ({ width: 64, local });
  const [a, b, result] = [quad(frame.flagA), quad(frame.flagB), quad(frame.flagResult)];
  /** All ones if the rule is `kind`, else 0. */
  const maskOf = (kind: number): WasmValue => {
    const is = op.compare('equal', { width: 32, local: frame.flagKind }, constant(32, BigInt(kind)));
    return op.binary('subtract', constant(32, 0n), op.fromBoolean(32, is));
  };
  const among = (...values: readonly WasmValue[]): WasmValue => values.reduce((x, y) => op.binary('or', x, y));
  // A subtraction's vectors are an addition's with the minuend turned over: borrow (~a & b) | ((~a | b) & result).
  const vectors = () => {
    const adds = op.signExtend(64, maskOf(FLAG_KIND.ADD));
    return { addend: op.binary('xor', a, op.not(adds)), rest: op.binary('xor', result, adds) };
  };
  const carryOf = (addend: WasmValue, rest: WasmValue): WasmValue =>
    op.signBit(among(op.binary('and', addend, b), op.binary('and', among(addend, b), rest)));
  return { a, b, result, status: { width: 32, local: frame.flagStatus } as const, maskOf, among, vectors, carryOf };
}

/** CF alone, which instructions that leave it as it is ask for. */
export function settledCarry(frame: Frame, op: WasmArithmetic): WasmValue {
  const { code, temporaries } = frame;
  const { vectors, carryOf } = ingredients(frame, op);
  code.get(frame.flagStatus);
  code.i32(CF);
  code.op(OP.I32_AND);
  const carry = temporaries.result(1);
  // In a loop of such an instruction the rule is its own, by which the status has it.
  code.i32(FLAG_KIND.RESULT);
  code.get(frame.flagKind);
  code.op(OP.I32_LT_S);
  code.unlikelyIf();
  const { addend, rest } = vectors();
  temporaries.push(carryOf(addend, rest));
  code.set(carry.local!);
  code.end();
  return carry;
}

export function settledStatus(frame: Frame, op: WasmArithmetic): WasmValue {
  const { code, temporaries } = frame;
  const { a, b, result, status, maskOf, among, vectors, carryOf } = ingredients(frame, op);
  const flag = (truth: WasmValue, bit: number): WasmValue =>
    op.shift('left', op.fromBoolean(32, truth), constant(8, BigInt(31 - Math.clz32(bit))));
  const choose = (mask: WasmValue, yes: WasmValue, no: WasmValue): WasmValue =>
    among(op.binary('and', mask, yes), op.binary('and', op.not(mask), no));

  temporaries.pushLow(result);
  code.i32(0xff);
  code.op(OP.I32_AND, OP.I32_POPCNT);
  code.i32(1);
  code.op(OP.I32_AND, OP.I32_EQZ);
  const parity = temporaries.result(1);
  const ofResult = among(
    flag(op.compare('equal', result, constant(64, 0n)), ZF),
    flag(op.signBit(result), SF),
    flag(parity, PF),
  );
  const { addend, rest } = vectors();
  const carry = carryOf(addend, rest);
  const overflow = op.signBit(
    op.binary('and', op.not(op.binary('xor', addend, b)), op.not(op.binary('xor', addend, rest))),
  );
  const differing = op.truncate(32, op.binary('xor', op.binary('xor', a, b), result));
  const ofSum = among(flag(carry, CF), flag(overflow, OF), op.binary('and', differing, constant(32, BigInt(AF))));
  const beyond = choose(maskOf(FLAG_KIND.RESULT), status, ofSum);
  return choose(maskOf(FLAG_KIND.EXPLICIT), status, among(ofResult, beyond));
}
