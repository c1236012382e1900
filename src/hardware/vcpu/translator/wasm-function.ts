/** The body of one WebAssembly function under construction: locals, labels, instructions (WebAssembly core spec ch. 5.4). */

import { WasmBytes } from './wasm-bytes.ts';
import type { Signature, ValueType } from './wasm-types.ts';

/** Opcodes without immediates that translated code uses. */
export const OP = {
  UNREACHABLE: 0x00,
  RETURN: 0x0f,
  SELECT: 0x1b,
  I32_EQZ: 0x45,
  I32_EQ: 0x46,
  I32_NE: 0x47,
  I32_LT_S: 0x48,
  I32_LT_U: 0x49,
  I32_LE_S: 0x4c,
  I32_LE_U: 0x4d,
  I64_EQZ: 0x50,
  I64_EQ: 0x51,
  I64_NE: 0x52,
  I64_LT_S: 0x53,
  I64_LT_U: 0x54,
  I64_LE_S: 0x57,
  I64_LE_U: 0x58,
  I32_CLZ: 0x67,
  I32_CTZ: 0x68,
  I32_POPCNT: 0x69,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_MUL: 0x6c,
  I32_DIV_U: 0x6e,
  I32_AND: 0x71,
  I32_OR: 0x72,
  I32_XOR: 0x73,
  I32_SHL: 0x74,
  I32_SHR_S: 0x75,
  I32_SHR_U: 0x76,
  I32_ROTL: 0x77,
  I64_CLZ: 0x79,
  I64_CTZ: 0x7a,
  I64_POPCNT: 0x7b,
  I64_ADD: 0x7c,
  I64_SUB: 0x7d,
  I64_MUL: 0x7e,
  I64_DIV_S: 0x7f,
  I64_DIV_U: 0x80,
  I64_REM_S: 0x81,
  I64_REM_U: 0x82,
  I64_AND: 0x83,
  I64_OR: 0x84,
  I64_XOR: 0x85,
  I64_SHL: 0x86,
  I64_SHR_S: 0x87,
  I64_SHR_U: 0x88,
  I64_ROTL: 0x89,
  I32_WRAP_I64: 0xa7,
  I64_EXTEND_I32_S: 0xac,
  I64_EXTEND_I32_U: 0xad,
  I32_EXTEND8_S: 0xc0,
  I32_EXTEND16_S: 0xc1,
  I64_EXTEND8_S: 0xc2,
  I64_EXTEND16_S: 0xc3,
  I64_EXTEND32_S: 0xc4,
} as const;

/** Opcodes with an alignment and an offset. */
export const ACCESS = {
  I32_LOAD: 0x28,
  I64_LOAD: 0x29,
  I32_LOAD8_U: 0x2d,
  I32_LOAD16_U: 0x2f,
  I32_STORE: 0x36,
  I64_STORE: 0x37,
  I32_STORE8: 0x3a,
  I32_STORE16: 0x3b,
} as const;

const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const ELSE = 0x05;
const END = 0x0b;
const BR = 0x0c;
const BR_IF = 0x0d;
const BR_TABLE = 0x0e;
const CALL = 0x10;
const CALL_INDIRECT = 0x11;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const MEMORY_PREFIX = 0xfc;
const MEMORY_COPY = 10;
const MEMORY_FILL = 11;
const EMPTY = 0x40;

/** A place to branch to: the nesting depth of its block. */
export type Label = number & { readonly kind: 'label' };

/** One function. Locals 0 … are its parameters. */
export class WasmFunction {
  readonly #code = new WasmBytes();
  readonly #locals: ValueType[] = [];
  readonly #parameters: number;
  #depth = 0;
  /** Where the code branches to what hardly ever happens. */
  readonly #unlikely: number[] = [];

  constructor({ parameters }: Signature) {
    this.#parameters = parameters.length;
  }

  /** Bytes of code so far. */
  get length(): number {
    return this.#code.length;
  }

  /** A new local. */
  local(type: ValueType): number {
    this.#locals.push(type);
    return this.#parameters + this.#locals.length - 1;
  }

  get(local: number): void {
    this.#code.byte(LOCAL_GET);
    this.#code.unsigned(local);
  }
  set(local: number): void {
    this.#code.byte(LOCAL_SET);
    this.#code.unsigned(local);
  }
  tee(local: number): void {
    this.#code.byte(LOCAL_TEE);
    this.#code.unsigned(local);
  }
  i32(value: number): void {
    this.#code.byte(I32_CONST);
    this.#code.signed(value);
  }
  i64(value: bigint): void {
    this.#code.byte(I64_CONST);
    this.#code.signed64(value);
  }
  op(...opcodes: readonly number[]): void {
    for (const opcode of opcodes) this.#code.byte(opcode);
  }
  /** A load or store at `offset` beyond the address on the stack; guest accesses need no alignment. */
  access(opcode: number, offset = 0): void {
    this.#code.byte(opcode);
    this.#code.byte(0);
    this.#code.unsigned(offset);
  }

  #open(opcode: number): Label {
    this.#code.byte(opcode);
    this.#code.byte(EMPTY);
    this.#depth++;
    return this.#depth as Label;
  }
  /** A block, whose label is its end. */
  block(): Label {
    return this.#open(BLOCK);
  }
  /** A loop, whose label is its beginning. */
  loop(): Label {
    return this.#open(LOOP);
  }
  if(): Label {
    return this.#open(IF);
  }
  /** {@link if} what hardly ever holds: the engine then puts its code behind all other. */
  unlikelyIf(): Label {
    this.#unlikely.push(this.#code.length);
    return this.if();
  }
  else(): void {
    this.#code.byte(ELSE);
  }
  end(): void {
    this.#code.byte(END);
    this.#depth--;
  }
  br(label: Label): void {
    this.#code.byte(BR);
    this.#code.unsigned(this.#depth - label);
  }
  brIf(label: Label): void {
    this.#code.byte(BR_IF);
    this.#code.unsigned(this.#depth - label);
  }
  brTable(labels: readonly Label[], otherwise: Label): void {
    this.#code.byte(BR_TABLE);
    this.#code.unsigned(labels.length);
    for (const label of [...labels, otherwise]) this.#code.unsigned(this.#depth - label);
  }

  /** Call function `index`. */
  call(index: number): void {
    this.#code.byte(CALL);
    this.#code.unsigned(index);
  }
  /** Call through table 0 a function with the signature of function `like`. */
  callIndirect(like: number): void {
    this.#code.byte(CALL_INDIRECT);
    this.#code.unsigned(like);
    this.#code.byte(0);
  }
  memoryCopy(): void {
    this.op(MEMORY_PREFIX, MEMORY_COPY, 0, 0);
  }
  memoryFill(): void {
    this.op(MEMORY_PREFIX, MEMORY_FILL, 0);
  }

  /** The function as the code section has it, without its length, and the offsets in it of {@link unlikelyIf}s. */
  encoded(): { readonly bytes: Uint8Array; readonly unlikely: readonly number[] } {
    const out = new WasmBytes();
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    out.unsigned(runs.length);
    for (const { type, count } of runs) {
      out.unsigned(count);
      out.byte(type);
    }
    const begin = out.length;
    out.append(this.#code.bytes);
    out.byte(END);
    return { bytes: out.bytes, unlikely: this.#unlikely.map((offset) => begin + offset) };
  }
}
