/**
 * Guest memory in translated code: a probe of the software TLB in line, the access straight to linear memory, and the slow
 * road through the MMU, from which the region is left if the access cannot be done.
 */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { TLB_MASK } from '../tlb.ts';
import { CALL, type Frame, HOW } from './frame.ts';
import { STORAGE, TLB_ENTRY } from './layout.ts';
import type { Exits, Place } from './place.ts';
import { ACCESS, OP } from './wasm-function.ts';
import { I32 } from './wasm-types.ts';
import type { WasmValue } from './wasm-value.ts';

const LOADS = { 8: ACCESS.I32_LOAD8_S, 16: ACCESS.I32_LOAD16_S, 32: ACCESS.I32_LOAD, 64: ACCESS.I64_LOAD } as const;
const STORES = { 8: ACCESS.I32_STORE8, 16: ACCESS.I32_STORE16, 32: ACCESS.I32_STORE, 64: ACCESS.I64_STORE } as const;
const PAGE_SHIFT = 12;

export type AccessKind = 'read' | 'write' | 'update';

/** Memory accesses of one region. */
export class WasmMemory {
  readonly #frame: Frame;
  readonly #exits: Exits;
  /** The instruction at hand has stored, so that {@link Frame.end} has to be looked at once it is done. */
  stored = false;

  constructor(frame: Frame, exits: Exits) {
    this.#frame = frame;
    this.#exits = exits;
  }

  /**
   * Host offset of an access to the linear address in `address`, in a local; leaves the region if it cannot be done. An access
   * that crosses into the next page has another page number at its last byte, so it never matches the entry of its first.
   */
  translate(place: Place, width: Width, address: WasmValue, access: AccessKind): number {
    const { code, temporaries, places } = this.#frame;
    const bytes = width / 8;
    const tlb = places.storage + (access === 'read' ? STORAGE.READ_TLB : STORAGE.WRITE_TLB);
    const low = temporaries.take(I32);
    const entry = temporaries.take(I32);
    const host = temporaries.take(I32);
    temporaries.pushLow(address);
    code.tee(low);
    code.i32(PAGE_SHIFT - TLB_ENTRY.SHIFT);
    code.op(OP.I32_SHR_U);
    code.i32(TLB_MASK << TLB_ENTRY.SHIFT);
    code.op(OP.I32_AND);
    code.tee(entry);
    code.access(ACCESS.I64_LOAD, tlb + TLB_ENTRY.TAG);
    temporaries.push(address);
    if (bytes > 1) {
      code.i64(BigInt(bytes - 1));
      code.op(OP.I64_ADD);
    }
    code.i64(-4096n);
    code.op(OP.I64_AND, OP.I64_EQ);
    code.if();
    code.get(low);
    code.get(entry);
    code.access(ACCESS.I32_LOAD, tlb + TLB_ENTRY.ADDEND);
    code.op(OP.I32_ADD);
    code.set(host);
    code.else();
    this.#slow(place, bytes, address, low, access, host);
    code.end();
    return host;
  }

  #slow(place: Place, bytes: number, address: WasmValue, low: number, access: AccessKind, host: number): void {
    const { code, temporaries } = this.#frame;
    code.get(low);
    temporaries.push(address);
    code.i64(32n);
    code.op(OP.I64_SHR_U, OP.I32_WRAP_I64);
    code.i32(bytes | (address.stack ? HOW.STACK : 0) | (access === 'update' ? HOW.UPDATE : 0));
    code.call(access === 'read' ? CALL.READ : CALL.WRITE);
    code.tee(host);
    code.i32(0);
    code.op(OP.I32_LT_S);
    code.if();
    this.#exits.stopped(place, host);
    code.end();
  }

  load(width: Width, host: number): WasmValue {
    const { code, temporaries } = this.#frame;
    code.get(host);
    code.access(LOADS[width]);
    return temporaries.result(width);
  }

  /** Store at a translated address; the bounce buffer has to be emptied to where it belongs. */
  store(host: number, value: WasmValue): void {
    const { code, temporaries, places, end } = this.#frame;
    code.get(host);
    temporaries.push(value);
    code.access(STORES[value.width as Width]);
    this.stored = true;
    code.get(host);
    code.i32(places.bounce);
    code.op(OP.I32_EQ);
    code.if();
    code.call(CALL.COMMIT);
    code.set(end);
    code.end();
  }

  /** After the instruction: if a store of it went into code, that is the end of this region's truth. */
  afterInstruction(place: Place): void {
    if (!this.stored) return;
    this.stored = false;
    const { code, end } = this.#frame;
    code.get(end);
    code.if();
    this.#exits.codeChanged(place);
    code.end();
  }
}
