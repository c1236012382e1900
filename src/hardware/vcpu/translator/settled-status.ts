/**
 * The status flags out of the frame's locals, whatever rule is there: flags.ts's {@link Flags.status} without a branch, so that
 * the engine can drop what of it nobody uses, and put off what only an exit uses.
 */

import { AF, CF, FLAG_KIND, OF, PF, SF, ZF } from '../flags.ts';
import type { Frame } from './frame.ts';
import type { WasmArithmetic } from './wasm-arithmetic.ts';
import { OP } from './wasm-function.ts';
import { constant, type WasmValue } from './wasm-value.ts';

export function settledStatus(frame: Frame, op: WasmArithmetic): WasmValue {
  const { code, temporaries } = frame;
  const word = (local: number): WasmValue => ({ width: 32, local });
  const quad = (local: number): WasmValue => ({ width: 64, local });
  const [a, b, result] = [quad(frame.flagA), quad(frame.flagB), quad(frame.flagResult)];
  const zero = constant(32, 0n);
  /** All ones if the rule is `kind`, else 0. */
  const maskOf = (kind: number): WasmValue =>
    op.binary(
      'subtract',
      zero,
      op.fromBoolean(32, op.compare('equal', word(frame.flagKind), constant(32, BigInt(kind)))),
    );
  const flag = (truth: WasmValue, bit: number): WasmValue =>
    op.shift('left', op.fromBoolean(32, truth), constant(8, BigInt(31 - Math.clz32(bit))));
  const among = (...values: readonly WasmValue[]): WasmValue => values.reduce((x, y) => op.binary('or', x, y));
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
  // A subtraction's vectors are an addition's with the minuend turned over: borrow (~a & b) | ((~a | b) & result).
  const adds = op.signExtend(64, maskOf(FLAG_KIND.ADD));
  const addend = op.binary('xor', a, op.not(adds));
  const rest = op.binary('xor', result, adds);
  const carry = op.signBit(among(op.binary('and', addend, b), op.binary('and', among(addend, b), rest)));
  const overflow = op.signBit(
    op.binary('and', op.not(op.binary('xor', addend, b)), op.not(op.binary('xor', addend, rest))),
  );
  const differing = op.truncate(32, op.binary('xor', op.binary('xor', a, b), result));
  const ofSum = among(flag(carry, CF), flag(overflow, OF), op.binary('and', differing, constant(32, BigInt(AF))));
  const status = word(frame.flagStatus);
  const beyond = choose(maskOf(FLAG_KIND.RESULT), status, ofSum);
  return choose(maskOf(FLAG_KIND.EXPLICIT), status, among(ofResult, beyond));
}
