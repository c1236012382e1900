/** What general registers hold at a point of a block, as far as the block itself has read or written them. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { constant, type WasmValue } from './wasm-value.ts';

export class RegisterValues {
  readonly #values = new Map<number, WasmValue>();
  #conditions = 0;

  /** Whether code is being made that runs sometimes and not always. */
  get conditional(): boolean {
    return this.#conditions > 0;
  }

  /** The low `width` bits of the register; undefined if they have to be read. */
  get(number: number, width: Width): WasmValue | undefined {
    const value = this.#values.get(number);
    if (value === undefined) return undefined;
    if (value.known === undefined) return value.width === width ? value : undefined;
    // A write of 32 bits has cleared the others.
    return constant(width, value.width === 32 ? BigInt.asUintN(32, value.known) : value.known);
  }

  /** The register has been read. */
  seen(number: number, value: WasmValue): void {
    if (!this.conditional && value.width >= 32 && !this.#values.has(number)) this.#values.set(number, value);
  }

  /** The whole register has been written: 64 bits, or 32 and the others cleared. */
  set(number: number, value: WasmValue): void {
    if (this.conditional || value.width < 32) this.#values.delete(number);
    else this.#values.set(number, value);
  }

  forgetAll(): void {
    this.#values.clear();
  }

  /** What `body` writes is written in some cases and not in others. */
  sometimes(body: () => void): void {
    this.#conditions++;
    body();
    this.#conditions--;
  }

  /** What is known of each register. */
  entries(): Iterable<readonly [number: number, value: WasmValue]> {
    return this.#values.entries();
  }

  /** Values that may be asked for again. */
  values(): Iterable<WasmValue> {
    return this.#values.values();
  }
}
