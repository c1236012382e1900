/** DIV and IDIV in translated code, by the machine's own division where the dividend fits it; see divider.ts. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import type { Frame } from './frame.ts';
import type { Exits, Place } from './place.ts';
import type { WasmArithmetic } from './wasm-arithmetic.ts';
import { OP } from './wasm-function.ts';
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

  /** high:low / divisor, all of one width. */
  divide(place: Place, high: WasmValue, low: WasmValue, divisor: WasmValue, signed: boolean): Division {
    return divisor.width === 64
      ? this.#wide(place, high, low, divisor, signed)
      : this.#narrow(place, high, low, divisor, signed);
  }

  /** Leave it to the interpreter, #DE among the rest, if `wrong` holds. */
  #unless(place: Place, wrong: WasmValue): void {
    const { code, temporaries } = this.#frame;
    if (wrong.known === 0n) return;
    temporaries.push(wrong);
    code.unlikelyIf();
    this.#exits.interpret(place);
    code.end();
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
    this.#unless(place, op.compare('equal', by, constant(64, 0n)));
    if (signed && width === 32)
      this.#unless(
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
    this.#unless(place, op.not1(op.compare('equal', cut, quotient)));
    const remainder = this.#machine(signed ? OP.I64_REM_S : OP.I64_REM_U, dividend, by);
    return { quotient: op.truncate(width, quotient), remainder: op.truncate(width, remainder) };
  }

  /** 128 by 64 bits, where the upper half is but the lower's extension; all else is the interpreter's. */
  #wide(place: Place, high: WasmValue, low: WasmValue, divisor: WasmValue, signed: boolean): Division {
    const op = this.#arithmetic;
    const extension = signed ? op.shift('arithmetic', low, constant(8, 63n)) : constant(64, 0n);
    // Neither 0 nor, of the signed, -1: only there can the quotient not fit.
    const plain = signed
      ? op.compare('below', constant(64, 1n), op.binary('add', divisor, constant(64, 1n)))
      : op.not1(op.compare('equal', divisor, constant(64, 0n)));
    this.#unless(place, op.not1(op.logical('and', op.compare('equal', high, extension), plain)));
    return {
      quotient: this.#machine(signed ? OP.I64_DIV_S : OP.I64_DIV_U, low, divisor),
      remainder: this.#machine(signed ? OP.I64_REM_S : OP.I64_REM_U, low, divisor),
    };
  }
}
