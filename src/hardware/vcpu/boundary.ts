/** What may come between two instructions: debug traps, windows for interrupts, instruction breakpoints (SDM vol. 3A table 6-2). */

import { watched } from '../../event.ts';
import type { ControlServices } from './control-services.ts';
import { DR6 } from './debug-registers.ts';
import { guestInstruction } from './events.ts';
import type { Execution } from './execution.ts';
import { EXIT_REASON, type ExitReason, INTERRUPTIBILITY } from './exit.ts';
import { IF, RF, TF } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { type EventKind, VECTOR } from './pending-event.ts';
import type { Processor } from './processor.ts';
import { SLOT, WORD } from './state.ts';

/** The instruction boundaries of one vCPU. */
export class Boundary {
  /** For what the hypervisor wants to be told, as the vCPU's accessors of these names say. */
  interruptWindow = false;
  nmiWindow = false;
  tprThreshold = 0;
  breakpoint: ((rip: bigint) => void) | undefined;
  readonly #cpu: Processor;
  readonly #controls: ControlServices;
  readonly #execution: Execution;
  readonly #tell: (rip: bigint) => void;

  /** `tell` fires {@link guestInstruction} for the instruction at rip. */
  constructor(cpu: Processor, controls: ControlServices, execution: Execution, tell: (rip: bigint) => void) {
    this.#tell = tell;
    this.#cpu = cpu;
    this.#controls = controls;
    this.#execution = execution;
  }

  /** Whether the guest would take an interrupt now: RFLAGS.IF, and not in the shadow of STI or MOV SS. */
  get interruptible(): boolean {
    return (this.#cpu.state.words[WORD.FLAG_CONTROL]! & IF) !== 0 && this.#cpu.blocking.shadow === 0;
  }

  /** Whether the guest would take an NMI now. */
  get nmiReady(): boolean {
    return !this.#cpu.blocking.nmi && this.#cpu.blocking.shadow === 0;
  }

  /** Whether something has to be looked at before each instruction, and not only between pages and blocks. */
  get eventful(): boolean {
    const control = this.#cpu.state.words[WORD.FLAG_CONTROL]!;
    return (
      (control & (TF | RF)) !== 0 ||
      this.#cpu.blocking.shadow !== 0 ||
      this.#cpu.debug.active ||
      this.#cpu.debug.pending !== 0 ||
      this.interruptWindow ||
      this.nmiWindow ||
      this.tprThreshold > 0 ||
      this.breakpoint !== undefined ||
      (watched && guestInstruction.on)
    );
  }

  /**
   * One instruction, with all that may come between two: debug traps, windows for interrupts, instruction breakpoints
   * (SDM vol. 3A table 6-2).
   */
  step(): number {
    const { words } = this.#cpu.state;
    const { shadow } = this.#cpu.blocking;
    const { privilege } = this.#cpu.mmu;
    if (this.#cpu.debug.pending !== 0 && shadow !== INTERRUPTIBILITY.MOV_SS) return this.#debugTrap('trap');
    if (this.tprThreshold > 0 && this.#controls.taskPriority < this.tprThreshold)
      return this.#window(EXIT_REASON.TPR_BELOW_THRESHOLD);
    if (this.nmiWindow && this.nmiReady) return this.#window(EXIT_REASON.NMI_WINDOW);
    if (this.interruptWindow && this.interruptible) return this.#window(EXIT_REASON.INTERRUPT_WINDOW);
    if (this.breakpoint !== undefined || (watched && guestInstruction.on)) this.#reached();
    const control = words[WORD.FLAG_CONTROL]!;
    const held = this.#cpu.debug.pending;
    if ((control & RF) === 0 && this.#cpu.debug.active) {
      this.#cpu.debug.pending |= this.#cpu.debug.executes(Number(this.#cpu.state.quads[SLOT.RIP]!));
      if (this.#cpu.debug.pending !== held) return this.#debugTrap('fault');
    }
    words[WORD.FLAG_CONTROL] = control & ~RF;
    this.#cpu.blocking.shadow = 0;
    this.#cpu.mmu.oneElement = true;
    const outcome = this.#execution.runPage(this.#execution.retired + 1);
    this.#cpu.mmu.oneElement = false;
    if (outcome === OUTCOME.EXIT || outcome === OUTCOME.FAULT) {
      // Not executed: its watchpoints have not been hit, and the state is the one that it was met in.
      this.#cpu.debug.pending = held;
      this.#cpu.blocking.shadow = shadow;
      const { kind } = this.#cpu.event;
      if (outcome === OUTCOME.EXIT || kind === 'fault' || kind === 'trap')
        words[WORD.FLAG_CONTROL] = words[WORD.FLAG_CONTROL]! | (control & RF);
      return outcome;
    }
    // SYSCALL and SYSENTER take TF away before it would trap.
    const masked = this.#cpu.mmu.privilege < privilege && (words[WORD.FLAG_CONTROL]! & TF) === 0;
    if ((control & TF) !== 0 && !masked && this.#cpu.blocking.shadow !== INTERRUPTIBILITY.MOV_SS)
      this.#cpu.debug.pending |= DR6.SINGLE_STEP;
    return outcome;
  }

  /** The instruction at rip is about to be executed. */
  #reached(): void {
    const rip = BigInt.asUintN(64, this.#cpu.state.quads[SLOT.RIP]!);
    this.breakpoint?.(rip);
    if (guestInstruction.on) this.#tell(rip);
  }

  #window(reason: ExitReason): number {
    this.#cpu.event.exit.instructionLength = 0;
    return this.#cpu.event.leave(reason);
  }

  /** #DB for what is pending: DR6 says what it was. */
  #debugTrap(kind: EventKind): number {
    this.#cpu.debug.reasons = this.#cpu.debug.pending;
    this.#cpu.debug.pending = 0;
    this.#cpu.event.exit.instructionLength = 0;
    return this.#cpu.event.raise(VECTOR.DB, undefined, kind);
  }

  /** The hypervisor has carried out an instruction: what ends with one ends, and a single step is due. */
  completed(): void {
    const { state, blocking, debug } = this.#cpu;
    blocking.shadow = 0;
    const control = state.words[WORD.FLAG_CONTROL]!;
    state.words[WORD.FLAG_CONTROL] = control & ~RF;
    if ((control & TF) !== 0) debug.pending |= DR6.SINGLE_STEP;
  }
}
