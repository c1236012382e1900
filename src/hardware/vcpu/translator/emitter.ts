/** What writes one region's code: the frame and, on it, one emitter for each subject. */

import { Frame, type Places } from './frame.ts';
import { Exits } from './place.ts';
import { WasmArithmetic } from './wasm-arithmetic.ts';
import { WasmDivision } from './wasm-division.ts';
import { WasmFlags } from './wasm-flags.ts';
import { WasmMemory } from './wasm-memory.ts';

/** Registers in locals, as bits; by default all. */
export interface RegisterUse {
  readonly used: number;
  readonly changed: number;
}

export class Emitter {
  readonly frame: Frame;
  readonly arithmetic: WasmArithmetic;
  readonly flags: WasmFlags;
  readonly exits: Exits;
  readonly memory: WasmMemory;
  readonly division: WasmDivision;

  constructor(places: Places, { used, changed }: RegisterUse) {
    this.frame = new Frame(places, used, changed);
    this.arithmetic = new WasmArithmetic(this.frame.code, this.frame.temporaries);
    this.flags = new WasmFlags(this.frame, this.arithmetic);
    this.exits = new Exits(this.frame, this.flags);
    this.memory = new WasmMemory(this.frame, this.exits);
    this.division = new WasmDivision(this.frame, this.exits, this.arithmetic);
  }
}
