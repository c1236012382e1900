/** Control transfers that change segments: far jumps, calls and returns, IRET, SYSCALL and SYSENTER (SDM vol. 2; vol. 3A ch. 5.8). */

import { DR6 } from './debug-registers.ts';
import { EPT_QUALIFICATION, EXIT_REASON } from './exit.ts';
import { CONTROL_FLAGS, IF, IOPL, NT, RF, STATUS_FLAGS, TF, VM } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { ServicesOf } from './interpreter/service-rooms.ts';
import { MSR, type MsrServices } from './msr-services.ts';
import { EFER_SCE, isCanonical } from './paging.ts';
import { VECTOR } from './pending-event.ts';
import { isPrivileged, onStack, type Processor, readMemory, refuse, type Service, writeMemory } from './processor.ts';
import { flatCode, flatStack, nullSegment, type Segment } from './segments.ts';
import { SLOT } from './state.ts';

const RCX = 1;
const RDX = 2;
const R11 = 11;
const SS = 2;
const CONFORMING = 4;
const CALL_GATE = 12;
/** Bits of r11 that SYSRET takes for RFLAGS. */
const SYSRET_FLAGS = 0x3c7fd7;

/** Far transfers of one vCPU. Offsets are signed bigints, selectors and widths numbers. */
export class FarTransfers implements Record<ServicesOf<'transfers'>, Service> {
  readonly #cpu: Processor;
  readonly #msrs: MsrServices;

  constructor(cpu: Processor, msrs: MsrServices) {
    this.#cpu = cpu;
    this.#msrs = msrs;
  }

  farJump(offset: bigint, selector: number): number {
    const { segments, event, mmu } = this.#cpu;
    if ((selector & 0xfffc) === 0) return refuse(this.#cpu);
    const target = segments.descriptor(selector);
    if (typeof target === 'number') return target;
    if (target.s === 1) return this.#direct(offset, selector, () => 0);
    const gate = this.#gate(selector, target);
    if (typeof gate === 'number') return gate;
    const code = segments.loadCode(gate.selector, mmu.guest.privilege);
    if (typeof code === 'number') return code;
    if (!isCanonical(Number(gate.offset))) return event.raise(VECTOR.GP, 0);
    segments.set('cs', code);
    return this.#go(gate.offset);
  }

  /** Check a code segment of this privilege level, do `before`, and go there. */
  #direct(offset: bigint, selector: number, before: () => number): number {
    const { segments, event, mmu } = this.#cpu;
    const code = segments.loadCode(selector, mmu.guest.privilege);
    if (typeof code === 'number') return code;
    if ((code.type & CONFORMING) === 0 && (selector & 3) > mmu.guest.privilege)
      return event.raise(VECTOR.GP, selector & 0xfffc);
    if (!isCanonical(Number(offset))) return event.raise(VECTOR.GP, 0);
    const outcome = before();
    if (outcome !== 0) return outcome;
    segments.set('cs', code);
    return this.#go(offset);
  }

  #go(offset: bigint): number {
    this.#cpu.state.quads[SLOT.RIP] = offset;
    return OUTCOME.JUMP;
  }

  /** The 16-byte call gate at `selector`, checked, or an outcome. */
  #gate(selector: number, { type, dpl, present }: Segment): { offset: bigint; selector: number } | number {
    const { segments, event, mmu } = this.#cpu;
    const error = selector & 0xfffc;
    if (type !== CALL_GATE || dpl < mmu.guest.privilege || (selector & 3) > dpl) return event.raise(VECTOR.GP, error);
    if (present === 0) return event.raise(VECTOR.NP, error);
    return segments.gate(selector);
  }

  farCall(offset: bigint, selector: number, next: bigint, width: number): number {
    if ((selector & 0xfffc) === 0) return refuse(this.#cpu);
    const { segments } = this.#cpu;
    const target = segments.descriptor(selector);
    if (typeof target === 'number') return target;
    const bytes = (width / 8) as 2 | 4 | 8;
    if (target.s === 1) {
      return this.#direct(offset, selector, () => this.#push([BigInt(segments.get('cs').selector), next], bytes));
    }
    const gate = this.#gate(selector, target);
    return typeof gate === 'number' ? gate : this.#callThrough(gate, next);
  }

  /** Push values of `bytes` bytes each; rsp moves once all are stored. 0 or an outcome. */
  #push(values: readonly bigint[], bytes: 2 | 4 | 8): number {
    const { quads } = this.#cpu.state;
    let top = Number(quads[SLOT.RSP]!);
    for (const value of values) {
      top -= bytes;
      const outcome = onStack(this.#cpu, writeMemory(this.#cpu, top, value, bytes));
      if (outcome !== 0) return outcome;
    }
    quads[SLOT.RSP] = BigInt(top);
    return 0;
  }

  /** A call gate leads to the same level or an inner one, there on the stack that the TSS names. */
  #callThrough(gate: { offset: bigint; selector: number }, next: bigint): number {
    const { segments, event, mmu, state } = this.#cpu;
    const raw = (gate.selector & 0xfffc) === 0 ? undefined : segments.descriptor(gate.selector);
    if (raw === undefined) return refuse(this.#cpu);
    if (typeof raw === 'number') return raw;
    const conforming = (raw.type & CONFORMING) !== 0;
    if (raw.dpl > mmu.guest.privilege) return event.raise(VECTOR.GP, gate.selector & 0xfffc);
    const inner = conforming ? mmu.guest.privilege : raw.dpl;
    const code = segments.loadCode(gate.selector, inner);
    if (typeof code === 'number') return code;
    if (!isCanonical(Number(gate.offset))) return event.raise(VECTOR.GP, 0);
    const frame = [BigInt(segments.get('cs').selector), next];
    if (inner === mmu.guest.privilege) {
      const outcome = this.#push(frame, 8);
      if (outcome !== 0) return outcome;
      segments.set('cs', code);
      return this.#go(gate.offset);
    }
    const stack = segments.taskQuad(4 + inner * 8);
    if (typeof stack === 'number') return stack;
    const outer = { stack: state.quads[SLOT.RSP]!, privilege: mmu.guest.privilege };
    mmu.guest.privilege = inner;
    state.quads[SLOT.RSP] = stack;
    const outcome = this.#push([BigInt(segments.get('ss').selector), outer.stack, ...frame], 8);
    if (outcome !== 0) {
      mmu.guest.privilege = outer.privilege;
      state.quads[SLOT.RSP] = outer.stack;
      return outcome;
    }
    segments.set('ss', nullSegment(inner));
    this.#changeLevel(code);
    return this.#go(gate.offset);
  }

  #changeLevel(code: Segment): void {
    this.#cpu.segments.set('cs', code);
    this.#cpu.mmu.flush();
    this.#cpu.mmu.updateAlignment();
  }

  /** The `count` values of `bytes` bytes at `offset` from the top of the stack, or an outcome. */
  #frame(offset: number, count: number, bytes: 2 | 4 | 8): bigint[] | number {
    const stack = Number(this.#cpu.state.quads[SLOT.RSP]!) + offset;
    const values: bigint[] = [];
    for (let index = 0; index < count; index++) {
      const value = readMemory(this.#cpu, stack + index * bytes, bytes);
      if (typeof value === 'number') return onStack(this.#cpu, value);
      values.push(value);
    }
    return values;
  }

  /** RETF to the same or an outer privilege. */
  farReturn(released: number, width: number): number {
    const { event, mmu, segments, state } = this.#cpu;
    const bytes = (width / 8) as 2 | 4 | 8;
    const values = this.#frame(0, 2, bytes);
    if (typeof values === 'number') return values;
    const [offset, cs] = values as [bigint, bigint];
    const selector = Number(cs & 0xffffn);
    const target = selector & 3;
    if (target < mmu.guest.privilege) return event.raise(VECTOR.GP, selector & 0xfffc);
    const code = segments.loadCode(selector, target);
    if (typeof code === 'number') return code;
    if (!isCanonical(Number(offset))) return event.raise(VECTOR.GP, 0);
    if (target === mmu.guest.privilege) {
      segments.set('cs', code);
      state.quads[SLOT.RSP] = state.quads[SLOT.RSP]! + BigInt(2 * bytes + released);
      return this.#go(offset);
    }
    const outer = this.#frame(2 * bytes + released, 2, bytes);
    if (typeof outer === 'number') return outer;
    const [stack, ss] = outer as [bigint, bigint];
    return this.#toOuter(code, offset, stack + BigInt(released), Number(ss & 0xffffn));
  }

  /** Arrive at `code`'s level with a stack of that level's own. */
  #toOuter(code: Segment, offset: bigint, stack: bigint, ss: number): number {
    const { mmu, segments, state } = this.#cpu;
    const from = mmu.guest.privilege;
    const to = code.selector & 3;
    mmu.guest.privilege = to;
    const outcome = segments.load(SS, ss);
    if (outcome < 0) {
      mmu.guest.privilege = from;
      return outcome;
    }
    if (to !== from) {
      segments.dropInner(to);
      this.#changeLevel(code);
    } else segments.set('cs', code);
    state.quads[SLOT.RSP] = stack;
    return this.#go(offset);
  }

  /** IRETQ and its narrower forms. NMIs are unblocked even where it faults; an exit says so (SDM vol. 3C §28.2.3). */
  interruptReturn(width: number): number {
    const { blocking, event } = this.#cpu;
    const blocked = blocking.nmi;
    blocking.nmi = false;
    const outcome = this.#interruptReturn(width);
    if (outcome === OUTCOME.EXIT && blocked) {
      if (event.exit.reason === EXIT_REASON.EPT_MISCONFIG) blocking.nmi = true;
      else event.exit.qualification |= EPT_QUALIFICATION.NMI_UNBLOCKING;
    }
    return outcome;
  }

  /** rsp and ss are always popped in 64-bit mode. */
  #interruptReturn(width: number): number {
    const { event, mmu, segments, flags } = this.#cpu;
    const before = flags.read();
    if ((before & NT) !== 0) return refuse(this.#cpu);
    const values = this.#frame(0, 5, (width / 8) as 2 | 4 | 8);
    if (typeof values === 'number') return values;
    const [offset, cs, rflags, stack, ss] = values as [bigint, bigint, bigint, bigint, bigint];
    const { privilege } = mmu.guest;
    const selector = Number(cs & 0xffffn);
    const target = selector & 3;
    if ((selector & 0xfffc) !== 0 && target < privilege) return event.raise(VECTOR.GP, selector & 0xfffc);
    const code = segments.loadCode(selector, target);
    if (typeof code === 'number') return code;
    if (!isCanonical(Number(offset))) return event.raise(VECTOR.GP, 0);
    const outcome = this.#toOuter(code, offset, stack, Number(ss & 0xffffn));
    if (outcome !== OUTCOME.JUMP) return outcome;
    let changeable = (STATUS_FLAGS | CONTROL_FLAGS) & ~(IOPL | IF);
    if (privilege === 0) changeable |= IOPL;
    if (privilege <= (before & IOPL) >> 12) changeable |= IF;
    if (width === 16) changeable &= 0xffff;
    flags.write((before & ~changeable) | (Number(BigInt.asIntN(32, rflags)) & changeable));
    mmu.updateAlignment();
    return OUTCOME.JUMP;
  }

  #enabled(): boolean {
    return (this.#cpu.mmu.guest.efer & EFER_SCE) !== 0n;
  }

  /** Arrive at `offset` in flat segments of `privilege`, whose descriptors nobody reads. */
  #fast(offset: bigint, selector: number, stackSelector: number, privilege: number): number {
    const { segments } = this.#cpu;
    segments.set('ss', flatStack(stackSelector & 0xffff, privilege));
    this.#changeLevel(flatCode(selector & 0xffff, privilege));
    return this.#go(offset);
  }

  /** SYSCALL: `next` is the address behind it. */
  systemCall(next: bigint): number {
    const { event, flags, state } = this.#cpu;
    if (!this.#enabled()) return event.raise(VECTOR.UD);
    const rflags = flags.read();
    state.quads[RCX] = next;
    state.quads[R11] = BigInt(rflags & ~RF);
    const mask = Number(BigInt.asIntN(32, this.#msrs.get(MSR.FMASK)!));
    flags.write(rflags & ~mask & ~(RF | VM));
    const selector = Number((this.#msrs.get(MSR.STAR)! >> 32n) & 0xfffcn);
    return this.#fast(BigInt.asIntN(64, this.#msrs.get(MSR.LSTAR)!), selector, selector + 8, 0);
  }

  /** SYSRET to 64-bit code. */
  systemReturn(width: number): number {
    const { debug, event, flags, state } = this.#cpu;
    if (!this.#enabled()) return event.raise(VECTOR.UD);
    const target = state.quads[RCX]!;
    // Fidelity: SYSRET without REX.W goes to 32-bit code, which this processor does not run.
    if (!isPrivileged(this.#cpu) || width !== 64 || !isCanonical(Number(target))) return refuse(this.#cpu);
    const rflags = Number(BigInt.asIntN(32, state.quads[R11]!)) & SYSRET_FLAGS;
    flags.write(rflags);
    // TF as it is restored traps before the program's next instruction, as if SYSCALL had just completed there.
    if ((rflags & TF) !== 0) debug.pending |= DR6.SINGLE_STEP;
    const selector = Number((this.#msrs.get(MSR.STAR)! >> 48n) & 0xffffn);
    return this.#fast(target, (selector + 16) | 3, (selector + 8) | 3, 3);
  }

  systemEnter(): number {
    const { flags, state } = this.#cpu;
    const selector = Number(this.#msrs.get(MSR.SYSENTER_CS)! & 0xfffcn);
    if (selector === 0) return refuse(this.#cpu);
    flags.write(flags.read() & ~(IF | RF | VM));
    state.quads[SLOT.RSP] = BigInt.asIntN(64, this.#msrs.get(MSR.SYSENTER_ESP)!);
    return this.#fast(BigInt.asIntN(64, this.#msrs.get(MSR.SYSENTER_EIP)!), selector, selector + 8, 0);
  }

  /** SYSEXIT to 64-bit code. */
  systemExit(width: number): number {
    const { quads } = this.#cpu.state;
    const selector = Number(this.#msrs.get(MSR.SYSENTER_CS)! & 0xfffcn);
    const [offset, stack] = [quads[RDX]!, quads[RCX]!];
    const canonical = isCanonical(Number(offset)) && isCanonical(Number(stack));
    // Fidelity: as with SYSRET, 32-bit code cannot be reached.
    if (selector === 0 || !isPrivileged(this.#cpu) || width !== 64 || !canonical) return refuse(this.#cpu);
    quads[SLOT.RSP] = stack;
    return this.#fast(offset, (selector + 32) | 3, (selector + 40) | 3, 3);
  }
}
