/**
 * A region's function while it is written: the guest's registers and flags in locals, the one way in and the one way out, and
 * what every part of the emitter shares.
 */

import { SLOT, WORD } from '../state.ts';
import { EMPTY_TAG, STORAGE } from './layout.ts';
import type { LoopTrace } from './loop-trace.ts';
import { RegisterValues } from './register-values.ts';
import type { Strip } from './strip.ts';
import { ACCESS, type Label, OP, WasmFunction } from './wasm-function.ts';
import type { ImportedFunction } from './wasm-module.ts';
import { I32, I64, type Signature } from './wasm-types.ts';
import { Temporaries } from './wasm-value.ts';

/** Where a vCPU's shared words are, as byte offsets in linear memory. */
export interface Places {
  /** The state page. */
  readonly state: number;
  /** The storage that {@link STORAGE} divides. */
  readonly storage: number;
}

/** A region: the budget of instructions in, an outcome out. */
export const REGION: Signature = { parameters: [I32], results: [I32] };

/** What translated code asks the runtime for, by index; runtime.ts answers. */
export const RUNTIME_FUNCTIONS: readonly ImportedFunction[] = [
  { name: 'step', signature: { parameters: [I32, I32], results: [I32] } },
];
/** … and, of regions that access ports, behind these. It is asked without the dispatcher in between, though the engine makes a door for each such region then. */
export const PORT_FUNCTION: ImportedFunction = { name: 'port', signature: { parameters: [], results: [I32] } };
/** Have the interpreter do an instruction: its number, and what is left of the budget before it. An outcome, or 0. */
export const STEP = 0;
/** Have the access that STORAGE tells of served where it stands: 0 to go on behind it, else an outcome, and the state page says where the guest stands. */
export const SERVE_PORT = RUNTIME_FUNCTIONS.length;
const GENERAL_REGISTERS = 16;
const BUDGET = 0;

/** The locals and exits of one region's function. */
export class Frame {
  readonly code = new WasmFunction(REGION);
  readonly temporaries = new Temporaries(this.code);
  readonly places: Places;
  /** Instructions that may still be retired, those of the block at hand already taken off. */
  readonly left = BUDGET;
  readonly #registers = Array.from({ length: GENERAL_REGISTERS }, () => this.code.local(I64));
  /** Flags as flags.ts keeps them: kind, explicit status, operands and result. */
  readonly flagKind = this.code.local(I32);
  readonly flagStatus = this.code.local(I32);
  readonly flagA = this.code.local(I64);
  readonly flagB = this.code.local(I64);
  readonly flagResult = this.code.local(I64);
  /** What the exit reports: outcome, rip, length of the instruction. */
  readonly outcome = this.code.local(I32);
  readonly rip = this.code.local(I64);
  readonly length = this.code.local(I32);
  readonly #loaded: number;
  readonly #stored: number;
  /** The page that the last read (and the last write) of the stack was in, as the TLB had it; EMPTY_TAG at first. */
  readonly #readPage = { page: this.code.local(I64), addend: this.code.local(I32) };
  readonly #writePage = { page: this.code.local(I64), addend: this.code.local(I32) };
  /** Registers that the code names and changes, as bits: what the first pass finds out for the second. */
  used = 0;
  changed = 0;
  /** What is known of the registers where the block being written has come to. */
  values = new RegisterValues();
  /** The turn of a loop that is being followed, and the strip whose code is being written. */
  trace: LoopTrace | undefined;
  strip: Strip | undefined;
  #exit = 0 as Label;

  /** `loaded` and `stored` say which registers live in locals, and which of them the exit writes back. */
  constructor(places: Places, loaded: number, stored: number) {
    this.places = places;
    this.#loaded = loaded;
    this.#stored = stored;
  }

  /** The local of a register that is about to be read. */
  register(number: number): number {
    this.used |= 1 << number;
    return this.#registers[number]!;
  }

  /** The local of a register that is about to be written. */
  changedRegister(number: number): number {
    this.used |= 1 << number;
    this.changed |= 1 << number;
    return this.#registers[number]!;
  }

  /** Nothing but an interpreted instruction changes the TLB while the region runs. */
  stackPage(access: 'read' | 'write'): { readonly page: number; readonly addend: number } {
    return access === 'read' ? this.#readPage : this.#writePage;
  }

  stateQuad(slot: number): void {
    this.code.i32(0);
    this.code.access(ACCESS.I64_LOAD, this.places.state + slot * 8);
  }

  stateWord(word: number): void {
    this.code.i32(0);
    this.code.access(ACCESS.I32_LOAD, this.places.state + word * 4);
  }

  #store(local: number, opcode: number, at: number): void {
    this.code.i32(0);
    this.code.get(local);
    this.code.access(opcode, at);
  }

  /** Registers and flags from the state page. */
  loadState(): void {
    for (let number = 0; number < GENERAL_REGISTERS; number++) {
      if (((this.#loaded >> number) & 1) === 0) continue;
      this.stateQuad(number);
      this.code.set(this.#registers[number]!);
    }
    for (const { page } of [this.#readPage, this.#writePage]) {
      this.code.i64(EMPTY_TAG);
      this.code.set(page);
    }
    for (const [word, local] of [
      [WORD.FLAG_KIND, this.flagKind],
      [WORD.FLAG_STATUS, this.flagStatus],
    ] as const) {
      this.stateWord(word);
      this.code.set(local);
    }
    for (const [slot, local] of [
      [SLOT.FLAG_A, this.flagA],
      [SLOT.FLAG_B, this.flagB],
      [SLOT.FLAG_RESULT, this.flagResult],
    ] as const) {
      this.stateQuad(slot);
      this.code.set(local);
    }
  }

  /** Registers and flags to the state page. */
  storeState(): void {
    const { state } = this.places;
    for (let number = 0; number < GENERAL_REGISTERS; number++)
      if (((this.#stored >> number) & 1) !== 0)
        this.#store(this.#registers[number]!, ACCESS.I64_STORE, state + number * 8);
    this.#store(this.flagKind, ACCESS.I32_STORE, state + WORD.FLAG_KIND * 4);
    this.#store(this.flagStatus, ACCESS.I32_STORE, state + WORD.FLAG_STATUS * 4);
    this.#store(this.flagA, ACCESS.I64_STORE, state + SLOT.FLAG_A * 8);
    this.#store(this.flagB, ACCESS.I64_STORE, state + SLOT.FLAG_B * 8);
    this.#store(this.flagResult, ACCESS.I64_STORE, state + SLOT.FLAG_RESULT * 8);
  }

  begin(): void {
    this.loadState();
    this.#exit = this.code.block();
  }

  /** Leave the region; {@link outcome}, {@link rip} and {@link length} are set, and the flags are in their locals. */
  leave(): void {
    this.code.br(this.#exit);
  }

  /** To the state page, with where the guest stands, as a way out leaves it: before whoever looks there is called. */
  storeAll(rip: bigint, length: number, unretired: number): void {
    const { code, places } = this;
    this.storeState();
    code.i32(0);
    code.i64(rip);
    code.access(ACCESS.I64_STORE, places.state + SLOT.RIP * 8);
    code.i32(0);
    code.get(this.left);
    code.i32(unretired);
    code.op(OP.I32_ADD);
    code.access(ACCESS.I32_STORE, places.storage + STORAGE.LEFT);
    code.i32(0);
    code.i32(length);
    code.access(ACCESS.I32_STORE, places.storage + STORAGE.LENGTH);
  }

  /** The one way out, but for what has stored all before. */
  finish(): void {
    const { code, places } = this;
    // Every path has left already; this tells the validator so.
    code.op(OP.UNREACHABLE);
    code.end();
    this.storeState();
    this.#store(this.rip, ACCESS.I64_STORE, places.state + SLOT.RIP * 8);
    this.#store(this.left, ACCESS.I32_STORE, places.storage + STORAGE.LEFT);
    this.#store(this.length, ACCESS.I32_STORE, places.storage + STORAGE.LENGTH);
    code.get(this.outcome);
  }
}
