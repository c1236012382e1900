/** Interrupts and exceptions in long mode: delivery through the IDT and the return from it (SDM vol. 3A ch. 6.14). */

import type { PhysicalMemory } from '../physical-memory.ts';
import { EXIT_REASON } from './exit.ts';
import { Flags, IF, IOPL, NT, RF, TF, VM } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import { isCanonical } from './paging.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import { nullSegment, type Segments } from './segments.ts';
import { type CpuState, SLOT } from './state.ts';

const INTERRUPT_GATE = 14;
const TRAP_GATE = 15;
/** Error-code bits: the fault came while delivering an event from outside the program; the selector indexes the IDT. */
const EXTERNAL = 1;
const IN_IDT = 2;

/** Faults that, while another of them is being delivered, make a double fault (SDM table 6-5). */
const isContributory = (vector: number): boolean =>
  vector === VECTOR.DE || (vector >= VECTOR.TS && vector <= VECTOR.GP);

/** Event delivery of one vCPU. */
export class Exceptions {
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #mmu: Mmu;
  readonly #event: PendingEvent;
  readonly #segments: Segments;
  readonly #flags: Flags;
  /** CR2. */
  faultAddress = 0n;
  readonly #gate: number;

  constructor(memory: PhysicalMemory, state: CpuState, mmu: Mmu, event: PendingEvent, segments: Segments) {
    this.#memory = memory;
    this.#state = state;
    this.#mmu = mmu;
    this.#event = event;
    this.#segments = segments;
    this.#flags = new Flags(state);
    this.#gate = state.bounce + 160;
  }

  /**
   * Deliver the pending exception with SLOT.RIP at the instruction that raised it; `length` is that instruction's. JUMP to
   * the handler, or EXIT: an EPT fault on the way (the access is repeated later), or a triple fault.
   */
  deliverPending(length: number): number {
    let { vector, errorCode, software } = this.#event;
    const start = this.#state.quads[SLOT.RIP]!;
    for (;;) {
      if (vector === VECTOR.PF) this.faultAddress = this.#event.faultAddress;
      if (software) this.#state.quads[SLOT.RIP] = start + BigInt(length);
      const outcome = this.#deliver(vector, errorCode, software);
      if (outcome !== OUTCOME.FAULT) {
        if (outcome === OUTCOME.EXIT) this.#state.quads[SLOT.RIP] = start;
        return outcome;
      }
      const second = this.#event.vector;
      if (vector === VECTOR.DF) return this.#event.leave(EXIT_REASON.TRIPLE_FAULT);
      const escalates =
        (isContributory(vector) && isContributory(second)) ||
        (vector === VECTOR.PF && (second === VECTOR.PF || isContributory(second)));
      vector = escalates ? VECTOR.DF : second;
      errorCode = escalates ? 0 : this.#event.errorCode;
      software = false;
      this.#state.quads[SLOT.RIP] = start;
    }
  }

  /** Deliver an event that the hypervisor injects at VM entry. */
  inject(vector: number, errorCode: number | undefined): number {
    this.#event.raise(vector, errorCode);
    return this.deliverPending(0);
  }

  #deliver(vector: number, errorCode: number | undefined, software: boolean): number {
    const { idt } = this.#segments;
    const selectorError = vector * 8 + IN_IDT + (software ? 0 : EXTERNAL);
    if (vector * 16 + 15 > idt.limit) return this.#event.raise(VECTOR.GP, selectorError);
    const outcome = this.#mmu.readSystem(Number(BigInt.asIntN(64, idt.base)) + vector * 16, this.#gate, 16);
    if (outcome < 0) return outcome;
    const { view } = this.#memory;
    const low = view.getUint32(this.#gate, true);
    const middle = view.getUint32(this.#gate + 4, true);
    const type = (middle >> 8) & 31;
    const privilege = this.#mmu.privilege;
    if ((type !== INTERRUPT_GATE && type !== TRAP_GATE) || (software && ((middle >> 13) & 3) < privilege)) {
      return this.#event.raise(VECTOR.GP, selectorError);
    }
    if ((middle & 0x8000) === 0) return this.#event.raise(VECTOR.NP, selectorError);
    const target =
      (BigInt(view.getInt32(this.#gate + 8, true)) << 32n) | BigInt(((middle & 0xffff0000) | (low & 0xffff)) >>> 0);
    const selector = low >>> 16;
    const raw = (selector & 0xfffc) === 0 ? undefined : this.#segments.descriptor(selector);
    if (typeof raw === 'number') return raw;
    if (raw === undefined) return this.#event.raise(VECTOR.GP, EXTERNAL);
    const code = this.#segments.loadCode(selector, raw.dpl);
    if (typeof code === 'number') return code;
    if (raw.dpl > privilege) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    const stack = this.#stackFor(raw.dpl, middle & 7);
    if (typeof stack === 'number') return stack;

    const { quads } = this.#state;
    const rflags = this.#flags.read();
    const frame = [
      BigInt(this.#segments.get('ss').selector),
      quads[SLOT.RSP]!,
      BigInt(rflags | (software || vector === VECTOR.DB ? 0 : RF)),
      BigInt(this.#segments.get('cs').selector),
      quads[SLOT.RIP]!,
    ];
    if (errorCode !== undefined) frame.push(BigInt(errorCode));
    let top = stack & ~15n;
    this.#mmu.privilege = raw.dpl;
    for (const value of frame) {
      top -= 8n;
      const stored = this.#mmu.writeSystem(Number(BigInt.asIntN(64, top)), value);
      if (stored < 0) {
        this.#mmu.privilege = privilege;
        return stored;
      }
    }
    this.#segments.set('cs', code);
    if (raw.dpl !== privilege) {
      this.#segments.set('ss', { ...nullSegment(raw.dpl), dpl: raw.dpl });
      this.#mmu.flush();
    }
    quads[SLOT.RSP] = top;
    quads[SLOT.RIP] = target;
    this.#flags.write(rflags & ~(TF | NT | RF | VM) & ~(type === INTERRUPT_GATE ? IF : 0));
    return OUTCOME.JUMP;
  }

  /** The handler's stack: an IST entry, rsp0–2 of the TSS on a change of privilege, or the present one. */
  #stackFor(privilege: number, ist: number): bigint | number {
    if (ist !== 0) return this.#segments.taskQuad(0x24 + (ist - 1) * 8);
    if (privilege !== this.#mmu.privilege) return this.#segments.taskQuad(4 + privilege * 8);
    return this.#state.quads[SLOT.RSP]!;
  }

  /** IRETQ. JUMP or an outcome. */
  interruptReturn(): number {
    const { quads } = this.#state;
    const frame = Number(BigInt.asIntN(64, quads[SLOT.RSP]!));
    if ((this.#flags.read() & NT) !== 0) return this.#event.raise(VECTOR.GP, 0);
    const values: bigint[] = [];
    for (let index = 0; index < 5; index++) {
      const host = this.#mmu.readSlow(frame + index * 8, 8);
      if (host < 0) return host;
      values.push(this.#memory.view.getBigInt64(host, true));
    }
    const [rip, cs, rflags, rsp, ss] = values as [bigint, bigint, bigint, bigint, bigint];
    const privilege = this.#mmu.privilege;
    const selector = Number(cs & 0xffffn);
    const target = selector & 3;
    if (target < privilege) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    const code = this.#segments.loadCode(selector, target);
    if (typeof code === 'number') return code;
    if (!isCanonical(Number(rip))) return this.#event.raise(VECTOR.GP, 0);
    this.#mmu.privilege = target;
    const stack = this.#segments.load(2, Number(ss & 0xffffn));
    if (stack < 0) {
      this.#mmu.privilege = privilege;
      return stack;
    }
    this.#segments.set('cs', code);
    if (target !== privilege) this.#mmu.flush();
    const kept = privilege === 0 ? 0 : IOPL | IF;
    this.#flags.write((Number(BigInt.asUintN(32, rflags)) & ~kept) | (this.#flags.read() & kept));
    quads[SLOT.RSP] = rsp;
    quads[SLOT.RIP] = rip;
    return OUTCOME.JUMP;
  }
}
