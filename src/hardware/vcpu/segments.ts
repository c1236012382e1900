/** Segment registers and descriptor tables in long mode (SDM vol. 3A ch. 3.4–3.5, 7.2.3). */

import type { PhysicalMemory } from '../physical-memory.ts';
import type { Mmu } from './mmu.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import { type CpuState, SLOT } from './state.ts';

/** A segment register with its hidden part, in the fields of `struct kvm_segment`. */
export interface Segment {
  base: bigint;
  limit: number;
  selector: number;
  type: number;
  present: number;
  dpl: number;
  db: number;
  s: number;
  l: number;
  g: number;
  avl: number;
  unusable: number;
}

export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
export type SegmentName = (typeof SEGMENT_NAMES)[number] | 'tr' | 'ldt';
export interface DescriptorTable {
  base: bigint;
  limit: number;
}

const SS = 2;
const CODE = 8;
const CODE_CONFORMING = 4;
const WRITABLE_OR_READABLE = 2;
const ACCESSED = 1;
const LDT = 2;
const TSS_AVAILABLE = 9;
const TSS_BUSY = 11;

const unusableSegment = (selector: number): Segment => ({
  base: 0n,
  limit: 0,
  selector,
  type: 0,
  present: 0,
  dpl: 0,
  db: 0,
  s: 0,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 1,
});

/** The segments that SYSCALL and its kin load without looking at a descriptor (SDM vol. 2, SYSCALL). */
export const flatCode = (selector: number, privilege: number): Segment => ({
  base: 0n,
  limit: 0xffff_ffff,
  selector,
  type: 11,
  present: 1,
  dpl: privilege,
  db: 0,
  s: 1,
  l: 1,
  g: 1,
  avl: 0,
  unusable: 0,
});
export const flatStack = (selector: number, privilege: number): Segment => ({
  ...flatCode(selector, privilege),
  type: 3,
  db: 1,
  l: 0,
});

/** A descriptor's 8 bytes as a segment; the high half of a system descriptor's base is added by who reads it. */
function parseDescriptor(raw: bigint, selector: number): Segment {
  const field = (shift: bigint, bits: bigint) => Number((raw >> shift) & ((1n << bits) - 1n));
  const g = field(55n, 1n);
  const limit = field(0n, 16n) | (field(48n, 4n) << 16);
  return {
    base: ((raw >> 16n) & 0xff_ffffn) | (((raw >> 56n) & 0xffn) << 24n),
    limit: g ? ((limit << 12) | 0xfff) >>> 0 : limit,
    selector,
    type: field(40n, 4n),
    s: field(44n, 1n),
    dpl: field(45n, 2n),
    present: field(47n, 1n),
    avl: field(52n, 1n),
    l: field(53n, 1n),
    db: field(54n, 1n),
    g,
    unusable: 0,
  };
}

/** The segment registers of one vCPU. */
export class Segments {
  readonly gdt: DescriptorTable = { base: 0n, limit: 0xffff };
  readonly idt: DescriptorTable = { base: 0n, limit: 0xffff };
  readonly #registers: Record<SegmentName, Segment>;
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #mmu: Mmu;
  readonly #event: PendingEvent;
  /** Host offset of 16 bytes for a descriptor on its way in. */
  readonly #buffer: number;

  constructor(memory: PhysicalMemory, state: CpuState, mmu: Mmu, event: PendingEvent) {
    this.#memory = memory;
    this.#state = state;
    this.#mmu = mmu;
    this.#event = event;
    this.#buffer = state.bounce + 128;
    const fresh = () => unusableSegment(0);
    this.#registers = {
      es: fresh(),
      cs: fresh(),
      ss: fresh(),
      ds: fresh(),
      fs: fresh(),
      gs: fresh(),
      tr: fresh(),
      ldt: fresh(),
    };
  }

  get(name: SegmentName): Segment {
    return this.#registers[name];
  }

  /** Replace a register, hidden part and all, as the hypervisor or a far transfer does. */
  set(name: SegmentName, segment: Segment): void {
    this.#registers[name] = segment;
    const number = SEGMENT_NAMES.indexOf(name as (typeof SEGMENT_NAMES)[number]);
    if (number >= 4) this.#state.quads[SLOT.SEGMENT_BASE + number] = segment.base;
    if (name === 'cs') this.#mmu.guest.privilege = segment.selector & 3;
  }

  base(name: 'fs' | 'gs'): bigint {
    return BigInt.asUintN(64, this.#state.quads[SLOT.SEGMENT_BASE + SEGMENT_NAMES.indexOf(name)]!);
  }

  setBase(name: 'fs' | 'gs', base: bigint): void {
    this.#registers[name].base = BigInt.asUintN(64, base);
    this.#state.quads[SLOT.SEGMENT_BASE + SEGMENT_NAMES.indexOf(name)] = base;
  }

  #table(selector: number): DescriptorTable | undefined {
    if ((selector & 4) === 0) return this.gdt;
    return this.#registers.ldt.unusable === 1 ? undefined : this.#registers.ldt;
  }

  /** Whether the 8 bytes that `selector` names lie within their table. */
  inTable(selector: number): boolean {
    const table = this.#table(selector);
    return table !== undefined && (selector & 0xfff8) + 7 <= table.limit;
  }

  /** Linear address of the descriptor that `selector` names, as a signed double. */
  #address(selector: number): number {
    return Number(BigInt.asIntN(64, this.#table(selector)!.base)) + (selector & 0xfff8);
  }

  /** Read the descriptor that `selector` names. A segment, or an outcome: #GP(selector) beyond the table. */
  descriptor(selector: number): Segment | number {
    if (!this.inTable(selector)) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    const outcome = this.#mmu.readSystem(this.#address(selector), this.#buffer, 8);
    if (outcome < 0) return outcome;
    return parseDescriptor(this.#memory.view.getBigUint64(this.#buffer, true), selector);
  }

  /** Read a 16-byte system descriptor into the buffer. 0 or an outcome. */
  #readLong(selector: number): number {
    const error = selector & 0xfffc;
    if (!this.inTable(selector) || (selector & 0xfff8) + 15 > this.#table(selector)!.limit)
      return this.#event.raise(VECTOR.GP, error);
    const outcome = this.#mmu.readSystem(this.#address(selector), this.#buffer, 16);
    if (outcome < 0) return outcome;
    // The type field of the upper half must be 0 (SDM vol. 3A §5.8.3.1).
    const upper = this.#memory.view.getUint32(this.#buffer + 12, true);
    return (upper & 0x1f00) === 0 ? 0 : this.#event.raise(VECTOR.GP, error);
  }

  /** Where the call gate at `selector` leads, or an outcome. */
  gate(selector: number): { offset: bigint; selector: number } | number {
    const outcome = this.#readLong(selector);
    if (outcome < 0) return outcome;
    const { view } = this.#memory;
    const low = view.getUint16(this.#buffer, true);
    const middle = view.getUint16(this.#buffer + 6, true);
    const high = view.getInt32(this.#buffer + 8, true);
    return {
      offset: (BigInt(high) << 32n) | BigInt(((middle << 16) | low) >>> 0),
      selector: view.getUint16(this.#buffer + 2, true),
    };
  }

  /** Loading a segment marks its descriptor as accessed. 0 or an outcome. */
  #markAccessed(segment: Segment): number {
    if ((segment.type & ACCESSED) !== 0) return 0;
    const address = this.#address(segment.selector);
    const outcome = this.#mmu.readSystem(address, this.#buffer, 8);
    if (outcome < 0) return outcome;
    segment.type |= ACCESSED;
    return this.#mmu.writeSystem(address, this.#memory.view.getBigUint64(this.#buffer, true) | (1n << 40n));
  }

  /** A return to an outer level takes away the data segments that the level may not have (SDM vol. 2, RET). */
  dropInner(privilege: number): void {
    for (const name of ['es', 'ds', 'fs', 'gs'] as const) {
      const { unusable, dpl, type } = this.#registers[name];
      const conforming = (type & CODE) !== 0 && (type & CODE_CONFORMING) !== 0;
      if (unusable === 0 && dpl < privilege && !conforming) this.set(name, unusableSegment(0));
    }
  }

  /** MOV to a segment register other than cs. 0 or an outcome. */
  load(number: number, selector: number): number {
    const name = SEGMENT_NAMES[number];
    if (name === undefined || name === 'cs') return this.#event.raise(VECTOR.UD);
    const privilege = this.#mmu.guest.privilege;
    if ((selector & 0xfffc) === 0) {
      if (number === SS && (privilege === 3 || (selector & 3) !== privilege)) return this.#event.raise(VECTOR.GP, 0);
      this.set(name, unusableSegment(selector));
      return 0;
    }
    const segment = this.descriptor(selector);
    if (typeof segment === 'number') return segment;
    const error = selector & 0xfffc;
    const requested = selector & 3;
    const code = (segment.type & CODE) !== 0;
    const accessible = (segment.type & WRITABLE_OR_READABLE) !== 0;
    if (number === SS) {
      if (segment.s === 0 || code || !accessible || segment.dpl !== privilege || requested !== privilege) {
        return this.#event.raise(VECTOR.GP, error);
      }
      if (segment.present === 0) return this.#event.raise(VECTOR.SS, error);
    } else {
      const conforming = code && (segment.type & CODE_CONFORMING) !== 0;
      const tooWeak = !conforming && (requested > segment.dpl || privilege > segment.dpl);
      if (segment.s === 0 || (code && !accessible) || tooWeak) return this.#event.raise(VECTOR.GP, error);
      if (segment.present === 0) return this.#event.raise(VECTOR.NP, error);
    }
    const marked = this.#markAccessed(segment);
    if (marked < 0) return marked;
    this.set(name, segment);
    return 0;
  }

  /** A code segment for a far transfer to `privilege`, checked: 64-bit code, present. A segment or an outcome. */
  loadCode(selector: number, privilege: number): Segment | number {
    if ((selector & 0xfffc) === 0) return this.#event.raise(VECTOR.GP, 0);
    const segment = this.descriptor(selector);
    if (typeof segment === 'number') return segment;
    const error = selector & 0xfffc;
    const conforming = (segment.type & CODE_CONFORMING) !== 0;
    const rightPrivilege = conforming ? segment.dpl <= privilege : segment.dpl === privilege;
    if (segment.s === 0 || (segment.type & CODE) === 0 || segment.l === 0 || segment.db === 1 || !rightPrivilege) {
      return this.#event.raise(VECTOR.GP, error);
    }
    if (segment.present === 0) return this.#event.raise(VECTOR.NP, error);
    const marked = this.#markAccessed(segment);
    return marked < 0 ? marked : { ...segment, selector: (selector & 0xfffc) | privilege };
  }

  /** LTR: a 16-byte TSS descriptor, which becomes busy. 0 or an outcome. */
  loadTask(selector: number): number {
    if ((selector & 0xfffc) === 0) return this.#event.raise(VECTOR.GP, 0);
    const segment = this.descriptor(selector);
    if (typeof segment === 'number') return segment;
    const error = selector & 0xfffc;
    if ((selector & 4) !== 0 || segment.s !== 0 || segment.type !== TSS_AVAILABLE)
      return this.#event.raise(VECTOR.GP, error);
    if (segment.present === 0) return this.#event.raise(VECTOR.NP, error);
    const outcome = this.#readLong(selector);
    if (outcome < 0) return outcome;
    const raw = this.#memory.view.getBigUint64(this.#buffer, true);
    const base = this.#longBase(segment);
    const busy = this.#mmu.writeSystem(this.#address(selector), raw | (2n << 40n));
    if (busy < 0) return busy;
    this.set('tr', { ...segment, base, type: TSS_BUSY });
    return 0;
  }

  /** Base of the system segment whose 16 bytes lie in the buffer. */
  #longBase(segment: Segment): bigint {
    return segment.base | (BigInt(this.#memory.view.getUint32(this.#buffer + 8, true)) << 32n);
  }

  /** LLDT; a null selector leaves no local table. 0 or an outcome. */
  loadLocalTable(selector: number): number {
    if ((selector & 0xfffc) === 0) {
      this.set('ldt', unusableSegment(selector));
      return 0;
    }
    if ((selector & 4) !== 0) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    const segment = this.descriptor(selector);
    if (typeof segment === 'number') return segment;
    if (segment.s !== 0 || segment.type !== LDT) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    if (segment.present === 0) return this.#event.raise(VECTOR.NP, selector & 0xfffc);
    const outcome = this.#readLong(selector);
    if (outcome < 0) return outcome;
    this.set('ldt', { ...segment, base: this.#longBase(segment) });
    return 0;
  }

  /** Read two bytes of the TSS at byte `offset`, or an outcome: #TS beyond its limit, or where there is none. */
  taskWord(offset: number): number {
    const { base, limit, selector, unusable } = this.#registers.tr;
    if (unusable === 1 || offset + 1 > limit) return this.#event.raise(VECTOR.TS, selector & 0xfffc);
    const outcome = this.#mmu.readSystem(Number(BigInt.asIntN(64, base)) + offset, this.#buffer, 2);
    return outcome < 0 ? outcome : this.#memory.view.getUint16(this.#buffer, true);
  }

  /** Read a quad of the TSS at byte `offset`, as a signed bigint, or an outcome. */
  taskQuad(offset: number): bigint | number {
    const { base, limit, selector } = this.#registers.tr;
    if (offset + 7 > limit) return this.#event.raise(VECTOR.TS, selector & 0xfffc);
    const outcome = this.#mmu.readSystem(Number(BigInt.asIntN(64, base)) + offset, this.#buffer, 8);
    return outcome < 0 ? outcome : this.#memory.view.getBigInt64(this.#buffer, true);
  }
}

/** ss after a change to an inner level: a null selector with that level's RPL. */
export const nullSegment = (privilege: number): Segment => ({ ...unusableSegment(privilege), dpl: privilege });
