/**
 * Status flags in translated code. An instruction that sets them leaves only the values that they follow from; code that
 * derives a flag is made where somebody reads it, and what nobody reads costs nothing. The formulas are flags.ts's.
 */

import { AF, CF, DF, FLAG_KIND, IF, OF, PF, SF, STATUS_FLAGS, ZF } from '../flags.ts';
import { CONDITION, type ExtraFlags, type FlagName } from '../ops.ts';
import { WORD } from '../state.ts';
import type { Frame } from './frame.ts';
import type { LoopEnd } from './loop-bound.ts';
import { settledCarry, settledStatus } from './settled-status.ts';
import type { WasmArithmetic } from './wasm-arithmetic.ts';
import { ACCESS, OP } from './wasm-function.ts';
import { constant, linearOf, type WasmValue } from './wasm-value.ts';

type SumKind = typeof FLAG_KIND.ADD | typeof FLAG_KIND.SUBTRACT | typeof FLAG_KIND.SUBTRACT_WITH_BORROW;

/** Where the flags stand at this point of the code. */
export type FlagState =
  /** In the frame's locals, by whatever rule is there; `entry`: nothing in this block has set them yet. */
  | { readonly rule: 'settled'; readonly entry: boolean }
  | {
      readonly rule: 'sum';
      readonly kind: SumKind;
      readonly a: WasmValue;
      readonly b: WasmValue;
      readonly result: WasmValue;
      /** A carry or a borrow went in, so one comparison does not tell what came out. */
      readonly entered: boolean;
    }
  | { readonly rule: 'result'; readonly result: WasmValue; readonly extra: ExtraFlags<WasmValue> }
  | { readonly rule: 'explicit'; readonly status: WasmValue };

export const SETTLED: FlagState = { rule: 'settled', entry: true };

const FALSE = constant(1, 0n);
const flagBit: Readonly<Record<FlagName, number>> = { CF, PF, AF, ZF, SF, OF, DF, IF };

/** The values that a state needs to be kept. */
export function valuesOf(state: FlagState): readonly WasmValue[] {
  switch (state.rule) {
    case 'settled':
      return [];
    case 'sum':
      return [state.a, state.b, state.result];
    case 'result':
      return [state.result, ...Object.values(state.extra)];
    case 'explicit':
      return [state.status];
  }
}

/** What a branch on `condition` looks at, as sums of the registers that the turn of a loop begins with. */
export function loopEndOf(condition: number, state: FlagState): LoopEnd | undefined {
  if (state.rule !== 'sum' && state.rule !== 'result') return undefined;
  const comparison = state.rule === 'sum' && state.kind === FLAG_KIND.SUBTRACT;
  const a = linearOf(comparison ? state.a : state.result);
  const b = comparison ? linearOf(state.b) : undefined;
  return a === undefined || (comparison && b === undefined) ? undefined : { condition, a, b };
}

/** The flags of one region while its code is made. */
export class WasmFlags {
  state: FlagState = SETTLED;
  /** Somebody has asked for the flags that the block began with. */
  entryNeeded = false;
  readonly #frame: Frame;
  readonly #arithmetic: WasmArithmetic;

  constructor(frame: Frame, arithmetic: WasmArithmetic) {
    this.#frame = frame;
    this.#arithmetic = arithmetic;
  }

  #needSettled(): void {
    if (this.state.rule === 'settled' && this.state.entry) this.entryNeeded = true;
  }

  /** Bring the frame's locals up to date, as an exit or a place where paths join needs them; the state stays what it is. */
  settle(): void {
    const { state } = this;
    const { code, temporaries, flagKind, flagStatus, flagA, flagB, flagResult } = this.#frame;
    switch (state.rule) {
      case 'settled':
        this.#needSettled();
        return;
      case 'sum':
        code.i32(state.kind);
        code.set(flagKind);
        for (const [value, local] of [
          [state.a, flagA],
          [state.b, flagB],
          [state.result, flagResult],
        ] as const) {
          temporaries.pushWide(value);
          code.set(local);
        }
        return;
      case 'result':
        code.i32(FLAG_KIND.RESULT);
        code.set(flagKind);
        temporaries.pushWide(state.result);
        code.set(flagResult);
        this.#pushBits([
          [state.extra.carry, CF],
          [state.extra.overflow, OF],
          [state.extra.auxiliary, AF],
        ]);
        code.set(flagStatus);
        return;
      case 'explicit':
        code.i32(FLAG_KIND.EXPLICIT);
        code.set(flagKind);
        temporaries.push(state.status);
        code.i32(STATUS_FLAGS);
        code.op(OP.I32_AND);
        code.set(flagStatus);
    }
  }

  /** Settle, and count on it from here on. */
  settled(): void {
    this.settle();
    if (this.state.rule !== 'settled') this.state = { rule: 'settled', entry: false };
  }

  /** The truth values as bits of one i32 on the stack. */
  #pushBits(parts: readonly (readonly [WasmValue | undefined, number])[]): void {
    const { code, temporaries } = this.#frame;
    let known = 0;
    let pushed = false;
    for (const [value, bit] of parts) {
      if (value === undefined) continue;
      if (value.known !== undefined) {
        if (value.known !== 0n) known |= bit;
        continue;
      }
      temporaries.push(value);
      code.i32(31 - Math.clz32(bit));
      code.op(OP.I32_SHL);
      if (pushed) code.op(OP.I32_OR);
      pushed = true;
    }
    if (!pushed) code.i32(known);
    else if (known !== 0) {
      code.i32(known);
      code.op(OP.I32_OR);
    }
  }

  /** The six flags at their places. */
  status(): WasmValue {
    if (this.state.rule === 'explicit') return this.state.status;
    this.settled();
    const status = settledStatus(this.#frame, this.#arithmetic);
    this.state = { rule: 'explicit', status };
    return status;
  }

  /** Whether any bit of `mask` is set in the status. */
  #statusHas(mask: number): WasmValue {
    const { code, temporaries } = this.#frame;
    temporaries.push(this.status());
    code.i32(mask);
    code.op(OP.I32_AND);
    code.i32(0);
    code.op(OP.I32_NE);
    return temporaries.result(1);
  }

  /** The sign of a bitwise formula of a, b and result. */
  #vectorSign(formula: (a: WasmValue, b: WasmValue, result: WasmValue) => WasmValue): WasmValue {
    if (this.state.rule !== 'sum') throw new Error('a carry vector of flags that follow from no sum');
    const { a, b, result } = this.state;
    return this.#arithmetic.signBit(formula(a, b, result));
  }

  carry(): WasmValue {
    const { state } = this;
    const op = this.#arithmetic;
    if (state.rule === 'result') return state.extra.carry ?? FALSE;
    if (state.rule === 'settled') {
      this.#needSettled();
      return settledCarry(this.#frame, op);
    }
    if (state.rule !== 'sum') return this.#statusHas(CF);
    if (!state.entered)
      return state.kind === FLAG_KIND.ADD
        ? op.compare('below', state.result, state.a)
        : op.compare('below', state.a, state.b);
    if (state.kind === FLAG_KIND.ADD)
      return this.#vectorSign((a, b, result) =>
        op.binary('or', op.binary('and', a, b), op.binary('and', op.binary('or', a, b), op.not(result))),
      );
    return this.#vectorSign((a, b, result) =>
      op.binary('or', op.binary('and', op.not(a), b), op.binary('and', op.binary('or', op.not(a), b), result)),
    );
  }

  overflow(): WasmValue {
    const { state } = this;
    const op = this.#arithmetic;
    if (state.rule === 'result') return state.extra.overflow ?? FALSE;
    if (state.rule !== 'sum') return this.#statusHas(OF);
    return this.#vectorSign((a, b, result) =>
      op.binary(
        'and',
        op.binary('xor', a, state.kind === FLAG_KIND.ADD ? result : b),
        op.binary('xor', state.kind === FLAG_KIND.ADD ? b : a, result),
      ),
    );
  }

  auxiliary(): WasmValue {
    const { state } = this;
    const op = this.#arithmetic;
    if (state.rule === 'result') return state.extra.auxiliary ?? FALSE;
    if (state.rule !== 'sum') return this.#statusHas(AF);
    return op.bit(op.binary('xor', op.binary('xor', state.a, state.b), state.result), constant(8, 4n));
  }

  zero(): WasmValue {
    const { state } = this;
    if (state.rule === 'settled' || state.rule === 'explicit') return this.#statusHas(ZF);
    if (state.rule === 'sum' && state.kind === FLAG_KIND.SUBTRACT)
      return this.#arithmetic.compare('equal', state.a, state.b);
    return this.#arithmetic.compare('equal', state.result, constant(state.result.width, 0n));
  }

  sign(): WasmValue {
    const { state } = this;
    if (state.rule === 'settled' || state.rule === 'explicit') return this.#statusHas(SF);
    return this.#arithmetic.signBit(state.result);
  }

  /** Even parity of the result's low byte: bit n of 0x9669 is the parity of the nibble n. */
  parity(): WasmValue {
    const { state } = this;
    const { code, temporaries } = this.#frame;
    if (state.rule === 'settled' || state.rule === 'explicit') return this.#statusHas(PF);
    temporaries.pushLow(state.result);
    code.i32(0xff);
    code.op(OP.I32_AND, OP.I32_POPCNT);
    code.i32(1);
    code.op(OP.I32_AND, OP.I32_EQZ);
    return temporaries.result(1);
  }

  #less(): WasmValue {
    const { state } = this;
    if (state.rule === 'sum' && state.kind === FLAG_KIND.SUBTRACT)
      return this.#arithmetic.compare('less', state.a, state.b);
    return this.#arithmetic.logical('xor', this.sign(), this.overflow());
  }

  #either(a: WasmValue, b: WasmValue): WasmValue {
    return this.#arithmetic.logical('or', a, b);
  }

  holds(condition: number): WasmValue {
    const truth = this.#holdsEven(condition & ~1);
    return condition & 1 ? this.#arithmetic.not1(truth) : truth;
  }

  #holdsEven(condition: number): WasmValue {
    const { state } = this;
    const compared = state.rule === 'sum' && state.kind === FLAG_KIND.SUBTRACT;
    switch (condition) {
      case CONDITION.O:
        return this.overflow();
      case CONDITION.B:
        return this.carry();
      case CONDITION.Z:
        return this.zero();
      case CONDITION.BE:
        return compared
          ? this.#arithmetic.compare('notAbove', state.a, state.b)
          : this.#either(this.carry(), this.zero());
      case CONDITION.S:
        return this.sign();
      case CONDITION.P:
        return this.parity();
      case CONDITION.L:
        return this.#less();
      case CONDITION.LE:
        return compared
          ? this.#arithmetic.compare('notGreater', state.a, state.b)
          : this.#either(this.#less(), this.zero());
      default:
        throw new Error(`there is no condition code ${condition}`);
    }
  }

  flag(name: FlagName): WasmValue {
    switch (name) {
      case 'CF':
        return this.carry();
      case 'PF':
        return this.parity();
      case 'AF':
        return this.auxiliary();
      case 'ZF':
        return this.zero();
      case 'SF':
        return this.sign();
      case 'OF':
        return this.overflow();
      default: {
        const { code, temporaries } = this.#frame;
        this.#frame.stateWord(WORD.FLAG_CONTROL);
        code.i32(flagBit[name]);
        code.op(OP.I32_AND);
        code.i32(0);
        code.op(OP.I32_NE);
        return temporaries.result(1);
      }
    }
  }

  setFlag(name: FlagName, value: WasmValue): void {
    const bit = flagBit[name];
    if (name === 'CF') this.setCarryOverflow(value, this.overflow());
    else if ((bit & STATUS_FLAGS) !== 0) this.#replaceBits(bit, () => this.#pushBits([[value, bit]]));
    else {
      const { code, places } = this.#frame;
      code.i32(0);
      this.#frame.stateWord(WORD.FLAG_CONTROL);
      code.i32(~bit);
      code.op(OP.I32_AND);
      this.#pushBits([[value, bit]]);
      code.op(OP.I32_OR);
      code.access(ACCESS.I32_STORE, places.state + WORD.FLAG_CONTROL * 4);
    }
  }

  /** Replace the status bits that `mask` names by those that `push` leaves on the stack. */
  #replaceBits(mask: number, push: () => void): void {
    const { code, temporaries } = this.#frame;
    temporaries.push(this.status());
    code.i32(~mask);
    code.op(OP.I32_AND);
    push();
    code.op(OP.I32_OR);
    this.state = { rule: 'explicit', status: temporaries.result(32) };
  }

  setCarryOverflow(carry: WasmValue, overflow: WasmValue): void {
    const { state } = this;
    if (state.rule === 'sum' || state.rule === 'result') {
      this.state = { rule: 'result', result: state.result, extra: { carry, overflow, auxiliary: this.auxiliary() } };
      return;
    }
    this.#replaceBits(CF | OF, () =>
      this.#pushBits([
        [carry, CF],
        [overflow, OF],
      ]),
    );
  }

  setStatus(value: WasmValue, mask: number): void {
    const { code, temporaries } = this.#frame;
    if (mask === STATUS_FLAGS) {
      this.state = { rule: 'explicit', status: value };
      return;
    }
    this.#replaceBits(mask, () => {
      temporaries.push(value);
      code.i32(mask);
      code.op(OP.I32_AND);
    });
  }

  ofSum(kind: SumKind, a: WasmValue, b: WasmValue, result: WasmValue, entered: boolean): void {
    this.state = { rule: 'sum', kind, a, b, result, entered };
  }

  ofResult(result: WasmValue, extra: ExtraFlags<WasmValue>): void {
    this.state = { rule: 'result', result, extra };
  }
}
