/** What translated code asks for, instructions that the interpreter does, and the count of what it retires. */

import type { CodeCache } from '../code-cache.ts';
import { type Execution, PORT, RESUME } from '../execution.ts';
import { OUTCOME } from '../interpreter/js-code.ts';
import type { Plan } from '../interpreter/plan.ts';
import type { PendingEvent } from '../pending-event.ts';
import type { Processor } from '../processor.ts';
import type { QuickPort } from '../quick-port.ts';
import { SLOT } from '../state.ts';
import { STORAGE } from './layout.ts';

/** Words from STORAGE.LEFT on. */
const LEFT_WORDS = 5;
const LENGTH = (STORAGE.LENGTH - STORAGE.LEFT) >> 2;
const PORT_ACCESS = (STORAGE.PORT - STORAGE.LEFT) >> 2;
const TWO_TO_32 = 2 ** 32;

/** An instruction that the interpreter carries out for a region. */
export interface Interpreted {
  readonly address: number;
  readonly length: number;
  readonly plan: Plan;
}

/** What carries such instructions out. */
export interface InterpretedProcessor extends Processor {
  readonly code: CodeCache;
  readonly execution: Execution;
}

/** Answers the calls of one vCPU's translated code, and keeps count for it. */
export class Runtime {
  readonly #cpu: Processor;
  readonly #event: PendingEvent;
  readonly #execution: Execution;
  readonly #code: CodeCache;
  readonly #quickPort: QuickPort | undefined;
  readonly #left: Int32Array;
  readonly #next: BigInt64Array;
  readonly #steps: (Interpreted | undefined)[] = [];
  readonly #free: number[] = [];
  /** What {@link Execution.retired} will be when the budget is used up. */
  #end = 0;
  /** The instruction that an interpreted step ended the region with is itself retired. */
  #completed = 0;

  constructor(cpu: InterpretedProcessor, quickPort: QuickPort | undefined, storage: number) {
    this.#quickPort = quickPort;
    this.#cpu = cpu;
    this.#event = cpu.event;
    this.#execution = cpu.execution;
    this.#code = cpu.code;
    const { buffer } = cpu.memory.wasm;
    this.#left = new Int32Array(buffer, storage + STORAGE.LEFT, LEFT_WORDS);
    this.#next = new BigInt64Array(buffer, storage + STORAGE.NEXT, 1);
  }

  /** By the names of `RUNTIME_FUNCTIONS`, and `PORT_FUNCTION`'s. */
  get functions(): Readonly<Record<string, (...args: number[]) => number>> {
    return { step: (index, left) => this.#step(index!, left!), port: this.#servePort };
  }

  /** Translated code is about to run until `end` instructions are retired. */
  begin(end: number): void {
    this.#end = end;
    this.#completed = 0;
  }

  /** It has returned with `outcome`. */
  end(outcome: number): void {
    this.#execution.retired = this.#end - this.#left[0]! + this.#completed;
    if (outcome === PORT || outcome === OUTCOME.EXIT || outcome === OUTCOME.FAULT)
      this.#event.exit.instructionLength = this.#left[LENGTH]!;
  }

  /** Exit qualification of the port access that it has ended at. */
  get port(): number {
    return this.#left[PORT_ACCESS]! >>> 0;
  }

  /** The port access at SLOT.RIP: {@link QuickPort.access}. Hot, and a function of its own as that one is. */
  readonly #servePort = (): number => {
    const left = this.#left;
    // One that uses the budget up ends it, as any other instruction does.
    if (this.#quickPort === undefined || left[0]! <= 1) return PORT;
    const execution = this.#execution;
    execution.retired = this.#end - left[0]!;
    const outcome = this.#quickPort.access(left[PORT_ACCESS]!, left[LENGTH]!);
    // The count goes on from where it is, whatever has run meanwhile.
    if (outcome !== 0) {
      this.#end = execution.retired + left[0]!;
      this.#completed = 0;
    }
    return outcome;
  };

  remember(step: Interpreted): number {
    const index = this.#free.pop() ?? this.#steps.length;
    this.#steps[index] = step;
    return index;
  }

  forget(indexes: readonly number[]): void {
    for (const index of indexes) this.#steps[index] = undefined;
    this.#free.push(...indexes);
  }

  /** Carry one instruction out; with `left` of the budget before it. If it returns not 0, STORAGE.NEXT says where the guest stands. */
  #step(index: number, left: number): number {
    const { address, length, plan } = this.#steps[index]!;
    const { state } = this.#cpu;
    const offset = (address | 0) & 4095;
    const base = address - offset;
    this.#execution.retired = this.#end - left;
    state.unsignedWords[2 * SLOT.PAGE_BASE] = base;
    state.words[2 * SLOT.PAGE_BASE + 1] = Math.floor(base / TWO_TO_32);
    const at = this.#code.alone(plan);
    const outcome = this.#code.records.steps[at]!(at);
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
