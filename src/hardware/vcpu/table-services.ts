/** Descriptor tables and segment registers as instructions reach them: SDM vol. 3A ch. 2.4, 3.4–3.5, 5.10. */

import { INTERRUPTIBILITY } from './exit.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { ServicesOf } from './interpreter/service-rooms.ts';
import { CR4_UMIP, isCanonical } from './paging.ts';
import { answer, isPrivileged, type Processor, readMemory, refuse, type Service, writeMemory } from './processor.ts';
import { type DescriptorTable, SEGMENT_NAMES, type Segment } from './segments.ts';

const SS = 2;
const CODE = 8;
const CONFORMING_OR_DOWN = 4;
const WRITABLE_OR_READABLE = 2;
/** System descriptor types that LAR describes in long mode: LDT, TSS available and busy, call gate; LSL not the gate. */
const HAS_RIGHTS: ReadonlySet<number> = new Set([2, 9, 11, 12]);
const HAS_LIMIT: ReadonlySet<number> = new Set([2, 9, 11]);

/** Services of one vCPU about its descriptor tables. */
export class TableServices implements Record<ServicesOf<'tables'>, Service> {
  readonly #cpu: Processor;

  constructor(cpu: Processor) {
    this.#cpu = cpu;
  }

  #load(table: DescriptorTable, address: number): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const limit = readMemory(this.#cpu, address, 2);
    if (typeof limit === 'number') return limit;
    const base = readMemory(this.#cpu, address + 2, 8);
    if (typeof base === 'number') return base;
    if (!isCanonical(Number(base))) return refuse(this.#cpu);
    table.limit = Number(limit);
    table.base = BigInt.asUintN(64, base);
    return 0;
  }

  loadGdt(address: number): number {
    return this.#load(this.#cpu.segments.gdt, address);
  }

  loadIdt(address: number): number {
    return this.#load(this.#cpu.segments.idt, address);
  }

  /** CR4.UMIP keeps the addresses of system tables from programs. */
  #hidden(): boolean {
    return this.#cpu.mmu.guest.privilege !== 0 && (this.#cpu.mmu.guest.cr4 & CR4_UMIP) !== 0n;
  }

  #store(table: DescriptorTable, address: number): number {
    if (this.#hidden()) return refuse(this.#cpu);
    // Both parts have to be writable before the first is written.
    const host = this.#cpu.mmu.writeSlow(address + 2, 8, false);
    if (host < 0) return host;
    const limit = writeMemory(this.#cpu, address, BigInt(table.limit), 2);
    const base = limit < 0 ? limit : writeMemory(this.#cpu, address + 2, table.base, 8);
    // It may have gone into the code that follows.
    return base < 0 ? base : OUTCOME.STOP;
  }

  storeGdt(address: number): number {
    return this.#store(this.#cpu.segments.gdt, address);
  }

  storeIdt(address: number): number {
    return this.#store(this.#cpu.segments.idt, address);
  }

  loadTask(selector: number): number {
    return isPrivileged(this.#cpu) ? this.#cpu.segments.loadTask(selector) : refuse(this.#cpu);
  }

  loadLocalTable(selector: number): number {
    return isPrivileged(this.#cpu) ? this.#cpu.segments.loadLocalTable(selector) : refuse(this.#cpu);
  }

  #readSelector(name: 'tr' | 'ldt'): number {
    if (this.#hidden()) return refuse(this.#cpu);
    return answer(this.#cpu, BigInt(this.#cpu.segments.get(name).selector));
  }

  readTask(): number {
    return this.#readSelector('tr');
  }

  readLocalTable(): number {
    return this.#readSelector('ldt');
  }

  readSegment(number: number): number {
    return answer(this.#cpu, BigInt(this.#cpu.segments.get(SEGMENT_NAMES[number]!).selector));
  }

  loadSegment(number: number, selector: number): number {
    return this.#cpu.segments.load(number, selector);
  }

  /** MOV to ss: no event comes before the next instruction has run, which sets rsp. LSS needs no such thing (SDM vol. 3A §6.8.3). */
  loadStackSegment(selector: number): number {
    const outcome = this.#cpu.segments.load(SS, selector);
    if (outcome < 0) return outcome;
    this.#cpu.blocking.shadow = INTERRUPTIBILITY.MOV_SS;
    return OUTCOME.STOP;
  }

  /** The descriptor `selector` names, if this privilege level may know of it; undefined if not; or the outcome of an exit. */
  #visible(selector: number): Segment | undefined | number {
    if ((selector & 0xfffc) === 0) return undefined;
    const { segments, mmu } = this.#cpu;
    if (!segments.inTable(selector)) return undefined;
    const segment = segments.descriptor(selector);
    if (typeof segment === 'number') return segment;
    const conforming = segment.s === 1 && (segment.type & CODE) !== 0 && (segment.type & CONFORMING_OR_DOWN) !== 0;
    const reachable = conforming || (mmu.guest.privilege <= segment.dpl && (selector & 3) <= segment.dpl);
    return reachable ? segment : undefined;
  }

  /** VERR (`write` 0) and VERW: 1 if the segment could be read or written. */
  verifySegment(selector: number, write: number): number {
    const segment = this.#visible(selector);
    if (typeof segment === 'number') return segment;
    if (segment === undefined || segment.s === 0) return answer(this.#cpu, 0n);
    const code = (segment.type & CODE) !== 0;
    const marked = (segment.type & WRITABLE_OR_READABLE) !== 0;
    return answer(this.#cpu, (write === 1 ? !code && marked : !code || marked) ? 1n : 0n);
  }

  #describe(selector: number, system: ReadonlySet<number>, value: (segment: Segment) => bigint): number {
    const segment = this.#visible(selector);
    if (typeof segment === 'number') return segment;
    const known = segment !== undefined && (segment.s === 1 || system.has(segment.type));
    return answer(this.#cpu, known ? value(segment) : -1n);
  }

  /** LAR: bytes 4–7 of the descriptor without its base, bits 19:16 of the limit among them; −1 if there is nothing to say. */
  segmentRights(selector: number): number {
    return this.#describe(selector, HAS_RIGHTS, ({ type, s, dpl, present, avl, l, db, g, limit }) => {
      const upperLimit = (g === 1 ? limit >>> 28 : limit >>> 16) & 15;
      const rights = (type << 8) | (s << 12) | (dpl << 13) | (present << 15) | (upperLimit << 16);
      return BigInt(rights | (avl << 20) | (l << 21) | (db << 22) | (g << 23));
    });
  }

  /** LSL: the limit in bytes; −1 if there is nothing to say. */
  segmentLimit(selector: number): number {
    return this.#describe(selector, HAS_LIMIT, ({ limit }) => BigInt(limit));
  }
}
