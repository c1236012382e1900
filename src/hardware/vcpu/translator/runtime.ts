/** What translated code asks for: the MMU's slow road, divisions of 128 bits, faults, and instructions that the interpreter does. */

import { Divider } from '../divider.ts';
import { type Execution, RESUME } from '../execution.ts';
import type { Step } from '../interpreter/form.ts';
import { OUTCOME } from '../interpreter/js-code.ts';
import { VECTOR } from '../pending-event.ts';
import { type Processor, refuse } from '../processor.ts';
import { SLOT } from '../state.ts';
import { HOW } from './frame.ts';
import { STORAGE } from './layout.ts';

const TWO_TO_32 = 2 ** 32;

/** An instruction that the interpreter carries out for a region. */
export interface Interpreted {
  readonly address: number;
  readonly length: number;
  readonly step: Step;
}

/** Answers the calls of one vCPU's translated code, and keeps count for it. */
export class Runtime {
  readonly #cpu: Processor;
  readonly #execution: Execution;
  readonly #left: Int32Array;
  readonly #next: BigInt64Array;
  readonly #division: BigInt64Array;
  readonly #divider = new Divider();
  readonly #steps: (Interpreted | undefined)[] = [];
  readonly #free: number[] = [];
  /** What {@link Execution.retired} will be when the budget is used up. */
  #end = 0;
  /** The instruction that an interpreted step ended the region with is itself retired. */
  #completed = 0;

  constructor(cpu: Processor, execution: Execution, storage: number) {
    this.#cpu = cpu;
    this.#execution = execution;
    const { buffer } = cpu.memory.wasm;
    this.#left = new Int32Array(buffer, storage + STORAGE.LEFT, 2);
    this.#next = new BigInt64Array(buffer, storage + STORAGE.NEXT, 1);
    this.#division = new BigInt64Array(buffer, storage + STORAGE.DIVIDEND_HIGH, 3);
  }

  /** By the names of {@link RUNTIME_FUNCTIONS}. */
  get functions(): Readonly<Record<string, (...args: number[]) => number>> {
    return {
      read: (low, high, how) => this.#read(low!, high!, how!),
      write: (low, high, how) => this.#write(low!, high!, how!),
      commit: () => this.#cpu.mmu.commitBounce(),
      step: (index, left) => this.#step(index!, left!),
      badTarget: () => refuse(this.#cpu),
      divideError: () => this.#cpu.event.raise(VECTOR.DE),
      divide: (signed) => this.#divide(signed !== 0),
    };
  }

  /** Translated code is about to run until `end` instructions are retired. */
  begin(end: number): void {
    this.#end = end;
    this.#completed = 0;
  }

  /** It has returned with `outcome`. */
  end(outcome: number): void {
    this.#execution.retired = this.#end - this.#left[0]! + this.#completed;
    if (outcome === OUTCOME.EXIT || outcome === OUTCOME.FAULT) this.#cpu.event.exit.instructionLength = this.#left[1]!;
  }

  remember(step: Interpreted): number {
    const index = this.#free.pop() ?? this.#steps.length;
    this.#steps[index] = step;
    return index;
  }

  forget(indexes: readonly number[]): void {
    for (const index of indexes) this.#steps[index] = undefined;
    this.#free.push(...indexes);
  }

  /** The outcome of a data access; in the stack segment a non-canonical address is #SS. */
  #outcome(host: number, how: number): number {
    return host === OUTCOME.FAULT && (how & HOW.STACK) !== 0 ? this.#cpu.mmu.stackOutcome() : host;
  }

  #read(low: number, high: number, how: number): number {
    return this.#outcome(this.#cpu.mmu.readSlow(high * TWO_TO_32 + (low >>> 0), how & HOW.BYTES), how);
  }

  #write(low: number, high: number, how: number): number {
    const update = (how & HOW.UPDATE) !== 0;
    return this.#outcome(this.#cpu.mmu.writeSlow(high * TWO_TO_32 + (low >>> 0), how & HOW.BYTES, update), how);
  }

  #divide(signed: boolean): number {
    const [high, low, divisor] = this.#division;
    if (!this.#divider.divide64(high!, low!, divisor!, signed)) return 0;
    this.#division[0] = this.#divider.quotient64;
    this.#division[1] = this.#divider.remainder64;
    return 1;
  }

  /** Carry one instruction out; with `left` of the budget before it. If it returns not 0, STORAGE.NEXT says where the guest stands. */
  #step(index: number, left: number): number {
    const { address, length, step } = this.#steps[index]!;
    const { state } = this.#cpu;
    const offset = (address | 0) & 4095;
    const base = address - offset;
    this.#execution.retired = this.#end - left;
    state.unsignedWords[2 * SLOT.PAGE_BASE] = base;
    state.words[2 * SLOT.PAGE_BASE + 1] = Math.floor(base / TWO_TO_32);
    const outcome = step();
    if (outcome === 0) return 0;
    switch (outcome) {
      case OUTCOME.EXIT:
      case OUTCOME.FAULT:
      case OUTCOME.LATER:
        this.#next[0] = BigInt(address);
        return outcome;
      case OUTCOME.JUMP:
        this.#next[0] = state.quads[SLOT.RIP]!;
        break;
      case OUTCOME.STOP:
        this.#next[0] = BigInt(address + length);
        break;
      default:
        this.#next[0] = BigInt(base + outcome - 1);
    }
    this.#completed = 1;
    // A repeated instruction that is to be had again: no event may come between its batches.
    return outcome === offset + 1 ? RESUME : OUTCOME.STOP;
  }
}
