/** DIV and IDIV in translated code: what divider.ts computes, by the machine's own division where the dividend fits it. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { CALL, type Frame } from './frame.ts';
import { STORAGE } from './layout.ts';
import type { Exits, Place } from './place.ts';
import type { WasmArithmetic } from './wasm-arithmetic.ts';
import { ACCESS, OP } from './wasm-function.ts';
import { I64 } from './wasm-types.ts';
import { constant, type WasmValue } from './wasm-value.ts';

const MOST_NEGATIVE = -(1n << 63n);

interface Division {
  readonly quotient: WasmValue;
  readonly remainder: WasmValue;
}

/** Divisions of one region. */
export class WasmDivision {
  readonly #frame: Frame;
  readonly #exits: Exits;
  readonly #arithmetic: WasmArithmetic;

  constructor(frame: Frame, exits: Exits, arithmetic: WasmArithmetic) {
    this.#frame = frame;
    this.#exits = exits;
    this.#arithmetic = arithmetic;
  }

  /** high:low / divisor, all of one width; #DE if the divisor is zero or the quotient does not fit. */
  divide(place: Place, high: WasmValue, low: WasmValue, divisor: WasmValue, signed: boolean): Division {
    return divisor.width === 64
      ? this.#wide(place, high, low, divisor, signed)
      : this.#narrow(place, high, low, divisor, signed);
  }

  /** #DE if `wrong` holds. */
  #errorIf(place: Place, wrong: WasmValue): void {
    const { code, temporaries } = this.#frame;
    temporaries.push(wrong);
    code.if();
    this.#error(place);
    code.end();
  }

  #error(place: Place): void {
    const { code, temporaries } = this.#frame;
    code.call(CALL.DIVIDE_ERROR);
    this.#exits.stopped(place, temporaries.result(32).local!);
  }

  #machine(opcode: number, a: WasmValue, b: WasmValue): WasmValue {
    const { code, temporaries } = this.#frame;
    temporaries.push(a);
    temporaries.push(b);
    code.op(opcode);
    return temporaries.result(64);
  }

  /** The double-width dividend fits 64 bits. */
  #narrow(place: Place, high: WasmValue, low: WasmValue, divisor: WasmValue, signed: boolean): Division {
    const op = this.#arithmetic;
    const width = divisor.width as Width;
    const extend = (value: WasmValue) => (signed ? op.signExtend(64, value) : op.zeroExtend(64, value));
    const upper = op.shift('left', extend(high), constant(8, BigInt(width)));
    const dividend = op.binary('or', upper, op.zeroExtend(64, low));
    const by = extend(divisor);
    this.#errorIf(place, op.compare('equal', by, constant(64, 0n)));
    if (signed && width === 32)
      this.#errorIf(
        place,
        op.logical(
          'and',
          op.compare('equal', dividend, constant(64, MOST_NEGATIVE)),
          op.compare('equal', by, constant(64, -1n)),
        ),
      );
    const quotient = this.#machine(signed ? OP.I64_DIV_S : OP.I64_DIV_U, dividend, by);
    const beyond = constant(8, BigInt(64 - width));
    const cut = op.shift(signed ? 'arithmetic' : 'right', op.shift('left', quotient, beyond), beyond);
    this.#errorIf(place, op.not1(op.compare('equal', cut, quotient)));
    const remainder = this.#machine(signed ? OP.I64_REM_S : OP.I64_REM_U, dividend, by);
    return { quotient: op.truncate(width, quotient), remainder: op.truncate(width, remainder) };
  }

  /** 128 by 64 bits: the machine's own division if the upper half is but the lower's extension, the runtime's otherwise. */
  #wide(place: Place, high: WasmValue, low: WasmValue, divisor: WasmValue, signed: boolean): Division {
    const op = this.#arithmetic;
    const { code, temporaries, places } = this.#frame;
    const extension = signed ? op.shift('arithmetic', low, constant(8, 63n)) : constant(64, 0n);
    // 0 for either kind and -1 for the signed one go to the runtime, which sees whether they are errors.
    const plain = signed
      ? op.compare('below', constant(64, 1n), op.binary('add', divisor, constant(64, 1n)))
      : op.not1(op.compare('equal', divisor, constant(64, 0n)));
    const fits = op.logical('and', op.compare('equal', high, extension), plain);
    const quotient = temporaries.take(I64);
    const remainder = temporaries.take(I64);
    temporaries.push(fits);
    code.if();
    for (const [opcode, local] of signed
      ? [[OP.I64_DIV_S, quotient] as const, [OP.I64_REM_S, remainder] as const]
      : [[OP.I64_DIV_U, quotient] as const, [OP.I64_REM_U, remainder] as const]) {
      temporaries.push(low);
      temporaries.push(divisor);
      code.op(opcode);
      code.set(local);
    }
    code.else();
    for (const [value, at] of [
      [high, STORAGE.DIVIDEND_HIGH],
      [low, STORAGE.DIVIDEND_LOW],
      [divisor, STORAGE.DIVISOR],
    ] as const) {
      code.i32(0);
      temporaries.push(value);
      code.access(ACCESS.I64_STORE, places.storage + at);
    }
    code.i32(signed ? 1 : 0);
    code.call(CALL.DIVIDE);
    code.op(OP.I32_EQZ);
    code.if();
    this.#error(place);
    code.end();
    for (const [local, at] of [
      [quotient, STORAGE.DIVIDEND_HIGH],
      [remainder, STORAGE.DIVIDEND_LOW],
    ] as const) {
      code.i32(0);
      code.access(ACCESS.I64_LOAD, places.storage + at);
      code.set(local);
    }
    code.end();
    return { quotient: { width: 64, local: quotient }, remainder: { width: 64, local: remainder } };
  }
}
