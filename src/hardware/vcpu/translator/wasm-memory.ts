/**
 * Guest memory in translated code: a probe of the software TLB in line, and the access straight to linear memory. Whatever the
 * TLB does not promise (a first touch, an access across pages, to a device, into code, or a fault) the interpreter does: to
 * call the MMU from here would have the engine keep the guest's registers in memory around every access.
 */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { TLB_MASK } from '../tlb.ts';
import type { AccessKind } from './access.ts';
import type { Frame } from './frame.ts';
import { STORAGE, TLB_ENTRY } from './layout.ts';
import type { Exits, Place } from './place.ts';
import { ACCESS, OP } from './wasm-function.ts';
import { I32 } from './wasm-types.ts';
import { linearOf, type WasmValue } from './wasm-value.ts';

const LOADS = { 8: ACCESS.I32_LOAD8_U, 16: ACCESS.I32_LOAD16_U, 32: ACCESS.I32_LOAD, 64: ACCESS.I64_LOAD } as const;
const STORES = { 8: ACCESS.I32_STORE8, 16: ACCESS.I32_STORE16, 32: ACCESS.I32_STORE, 64: ACCESS.I64_STORE } as const;
const PAGE_SHIFT = 12;

/** A host offset: what a local holds, and a constant. */
export interface Host {
  readonly local: number;
  readonly offset: number;
}

/** Memory accesses of one region. */
export class WasmMemory {
  readonly #frame: Frame;
  readonly #exits: Exits;

  constructor(frame: Frame, exits: Exits) {
    this.#frame = frame;
    this.#exits = exits;
  }

  /**
   * Host offset of an access to the linear address in `address`. An access that crosses into the next page has
   * another page number at its last byte, so it never matches the entry of its first.
   */
  translate(place: Place, width: Width, address: WasmValue, access: AccessKind): Host {
    const { code, temporaries, trace, strip } = this.#frame;
    trace?.access({ address: linearOf(address), bytes: width / 8, kind: access });
    const known = strip?.nextPlace();
    if (known?.kind === 'pointer') return { local: known.pointer, offset: known.offset };
    if (known?.kind === 'page') return this.#known(address, known.addend);
    if (known?.kind === 'likely') {
      this.#confirm(place, width, address, access, known.addend);
      return this.#known(address, known.addend);
    }
    const low = temporaries.take(I32);
    const addend = address.stack === true ? this.#nearby(place, width, address, access, low) : temporaries.take(I32);
    if (address.stack !== true) {
      this.#probe(place, width, address, access, low);
      code.set(addend);
    }
    const host = temporaries.take(I32);
    code.get(low);
    code.get(addend);
    code.op(OP.I32_ADD);
    code.set(host);
    return { local: host, offset: 0 };
  }

  /** Host offset of an access whose page a strip has looked up. */
  #known(address: WasmValue, addend: number): Host {
    const { code, temporaries } = this.#frame;
    temporaries.pushLow(address);
    code.get(addend);
    code.op(OP.I32_ADD);
    return { local: temporaries.result(32).local!, offset: 0 };
  }

  /**
   * Put the TLB's addend into a local, which mostly has it already: that it has not is a branch not taken, so that the access need
   * not wait for the TLB, and one that loads the next one's address takes no longer than that.
   */
  #confirm(place: Place, width: Width, address: WasmValue, access: AccessKind, likely: number): void {
    const { code, temporaries } = this.#frame;
    this.#probe(place, width, address, access, temporaries.take(I32));
    const addend = temporaries.result(32).local!;
    code.get(addend);
    code.get(likely);
    code.op(OP.I32_NE);
    code.unlikelyIf();
    code.get(addend);
    code.set(likely);
    code.end();
  }

  /** The addend of the page that the last access to the stack was in, if this one is aligned and there too; else the TLB's. */
  #nearby(place: Place, width: Width, address: WasmValue, access: AccessKind, low: number): number {
    const { code, temporaries } = this.#frame;
    const { page, addend } = this.#frame.stackPage(access);
    // An aligned access lies in one page; of any other some low bits are left, with which it is in none that is kept here.
    temporaries.push(address);
    code.i64(-4096n | BigInt(width / 8 - 1));
    code.op(OP.I64_AND);
    code.get(page);
    code.op(OP.I64_NE);
    code.unlikelyIf();
    this.#probe(place, width, address, access, low);
    code.set(addend);
    temporaries.push(address);
    code.i64(-4096n);
    code.op(OP.I64_AND);
    code.set(page);
    code.end();
    temporaries.pushLow(address);
    code.set(low);
    return addend;
  }

  /** The page of the last byte accessed. */
  #pushPage(width: Width, address: WasmValue): void {
    const { code, temporaries } = this.#frame;
    temporaries.push(address);
    if (width > 8) {
      code.i64(BigInt(width / 8 - 1));
      code.op(OP.I64_ADD);
    }
    code.i64(-4096n);
    code.op(OP.I64_AND);
  }

  /** Leave unless the TLB knows the page; its addend is on the stack then, and the low half of the address in `low`. */
  #probe(place: Place, width: Width, address: WasmValue, access: AccessKind, low: number): void {
    const { code, temporaries, places } = this.#frame;
    const tlb = places.storage + (access === 'read' ? STORAGE.READ_TLB : STORAGE.WRITE_TLB);
    const entry = temporaries.take(I32);
    temporaries.pushLow(address);
    code.tee(low);
    code.i32(PAGE_SHIFT - TLB_ENTRY.SHIFT);
    code.op(OP.I32_SHR_U);
    code.i32(TLB_MASK << TLB_ENTRY.SHIFT);
    code.op(OP.I32_AND);
    code.tee(entry);
    code.access(ACCESS.I64_LOAD, tlb + TLB_ENTRY.TAG);
    this.#pushPage(width, address);
    code.op(OP.I64_NE);
    code.unlikelyIf();
    this.#exits.interpret(place);
    code.end();
    code.get(entry);
    code.access(ACCESS.I32_LOAD, tlb + TLB_ENTRY.ADDEND);
  }

  load(width: Width, { local, offset }: Host): WasmValue {
    this.#frame.code.get(local);
    return this.#loadAt(width, offset);
  }

  /** The low bits of a slot of the state page. */
  loadState(width: Width, slot: number): WasmValue {
    this.#frame.code.i32(0);
    return this.#loadAt(width, this.#frame.places.state + slot * 8);
  }

  /** From the address on the stack. */
  #loadAt(width: Width, offset: number): WasmValue {
    const { code, temporaries } = this.#frame;
    code.access(LOADS[width], offset);
    if (width === 32 || width === 64) return temporaries.result(width);
    // Of both the engine drops what nobody uses.
    const unsigned = temporaries.result(width).local!;
    code.get(unsigned);
    code.op(width === 8 ? OP.I32_EXTEND8_S : OP.I32_EXTEND16_S);
    return { ...temporaries.result(width), unsigned };
  }

  store({ local, offset }: Host, value: WasmValue): void {
    const { code, temporaries } = this.#frame;
    code.get(local);
    temporaries.push(value);
    code.access(STORES[value.width as Width], offset);
  }
}
