/** Where in a region an instruction stands, and how the region is left there. */

import { INTERPRET } from '../execution.ts';
import { OUTCOME } from '../interpreter/js-code.ts';
import { type Frame, SERVE_PORT } from './frame.ts';
import { giveBackStrip } from './strip-entry.ts';
import type { WasmFlags } from './wasm-flags.ts';
import { OP } from './wasm-function.ts';

/** One instruction of a block: its linear address, its length, and how many of the block are not retired when it begins. */
export interface Place {
  readonly rip: bigint;
  readonly length: number;
  readonly unretired: number;
}

/** Exits of one region. Each puts the flags in order and says where the guest stands; registers are written at the one way out. */
export class Exits {
  readonly #frame: Frame;
  readonly #flags: WasmFlags;

  constructor(frame: Frame, flags: WasmFlags) {
    this.#frame = frame;
    this.#flags = flags;
  }

  /** Give back the budget of instructions that were taken off and will not be retired. */
  #giveBack(count: number): void {
    if (count === 0) return;
    const { code, left } = this.#frame;
    code.get(left);
    code.i32(count);
    code.op(OP.I32_ADD);
    code.set(left);
  }

  #leaveAt(rip: bigint, unretired: number): void {
    const { code, rip: local } = this.#frame;
    this.#flags.settle();
    this.#giveBack(unretired);
    code.i64(rip);
    code.set(local);
    this.#frame.leave();
  }

  /** The instruction is the interpreter's to do, and nothing of it has been done. */
  interpret(place: Place): void {
    const { code, outcome, strip } = this.#frame;
    if (strip !== undefined) giveBackStrip(this.#frame, strip);
    code.i32(INTERPRET);
    code.set(outcome);
    this.#leaveAt(place.rip, place.unretired);
  }

  /** The instruction is an access to a port, of which STORAGE.PORT tells: behind this it has been served, and no register but RAX has changed. */
  port({ rip, length, unretired }: Place): void {
    const { code, outcome } = this.#frame;
    this.#flags.settle();
    this.#frame.storeAll(rip, length, unretired);
    code.call(SERVE_PORT);
    code.tee(outcome);
    code.unlikelyIf();
    code.get(outcome);
    code.op(OP.RETURN);
    code.end();
  }

  /** The guest goes on at `rip`, outside this region. */
  goOn(rip: bigint, unretired = 0): void {
    const { code, outcome } = this.#frame;
    code.i32(OUTCOME.JUMP);
    code.set(outcome);
    this.#leaveAt(rip, unretired);
  }

  /** The guest goes on where the local says, outside this region. */
  goOnAt(target: number): void {
    const { code, outcome, rip } = this.#frame;
    this.#flags.settle();
    code.i32(OUTCOME.JUMP);
    code.set(outcome);
    code.get(target);
    code.set(rip);
    this.#frame.leave();
  }

  /** An instruction that the interpreter carried out ends with the outcome in a local; the runtime says where the guest stands. */
  interpreted(place: Place, outcome: number, next: () => void): void {
    const { code, length, outcome: result, rip } = this.#frame;
    this.#flags.settle();
    code.get(outcome);
    code.set(result);
    code.i32(place.length);
    code.set(length);
    this.#giveBack(place.unretired);
    next();
    code.set(rip);
    this.#frame.leave();
  }
}
