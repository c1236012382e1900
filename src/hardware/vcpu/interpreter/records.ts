/**
 * Decoded instructions as one vCPU executes them: of each the function of its form, which all of that form share, and a record
 * of its own numbers. What is executed in a row lies in a row. An object of its own for each, such as a closure, is ten times
 * as large, and lies wherever the collector has put it: code beyond the processor's caches then takes four times as long.
 */

import type { Plan } from './plan.ts';
import { pack, RECORD_BYTES, type RecordViews } from './record-layout.ts';
import type { Step } from './step.ts';

/** Instructions held at most: fifteen million bytes of code. */
const MOST = 1 << 22;
/** Page offset in the low bits, and above them the length. */
const PLACE_BYTES = 2;
const OFFSET_BITS = 12;
const OFFSET_MASK = (1 << OFFSET_BITS) - 1;
/** The record of an instruction that is in no block. */
const ALONE = 0;

/** A decoded instruction's part in a block. */
export interface Placed {
  readonly step: Step;
  readonly plan: Plan;
  readonly offset: number;
  readonly length: number;
}

export class Records implements RecordViews {
  /** By record number: called with that number. */
  readonly steps: Step[] = [];
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly quads: BigInt64Array;
  readonly doubles: Float64Array;
  readonly #places: Uint16Array;

  constructor() {
    // Shared, though with nobody: V8 does not count it among what it must collect soon. Untouched pages cost nothing.
    const buffer = new SharedArrayBuffer(MOST * (RECORD_BYTES + PLACE_BYTES));
    const bytes = MOST * RECORD_BYTES;
    this.bytes = new Uint8Array(buffer, 0, bytes);
    this.words = new Int32Array(buffer, 0, bytes / 4);
    this.quads = new BigInt64Array(buffer, 0, bytes / 8);
    this.doubles = new Float64Array(buffer, 0, bytes / 8);
    this.#places = new Uint16Array(buffer, bytes, MOST);
    this.clear();
  }

  /** Whether `count` more fit. */
  hasRoom(count: number): boolean {
    return this.steps.length + count <= MOST;
  }

  /** Drop all. */
  clear(): void {
    this.steps.length = 0;
    this.steps.push(nothing);
  }

  /** Take `instructions` in, one behind the other; the number of the first. */
  add(instructions: readonly Placed[]): number {
    const first = this.steps.length;
    for (let index = 0; index < instructions.length; index++) {
      const { step, plan, offset, length } = instructions[index]!;
      const at = first + index;
      this.steps.push(step);
      this.#places[at] = offset | (length << OFFSET_BITS);
      pack(plan.form.layout, plan.values, at * RECORD_BYTES, this);
    }
    return first;
  }

  /** The number of an instruction that is executed at once, and not again. */
  alone(step: Step, { form, values }: Plan): number {
    this.steps[ALONE] = step;
    pack(form.layout, values, ALONE * RECORD_BYTES, this);
    return ALONE;
  }

  /** Page offset of a block's instruction. */
  offsetOf(at: number): number {
    return this.#places[at]! & OFFSET_MASK;
  }

  lengthOf(at: number): number {
    return this.#places[at]! >> OFFSET_BITS;
  }
}

const nothing: Step = () => {
  throw new Error('there is no such instruction');
};
