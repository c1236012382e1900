/**
 * Guest memory in translated code: a probe of the software TLB in line, and the access straight to linear memory. Whatever the
 * TLB does not promise (a first touch, an access across pages, to a device, into code, or a fault) the interpreter does: to
 * call the MMU from here would have the engine keep the guest's registers in memory around every access.
 */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { TLB_MASK } from '../tlb.ts';
import type { Frame } from './frame.ts';
import { STORAGE, TLB_ENTRY } from './layout.ts';
import type { Exits, Place } from './place.ts';
import { ACCESS, OP } from './wasm-function.ts';
import { I32 } from './wasm-types.ts';
import type { WasmValue } from './wasm-value.ts';

const LOADS = { 8: ACCESS.I32_LOAD8_S, 16: ACCESS.I32_LOAD16_S, 32: ACCESS.I32_LOAD, 64: ACCESS.I64_LOAD } as const;
const STORES = { 8: ACCESS.I32_STORE8, 16: ACCESS.I32_STORE16, 32: ACCESS.I32_STORE, 64: ACCESS.I64_STORE } as const;
const PAGE_SHIFT = 12;

export type AccessKind = 'read' | 'write';

/** Memory accesses of one region. */
export class WasmMemory {
  readonly #frame: Frame;
  readonly #exits: Exits;

  constructor(frame: Frame, exits: Exits) {
    this.#frame = frame;
    this.#exits = exits;
  }

  /**
   * Host offset of an access to the linear address in `address`, in a local. An access that crosses into the next page has
   * another page number at its last byte, so it never matches the entry of its first.
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
    code.op(OP.I64_AND, OP.I64_NE);
    code.if();
    this.#exits.interpret(place);
    code.end();
    code.get(low);
    code.get(entry);
    code.access(ACCESS.I32_LOAD, tlb + TLB_ENTRY.ADDEND);
    code.op(OP.I32_ADD);
    code.set(host);
    return host;
  }

  load(width: Width, host: number): WasmValue {
    const { code, temporaries } = this.#frame;
    code.get(host);
    code.access(LOADS[width]);
    return temporaries.result(width);
  }

  store(host: number, value: WasmValue): void {
    const { code, temporaries } = this.#frame;
    code.get(host);
    temporaries.push(value);
    code.access(STORES[value.width as Width]);
  }
}
