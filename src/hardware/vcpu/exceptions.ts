/** Interrupts and exceptions in long mode: delivery through the IDT (SDM vol. 3A ch. 6.8, 6.14–6.15). */

import { EXIT_REASON } from './exit.ts';
import { IF, NT, RF, TF, VM } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { informationOf } from './interruption.ts';
import { isCanonical } from './paging.ts';
import { type EventKind, VECTOR } from './pending-event.ts';
import { onStack, type Processor } from './processor.ts';
import { nullSegment } from './segments.ts';
import { SLOT, WORD } from './state.ts';

const INTERRUPT_GATE = 14;
const TRAP_GATE = 15;
const CONFORMING = 12;
/** Error-code bits: the fault came while delivering an event from outside the program; the selector indexes the IDT. */
const EXTERNAL = 1;
const IN_IDT = 2;

/** Faults that, while another of them is being delivered, make a double fault (SDM table 6-5). */
const isContributory = (vector: number): boolean =>
  vector === VECTOR.DE || (vector >= VECTOR.TS && vector <= VECTOR.GP);
/** Raised by the program itself or on its behalf: what fails while it is delivered may be a double fault. */
const isException = (kind: EventKind): boolean => kind === 'fault' || kind === 'trap';
/** Kinds whose pushed rip lies behind the instruction. */
export const isInstruction = (kind: EventKind): boolean => kind === 'software' || kind === 'int3' || kind === 'int1';
/** Kinds that a gate's DPL can refuse. */
const isRefusable = (kind: EventKind): boolean => kind === 'software' || kind === 'int3';
/** Faults push RF as 1, so that instruction breakpoints are not hit again (SDM vol. 3B §18.3.1.1). */
const setsResume = (vector: number, kind: EventKind): boolean =>
  kind === 'fault' && vector !== VECTOR.DB && vector !== VECTOR.DF;
/** Vectors whose error code has room for the EXTERNAL bit. */
const hasExternalBit = (vector: number): boolean => vector >= VECTOR.TS && vector <= VECTOR.GP;

interface Gate {
  readonly trap: boolean;
  readonly ist: number;
  readonly selector: number;
  readonly target: bigint;
}

/** Event delivery of one vCPU. */
export class Exceptions {
  readonly #cpu: Processor;
  readonly #setFaultAddress: (address: bigint) => void;
  readonly #gate: number;

  /** `setFaultAddress` writes CR2. */
  constructor(cpu: Processor, setFaultAddress: (address: bigint) => void) {
    this.#cpu = cpu;
    this.#setFaultAddress = setFaultAddress;
    this.#gate = cpu.state.bounce + 160;
  }

  /**
   * Deliver the pending event with SLOT.RIP at the instruction that raised it; `length` is that instruction's. JUMP to
   * the handler, or EXIT: a triple fault, or an EPT fault on the way; the exit then tells the event, and nothing has
   * changed but RFLAGS.RF, which is as it would have been pushed.
   */
  deliverPending(length: number): number {
    const { event, state } = this.#cpu;
    let { vector, errorCode, kind } = event;
    const start = state.quads[SLOT.RIP]!;
    if (vector === VECTOR.PF && kind === 'fault') this.#setFaultAddress(event.faultAddress);
    for (;;) {
      if (isInstruction(kind)) state.quads[SLOT.RIP] = start + BigInt(length);
      const outcome = this.#deliver(vector, errorCode, kind);
      if (outcome !== OUTCOME.FAULT) {
        if (outcome === OUTCOME.EXIT) {
          state.quads[SLOT.RIP] = start;
          this.#cutShort(vector, errorCode, kind);
        }
        return outcome;
      }
      const second = event.vector;
      // Even if it makes a double fault, or comes while one is delivered (SDM vol. 3A §6.15, interrupt 14).
      if (second === VECTOR.PF) this.#setFaultAddress(event.faultAddress);
      if (vector === VECTOR.DF && isException(kind)) return event.leave(EXIT_REASON.TRIPLE_FAULT);
      const escalates =
        isException(kind) &&
        ((isContributory(vector) && isContributory(second)) ||
          (vector === VECTOR.PF && (second === VECTOR.PF || isContributory(second))));
      const external = !isRefusable(kind) && hasExternalBit(second) ? EXTERNAL : 0;
      vector = escalates ? VECTOR.DF : second;
      errorCode = escalates ? 0 : event.errorCode === undefined ? undefined : event.errorCode | external;
      kind = 'fault';
      state.quads[SLOT.RIP] = start;
    }
  }

  /** An EPT fault has ended the delivery. */
  #cutShort(vector: number, errorCode: number | undefined, kind: EventKind): void {
    const { event, state } = this.#cpu;
    event.exit.idtVectoring = informationOf(vector, kind, errorCode);
    event.exit.idtVectoringError = errorCode ?? 0;
    if (setsResume(vector, kind)) state.words[WORD.FLAG_CONTROL] = state.words[WORD.FLAG_CONTROL]! | RF;
  }

  /** The gate of `vector`, checked, or an outcome. */
  #readGate(vector: number, kind: EventKind): Gate | number {
    const { segments, mmu, event, memory } = this.#cpu;
    const { idt } = segments;
    const error = vector * 8 + IN_IDT;
    if (vector * 16 + 15 > idt.limit) return event.raise(VECTOR.GP, error);
    const outcome = mmu.readSystem(Number(BigInt.asIntN(64, idt.base)) + vector * 16, this.#gate, 16);
    if (outcome < 0) return outcome;
    const { view } = memory;
    const low = view.getUint32(this.#gate, true);
    const middle = view.getUint32(this.#gate + 4, true);
    const type = (middle >> 8) & 31;
    const forbidden = isRefusable(kind) && ((middle >> 13) & 3) < mmu.guest.privilege;
    if ((type !== INTERRUPT_GATE && type !== TRAP_GATE) || forbidden) return event.raise(VECTOR.GP, error);
    if ((middle & 0x8000) === 0) return event.raise(VECTOR.NP, error);
    return {
      trap: type === TRAP_GATE,
      ist: middle & 7,
      selector: low >>> 16,
      target:
        (BigInt(view.getInt32(this.#gate + 8, true)) << 32n) | BigInt(((middle & 0xffff0000) | (low & 0xffff)) >>> 0),
    };
  }

  #deliver(vector: number, errorCode: number | undefined, kind: EventKind): number {
    const { segments, mmu, event, state, flags } = this.#cpu;
    const gate = this.#readGate(vector, kind);
    if (typeof gate === 'number') return gate;
    if ((gate.selector & 0xfffc) === 0) return event.raise(VECTOR.GP, 0);
    const { privilege } = mmu.guest;
    const raw = segments.descriptor(gate.selector);
    if (typeof raw === 'number') return raw;
    if (raw.dpl > privilege) return event.raise(VECTOR.GP, gate.selector & 0xfffc);
    const inner = (raw.type & CONFORMING) === CONFORMING ? privilege : raw.dpl;
    const code = segments.loadCode(gate.selector, inner);
    if (typeof code === 'number') return code;
    const stack = this.#stackFor(inner, gate.ist);
    if (typeof stack === 'number') return stack;
    if (!isCanonical(Number(gate.target))) return event.raise(VECTOR.GP, 0);

    const { quads } = state;
    const rflags = flags.read();
    const frame = [
      BigInt(segments.get('ss').selector),
      quads[SLOT.RSP]!,
      BigInt(setsResume(vector, kind) ? rflags | RF : rflags),
      BigInt(segments.get('cs').selector),
      quads[SLOT.RIP]!,
    ];
    if (errorCode !== undefined) frame.push(BigInt(errorCode));
    let top = stack & ~15n;
    mmu.guest.privilege = inner;
    for (const value of frame) {
      top -= 8n;
      const stored = mmu.writeSystem(Number(BigInt.asIntN(64, top)), value);
      if (stored < 0) {
        mmu.guest.privilege = privilege;
        return onStack(this.#cpu, stored);
      }
    }
    segments.set('cs', code);
    if (inner !== privilege) {
      segments.set('ss', nullSegment(inner));
      mmu.flush();
    }
    quads[SLOT.RSP] = top;
    quads[SLOT.RIP] = gate.target;
    this.#cpu.blocking.shadow = 0;
    flags.write(rflags & ~(TF | NT | RF | VM) & ~(gate.trap ? 0 : IF));
    mmu.updateAlignment();
    return OUTCOME.JUMP;
  }

  /** The handler's stack: an IST entry, rsp0–2 of the TSS on a change of privilege, or the present one. */
  #stackFor(privilege: number, ist: number): bigint | number {
    const { segments, mmu, state } = this.#cpu;
    if (ist !== 0) return segments.taskQuad(0x24 + (ist - 1) * 8);
    if (privilege !== mmu.guest.privilege) return segments.taskQuad(4 + privilege * 8);
    return state.quads[SLOT.RSP]!;
  }
}
