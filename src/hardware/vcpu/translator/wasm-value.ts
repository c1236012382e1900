/** Values of translated code: WebAssembly locals, or constants known when the code is made. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { knownForm, type LinearForm } from './linear-form.ts';
import { OP, type WasmFunction } from './wasm-function.ts';
import { I32, I64, type ValueType } from './wasm-types.ts';

/**
 * A value. Up to 32 bits it is an i32, sign-extended from its width; 64 bits are an i64; width 1 is a truth value, an i32
 * of 0 or 1.
 */
export interface WasmValue {
  readonly width: Width | 1;
  /** The local that holds it; absent if it is known. */
  readonly local?: number;
  /** Of 8 or 16 bits, a local that holds it without its sign as well, if there is one. */
  readonly unsigned?: number;
  readonly known?: bigint;
  /** As an address it is the stack's: mostly in the page that the last such access was in. */
  readonly stack?: boolean;
  /** What it is of the registers that the turn of a loop begins with: only while the turn is traced. */
  readonly linear?: LinearForm | undefined;
  /** What is known of its bits, if they are not all known. */
  readonly bits?: BitFacts | undefined;
  /** Of 32 bits, what it is the sum of, if that is known. */
  readonly sum?: XorSum | undefined;
  /** It is not 0 if this bit is set. */
  readonly picked?: Bit | undefined;
}

/** Bit i of a value, for each i in `bits`, is bit i + `shift` of an earlier one. */
export interface Origin {
  readonly value: WasmValue;
  readonly shift: number;
  readonly bits: bigint;
}

/** What is known of single bits; see bit-facts.ts. */
export interface BitFacts {
  readonly zeros: bigint;
  /** From the earliest one on. */
  readonly origins: readonly Origin[];
  /** Another value, 0 or 1, of which every bit is this one's: 0 - it. */
  readonly spread?: WasmValue;
}

/** One bit of a value. */
export interface Bit {
  readonly value: WasmValue;
  readonly mask: bigint;
}

/** A value of 32 bits as a sum over GF(2), see xor-sum.ts; without a base it is the terms' alone. */
export interface XorSum {
  readonly base: WasmValue | undefined;
  /** How far the base is moved down. */
  readonly shift: number;
  /** From the earliest one on: the last may have to be waited for. */
  readonly terms: readonly Term[];
}

/** A constant, of at most 32 bits, that counts if the bit is set. */
export interface Term {
  readonly bit: Bit;
  readonly constant: bigint;
}

/** The known value as its width holds it. */
export const constant = (width: Width | 1, value: bigint): WasmValue => ({
  width,
  known: width === 1 ? value & 1n : BigInt.asIntN(width, value),
});

/** The value as a sum, if it is traced or known. */
export function linearOf({ width, known, linear }: WasmValue): LinearForm | undefined {
  if (linear !== undefined || known === undefined) return linear;
  return width === 32 || width === 64 ? knownForm(width, known) : undefined;
}

const typeOf = (width: number): ValueType => (width === 64 ? I64 : I32);

function keepLocals({ local, unsigned }: WasmValue, kept: Set<number>): void {
  if (local !== undefined) kept.add(local);
  if (unsigned !== undefined) kept.add(unsigned);
}

/** The locals of a value and of all that is known of it. */
function keep(value: WasmValue, kept: Set<number>): void {
  keepLocals(value, kept);
  const { bits, picked, sum } = value;
  if (bits !== undefined) {
    for (const origin of bits.origins) keepLocals(origin.value, kept);
    if (bits.spread !== undefined) keep(bits.spread, kept);
  }
  if (picked !== undefined) keepLocals(picked.value, kept);
  if (sum === undefined) return;
  if (sum.base !== undefined) keepLocals(sum.base, kept);
  for (const { bit } of sum.terms) keepLocals(bit.value, kept);
}

/** The locals of intermediate values, which are used again as soon as nothing needs what is in them. */
export class Temporaries {
  readonly #code: WasmFunction;
  readonly #free = new Map<ValueType, number[]>([
    [I32, []],
    [I64, []],
  ]);
  readonly #types = new Map<number, ValueType>();
  readonly #busy: number[] = [];

  constructor(code: WasmFunction) {
    this.#code = code;
  }

  take(type: ValueType): number {
    const local = this.#free.get(type)!.pop() ?? this.#code.local(type);
    this.#types.set(local, type);
    this.#busy.push(local);
    return local;
  }

  /** All temporaries are free but those that hold values of some of the `groups`. */
  keepOnly(...groups: readonly Iterable<WasmValue>[]): void {
    if (this.#busy.length === 0) return;
    const kept = new Set<number>();
    for (const values of groups) for (const value of values) keep(value, kept);
    let busy = 0;
    for (const local of this.#busy)
      if (kept.has(local)) this.#busy[busy++] = local;
      else this.#free.get(this.#types.get(local)!)!.push(local);
    this.#busy.length = busy;
  }

  /** Take what is on the stack as a value of `width`. */
  result(width: Width | 1): WasmValue {
    const local = this.take(typeOf(width));
    this.#code.set(local);
    return { width, local };
  }

  /** Put a value on the stack. */
  push({ local, known, width }: WasmValue): void {
    if (local !== undefined) this.#code.get(local);
    else if (width === 64) this.#code.i64(known!);
    else this.#code.i32(Number(known!));
  }

  /** Put a value on the stack, extended by its sign to an i64. */
  pushWide(value: WasmValue): void {
    if (value.known !== undefined) this.#code.i64(value.known);
    else {
      this.push(value);
      if (value.width !== 64) this.#code.op(OP.I64_EXTEND_I32_S);
    }
  }

  /** Put the low 32 bits of a value on the stack. */
  pushLow(value: WasmValue): void {
    if (value.known !== undefined) this.#code.i32(Number(BigInt.asIntN(32, value.known)));
    else {
      this.push(value);
      if (value.width === 64) this.#code.op(OP.I32_WRAP_I64);
    }
  }
}
