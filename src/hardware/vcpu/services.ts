/**
 * The services that instruction definitions call by name and that belong to no register file: flags with privilege rules,
 * software interrupts, the instructions that always exit. Each returns 0, or an outcome that ends the instruction.
 */

import { EXIT_REASON, INTERRUPTIBILITY } from './exit.ts';
import { AC, CONTROL_FLAGS, IF, IOPL, RF, STATUS_FLAGS, VM } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { OtherServices } from './interpreter/service-rooms.ts';
import { VECTOR } from './pending-event.ts';
import {
  answer,
  isPrivileged,
  onStack,
  type Processor,
  readMemory,
  refuse,
  type Service,
  writeMemory,
} from './processor.ts';
import { SLOT, WORD } from './state.ts';

const RBP = 5;

/** Services of one vCPU. Vectors are numbers; register values signed bigints; addresses signed doubles. */
export class Services implements Record<OtherServices, Service> {
  readonly #cpu: Processor;
  /** State of the generator behind RDRAND (xorshift64*): the same numbers in every run. */
  #random = 0x9e3779b97f4a7c15n;

  constructor(cpu: Processor) {
    this.#cpu = cpu;
  }

  fault(vector: number): number {
    return this.#cpu.event.raise(vector);
  }

  /** A near branch to an address that is not canonical: the branch itself faults. */
  badTarget(): number {
    return refuse(this.#cpu);
  }

  divideError(): number {
    return this.#cpu.event.raise(VECTOR.DE);
  }

  checkPrivilege(): number {
    return isPrivileged(this.#cpu) ? 0 : refuse(this.#cpu);
  }

  checkAlignment(address: number, bytes: number): number {
    return address % bytes === 0 ? 0 : refuse(this.#cpu);
  }

  #leavePrivileged(reason: Parameters<Processor['event']['leave']>[0]): number {
    return isPrivileged(this.#cpu) ? this.#cpu.event.leave(reason) : refuse(this.#cpu);
  }

  halt(): number {
    return this.#leavePrivileged(EXIT_REASON.HLT);
  }

  /** MONITOR and MWAIT: undefined outside privilege 0, and the hypervisor's business inside. */
  monitor(): number {
    return isPrivileged(this.#cpu) ? this.#cpu.event.leave(EXIT_REASON.MONITOR) : this.#cpu.event.raise(VECTOR.UD);
  }

  monitorWait(): number {
    return isPrivileged(this.#cpu) ? this.#cpu.event.leave(EXIT_REASON.MWAIT) : this.#cpu.event.raise(VECTOR.UD);
  }

  cpuid(): number {
    return this.#cpu.event.leave(EXIT_REASON.CPUID);
  }

  vmcall(): number {
    return this.#cpu.event.leave(EXIT_REASON.VMCALL);
  }

  /** A hint; the pause-loop exiting control is off. */
  pause(): number {
    return 0;
  }

  /** Caches are not modeled, so writing them back changes nothing. */
  flushCaches(): number {
    return this.checkPrivilege();
  }

  randomNumber(): number {
    let state = this.#random;
    state ^= state >> 12n;
    state = BigInt.asUintN(64, state ^ (state << 25n));
    state ^= state >> 27n;
    this.#random = state;
    return answer(this.#cpu, BigInt.asIntN(64, state * 0x2545f4914f6cdd1dn));
  }

  /** INT n. */
  interrupt(vector: number): number {
    return this.#cpu.event.raise(vector, undefined, 'software');
  }

  breakpoint(): number {
    return this.#cpu.event.raise(VECTOR.BP, undefined, 'int3');
  }

  /** INT1: #DB that no gate's privilege can refuse. */
  debugTrap(): number {
    return this.#cpu.event.raise(VECTOR.DB, undefined, 'int1');
  }

  #iopl(): number {
    return (this.#cpu.state.words[WORD.FLAG_CONTROL]! & IOPL) >> 12;
  }

  clearInterruptFlag(): number {
    if (this.#cpu.mmu.guest.privilege > this.#iopl()) return refuse(this.#cpu);
    const { words } = this.#cpu.state;
    words[WORD.FLAG_CONTROL] = words[WORD.FLAG_CONTROL]! & ~IF;
    return OUTCOME.STOP;
  }

  /** STI: if interrupts were off, the next instruction runs before one is taken. */
  setInterruptFlag(): number {
    if (this.#cpu.mmu.guest.privilege > this.#iopl()) return refuse(this.#cpu);
    const { words } = this.#cpu.state;
    const control = words[WORD.FLAG_CONTROL]!;
    if ((control & IF) === 0) this.#cpu.blocking.shadow = INTERRUPTIBILITY.STI;
    words[WORD.FLAG_CONTROL] = control | IF;
    return OUTCOME.STOP;
  }

  /** CLAC and STAC. */
  setAccessCheck(on: number): number {
    if (!isPrivileged(this.#cpu)) return this.#cpu.event.raise(VECTOR.UD);
    const { words } = this.#cpu.state;
    const control = words[WORD.FLAG_CONTROL]!;
    words[WORD.FLAG_CONTROL] = on ? control | AC : control & ~AC;
    return 0;
  }

  /** PUSHF stores RF and VM as zero. */
  pushFlags(): number {
    return answer(this.#cpu, BigInt(this.#cpu.flags.read() & ~(RF | VM)));
  }

  /** POPF: IOPL only at privilege 0, IF only up to IOPL, neither silently refused nor a fault. */
  popFlags(value: bigint, width: number): number {
    const { privilege } = this.#cpu.mmu.guest;
    const current = this.#cpu.flags.read();
    let changeable = (STATUS_FLAGS | CONTROL_FLAGS) & ~(IOPL | IF | RF);
    if (privilege === 0) changeable |= IOPL;
    if (privilege <= this.#iopl()) changeable |= IF;
    if (width === 16) changeable &= 0xffff;
    this.#cpu.flags.write((current & ~(changeable | RF)) | (Number(BigInt.asIntN(32, value)) & changeable));
    this.#cpu.mmu.updateAlignment();
    return OUTCOME.STOP;
  }

  /** ENTER (SDM vol. 2): push rbp, copy the frame pointers of the enclosing levels, make room. */
  enterFrame(room: number, nesting: number, width: number): number {
    const { quads, halves } = this.#cpu.state;
    const bytes = width === 16 ? 2 : 8;
    const level = nesting & 31;
    let stack = Number(quads[SLOT.RSP]!);
    let from = Number(quads[RBP]!);
    const push = (value: bigint): number => {
      stack -= bytes;
      return onStack(this.#cpu, writeMemory(this.#cpu, stack, value, bytes));
    };
    let outcome = push(quads[RBP]!);
    const frame = stack;
    for (let each = 1; each < level && outcome === 0; each++) {
      from -= bytes;
      const value = readMemory(this.#cpu, from, bytes);
      outcome = typeof value === 'number' ? onStack(this.#cpu, value) : push(value);
    }
    if (level > 0 && outcome === 0) outcome = push(BigInt(frame));
    // A write at the new top of the stack has to be possible, though none is made.
    const top = stack - room;
    if (outcome === 0) outcome = onStack(this.#cpu, Math.min(0, this.#cpu.mmu.writeSlow(top, bytes, false)));
    if (outcome !== 0) return outcome;
    if (bytes === 2) halves[RBP * 4] = frame;
    else quads[RBP] = BigInt(frame);
    quads[SLOT.RSP] = BigInt(top);
    return OUTCOME.STOP;
  }
}
