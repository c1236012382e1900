/** What may come between two instructions: debug traps, windows for interrupts, instruction breakpoints (SDM vol. 3A table 6-2). */

import { watch } from '../../event.ts';
import type { ControlServices } from './control-services.ts';
import { type DebugRegisters, DR6 } from './debug-registers.ts';
import { guestInstruction } from './events.ts';
import type { Execution } from './execution.ts';
import { EXIT_REASON, type ExitReason, INTERRUPTIBILITY } from './exit.ts';
import { IF, RF, TF } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { type EventKind, VECTOR } from './pending-event.ts';
import type { Blocking, Processor } from './processor.ts';
import { SLOT, WORD } from './state.ts';

/** What the hypervisor may ask to be told between two instructions. */
const ASKED = { INTERRUPT_WINDOW: 1 << 0, NMI_WINDOW: 1 << 1, TPR_THRESHOLD: 1 << 2, BREAKPOINT: 1 << 3 } as const;

/** The instruction boundaries of one vCPU. */
export class Boundary {
  /** Called with rip before each instruction, as the vCPU's accessor of this name says. */
  #breakpoint: ((rip: bigint) => void) | undefined;
  #tprThreshold = 0;
  /** {@link ASKED}'s bits: what the hypervisor wants to be told. One word, because every entry asks. */
  #asked = 0;
  readonly #cpu: Processor;
  readonly #words: Int32Array;
  readonly #debug: DebugRegisters;
  readonly #blocking: Blocking;
  readonly #controls: ControlServices;
  readonly #execution: Execution;
  readonly #tell: (rip: bigint) => void;

  /** `tell` fires {@link guestInstruction} for the instruction at rip. */
  constructor(cpu: Processor, controls: ControlServices, execution: Execution, tell: (rip: bigint) => void) {
    this.#tell = tell;
    this.#cpu = cpu;
    this.#words = cpu.state.words;
    this.#debug = cpu.debug;
    this.#blocking = cpu.blocking;
    this.#controls = controls;
    this.#execution = execution;
  }

  /** These four are the vCPU's accessors of the same names. */
  set interruptWindow(open: boolean) {
    this.#ask(ASKED.INTERRUPT_WINDOW, open);
  }

  set nmiWindow(open: boolean) {
    this.#ask(ASKED.NMI_WINDOW, open);
  }

  set tprThreshold(threshold: number) {
    this.#tprThreshold = threshold;
    this.#ask(ASKED.TPR_THRESHOLD, threshold > 0);
  }

  set breakpoint(reached: ((rip: bigint) => void) | undefined) {
    this.#breakpoint = reached;
    this.#ask(ASKED.BREAKPOINT, reached !== undefined);
  }

  #ask(what: number, wanted: boolean): void {
    this.#asked = wanted ? this.#asked | what : this.#asked & ~what;
  }

  /** Whether the guest would take an interrupt now: RFLAGS.IF, and not in the shadow of STI or MOV SS. */
  get interruptible(): boolean {
    return (this.#words[WORD.FLAG_CONTROL]! & IF) !== 0 && this.#blocking.shadow === 0;
  }

  /** Whether the guest would take an NMI now. */
  get nmiReady(): boolean {
    return !this.#blocking.nmi && this.#blocking.shadow === 0;
  }

  /** Whether something has to be looked at before each instruction, and not only between pages and blocks. */
  get eventful(): boolean {
    const control = this.#words[WORD.FLAG_CONTROL]! & (TF | RF);
    return (
      (control | this.#blocking.shadow | this.#debug.pending | this.#asked) !== 0 ||
      this.#debug.active ||
      (watch.on && guestInstruction.on)
    );
  }

  /**
   * Whether somebody looks between two elements of a repeated string instruction. RF alone, which stands between its batches, does not;
   * nor does who only watches, by the breakpoint or the event: a batch counts as one instruction, and time must not tell of watching.
   */
  get #looksAtElements(): boolean {
    const trap = this.#words[WORD.FLAG_CONTROL]! & TF;
    const asked = this.#asked & ~ASKED.BREAKPOINT;
    return (trap | this.#blocking.shadow | this.#debug.pending | asked) !== 0 || this.#debug.active;
  }

  /**
   * One instruction, with all that may come between two: debug traps, windows for interrupts, instruction breakpoints
   * (SDM vol. 3A table 6-2).
   */
  step(): number {
    const { words } = this.#cpu.state;
    const { shadow } = this.#blocking;
    const { privilege } = this.#cpu.mmu.guest;
    if (this.#debug.pending !== 0 && shadow !== INTERRUPTIBILITY.MOV_SS) return this.#debugTrap('trap');
    if (this.#controls.taskPriority < this.#tprThreshold) return this.#window(EXIT_REASON.TPR_BELOW_THRESHOLD);
    if ((this.#asked & ASKED.NMI_WINDOW) !== 0 && this.nmiReady) return this.#window(EXIT_REASON.NMI_WINDOW);
    if ((this.#asked & ASKED.INTERRUPT_WINDOW) !== 0 && this.interruptible)
      return this.#window(EXIT_REASON.INTERRUPT_WINDOW);
    if (this.#breakpoint !== undefined || (watch.on && guestInstruction.on)) this.#reached();
    const control = words[WORD.FLAG_CONTROL]!;
    const held = this.#debug.pending;
    if ((control & RF) === 0 && this.#debug.active) {
      this.#debug.pending |= this.#debug.executes(Number(this.#cpu.state.quads[SLOT.RIP]!));
      if (this.#debug.pending !== held) return this.#debugTrap('fault');
    }
    this.#cpu.mmu.oneElement = this.#looksAtElements;
    words[WORD.FLAG_CONTROL] = control & ~RF;
    this.#blocking.shadow = 0;
    const outcome = this.#execution.runPage(this.#execution.retired + 1);
    this.#cpu.mmu.oneElement = false;
    if (outcome === OUTCOME.EXIT || outcome === OUTCOME.FAULT) {
      // Not executed: its watchpoints have not been hit, and the state is the one that it was met in.
      this.#debug.pending = held;
      this.#blocking.shadow = shadow;
      const { kind } = this.#cpu.event;
      if (outcome === OUTCOME.EXIT || kind === 'fault' || kind === 'trap')
        words[WORD.FLAG_CONTROL] = words[WORD.FLAG_CONTROL]! | (control & RF);
      return outcome;
    }
    // SYSCALL and SYSENTER take TF away before it would trap.
    const masked = this.#cpu.mmu.guest.privilege < privilege && (words[WORD.FLAG_CONTROL]! & TF) === 0;
    if ((control & TF) !== 0 && !masked && this.#blocking.shadow !== INTERRUPTIBILITY.MOV_SS)
      this.#debug.pending |= DR6.SINGLE_STEP;
    return outcome;
  }

  /** The instruction at rip is about to be executed. */
  #reached(): void {
    const rip = BigInt.asUintN(64, this.#cpu.state.quads[SLOT.RIP]!);
    this.#breakpoint?.(rip);
    if (guestInstruction.on) this.#tell(rip);
  }

  #window(reason: ExitReason): number {
    this.#cpu.event.exit.instructionLength = 0;
    return this.#cpu.event.leave(reason);
  }

  /** #DB for what is pending: DR6 says what it was. */
  #debugTrap(kind: EventKind): number {
    this.#debug.reasons = this.#debug.pending;
    this.#debug.pending = 0;
    this.#cpu.event.exit.instructionLength = 0;
    return this.#cpu.event.raise(VECTOR.DB, undefined, kind);
  }

  /** The hypervisor has carried out an instruction: what ends with one ends, and a single step is due. */
  completed(): void {
    this.#words[WORD.FLAG_CONTROL] = this.#words[WORD.FLAG_CONTROL]! & ~RF;
    this.paused();
  }

  /** … or an element of a repeated one, which leaves RFLAGS.RF set. */
  paused(): void {
    this.#blocking.shadow = 0;
    if ((this.#words[WORD.FLAG_CONTROL]! & TF) !== 0) this.#debug.pending |= DR6.SINGLE_STEP;
  }
}
