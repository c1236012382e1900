/**
 * One virtual CPU: an x86-64 processor in long mode and VMX non-root operation. {@link Vcpu.run} is a VM entry; it returns
 * at the next VM exit, whose information is in {@link Vcpu.exit}.
 */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { Boundary } from './boundary.ts';
import { MAX_INSTRUCTION_BYTES } from './code-cache.ts';
import type { CodeMemory } from './code-memory.ts';
import type { RaisedException, Unsupported } from './diagnosis.ts';
import type { Emulated, EmulatorPort } from './emulator-port.ts';
import { guestException, guestInstruction, instructionText, interruptDelivery } from './events.ts';
import { Exceptions, isInstruction } from './exceptions.ts';
import { SERVED } from './execution.ts';
import { EXIT_REASON, type ExitReason, INTERRUPTION, type VmExit } from './exit.ts';
import { GuestState } from './guest-state.ts';
import { GuestView } from './inspect.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { type EntryEvent, kindOf } from './interruption.ts';
import type { Mmu } from './mmu.ts';
import type { ModificationLog } from './modification-log.ts';
import { type EventKind, VECTOR } from './pending-event.ts';
import type { QuickExits } from './quick-exits.ts';
import { QuickMemory } from './quick-memory.ts';
import { QuickPort } from './quick-port.ts';
import { SLOT } from './state.ts';
import { TranslatedTier } from './translated-tier.ts';
import type { Eagerness, TranslationStatistics } from './translation.ts';
import { wire } from './wiring.ts';

/** One vCPU. */
export class Vcpu extends GuestState {
  readonly exit: VmExit;
  /** The last exception raised by an instruction, and where: what an oops is about. */
  lastException: RaisedException | undefined;
  readonly mmu: Mmu;
  #translated: TranslatedTier | undefined;
  readonly #boundary: Boundary;
  #quickPort: QuickPort | undefined;
  #quickMemory: QuickMemory | undefined;
  readonly #stream: EventStream;
  readonly #exceptions: Exceptions;
  /** Exceptions that leave the guest with EXCEPTION_NMI instead of reaching it, a bit a vector (the exception bitmap). */
  exceptionBitmap = 0;
  #entryEvent: EntryEvent | undefined;
  /** How much was retired when an instruction last raised an exception. */
  #raisedAt = -1;

  /** `stateAt` is a zeroed page frame of host RAM for the CPU's registers. */
  constructor(memory: PhysicalMemory, stateAt: Hpa, stream: EventStream) {
    const parts = wire(memory, stateAt, stream);
    super(parts);
    this.#stream = stream;
    this.exit = parts.event.exit;
    this.mmu = parts.mmu;
    this.#boundary = new Boundary(parts, parts.controls, parts.execution, (rip) => this.#tellInstruction(rip));
    this.#exceptions = new Exceptions(parts, (address) => parts.controls.set(2, address));
  }

  /** What RDTSC adds to the instructions that have retired. */
  get tscOffset(): number {
    return this.parts.msrs.tscOffset;
  }
  set tscOffset(nanoseconds: number) {
    this.parts.msrs.tscOffset = nanoseconds;
  }

  /** The part of the TSC offset by which the counter was moved. */
  get tscShift(): bigint {
    return this.parts.msrs.tscShift;
  }
  set tscShift(ticks: bigint) {
    this.parts.msrs.tscShift = ticks;
  }

  /** Where its code may have been decoded before; none if undefined. */
  set codeMemory(memory: CodeMemory | undefined) {
    this.parts.code.memory = memory;
  }

  /** Which code is translated, from now on; none before this is called. */
  translate(eagerness: Eagerness): void {
    const tier = new TranslatedTier(this.parts, eagerness, () => this.#quickPort);
    this.parts.execution.hotTier = tier;
    this.#translated = tier;
  }

  /** What the translator has done; undefined if there was nothing for it to do. */
  get translation(): Readonly<TranslationStatistics> | undefined {
    return this.#translated?.statistics;
  }

  /** Guest instructions retired since start: the vCPU's virtual time. */
  get retired(): number {
    return this.parts.execution.retired;
  }

  /** The last instruction met that is not implemented: for the report when the guest dies of it. */
  get unsupported(): Unsupported | undefined {
    return this.parts.execution.unsupported;
  }

  setEptPointer(eptp: number): void {
    this.mmu.nested.setPointer(eptp);
    this.mmu.flush();
  }

  /** Where the CPU logs the pages that it makes dirty. */
  get modificationLog(): ModificationLog {
    return this.mmu.nested.modificationLog;
  }

  /** INVEPT: drop translations that the hypervisor has changed. */
  invalidateEpt(): void {
    this.mmu.nested.invalidate();
    this.mmu.flush();
  }

  /** The CPU is gone for good: RAM need not tell it of changes. */
  release(): void {
    this.parts.code.release();
  }

  /** Step over the instruction that exited, which the hypervisor has carried out. */
  skipInstruction(): void {
    const { state, execution } = this.parts;
    const { words } = state;
    // Hot: once an exit. Only a carry out of the low half needs 64 bits.
    const { instructionLength } = this.exit;
    const low = (words[2 * SLOT.RIP]! + instructionLength) | 0;
    words[2 * SLOT.RIP] = low;
    if (low >>> 0 < instructionLength >>> 0) words[2 * SLOT.RIP + 1] = (words[2 * SLOT.RIP + 1]! + 1) | 0;
    execution.retired++;
    this.#boundary.completed();
  }

  /**
   * Deliver an event at the next entry: {@link INTERRUPTION}'s bits, the error code if they say that there is one, and the
   * length of the instruction that a software interrupt or exception counts as.
   */
  inject(information: number, errorCode = 0, instructionLength = 0): void {
    this.#entryEvent = { information, errorCode, instructionLength };
  }

  /** Whether the guest would take an interrupt now: RFLAGS.IF, and not in the shadow of STI or MOV SS. */
  get interruptible(): boolean {
    return this.#boundary.interruptible;
  }

  /** Whether the guest would take an NMI now. */
  get nmiReady(): boolean {
    return this.#boundary.nmiReady;
  }

  /** Who serves port accesses of translated code where they stand, and misconfigurations in {@link run}: to be said before any code is translated. */
  set quickExits(server: QuickExits) {
    this.#quickPort = new QuickPort(this.parts, this.#stream, server);
    this.#quickMemory = new QuickMemory(this.parts.event, this.parts.execution, server);
  }

  /** Leave with INTERRUPT_WINDOW as soon as the guest would take an interrupt. */
  set interruptWindow(open: boolean) {
    this.#boundary.interruptWindow = open;
  }

  /** Leave with NMI_WINDOW as soon as the guest would take an NMI. */
  set nmiWindow(open: boolean) {
    this.#boundary.nmiWindow = open;
  }

  /** Leave with TPR_BELOW_THRESHOLD when CR8 is below this (TPR shadow, SDM vol. 3C ch. 30.1.2); 0 never. */
  set tprThreshold(threshold: number) {
    this.#boundary.tprThreshold = threshold;
  }

  /** Called with rip before each instruction, for who wants to stop or look somewhere; the guest cannot tell. Slow. */
  set breakpoint(reached: ((rip: bigint) => void) | undefined) {
    this.#boundary.breakpoint = reached;
    // Translated code goes by no breakpoint: it is left.
    this.mmu.flush();
  }

  /**
   * VM entry: run the guest until a VM exit. `instructionLimit` bounds the instructions retired in this entry; when it is
   * used up the exit is PREEMPTION_TIMER.
   */
  run(instructionLimit: number): ExitReason {
    const boundary = this.#boundary;
    const { execution } = this.parts;
    const limit = execution.retired + instructionLimit;
    if (this.#entryEvent !== undefined && this.#deliverInjected(this.#entryEvent) === OUTCOME.EXIT)
      return this.#exited();
    for (;;) {
      const outcome = boundary.eventful ? boundary.step() : execution.runPage(limit);
      if (outcome === OUTCOME.EXIT) {
        const reason = this.#exited();
        if (this.#quickMemory === undefined || !this.#quickMemory.serves(limit)) return reason;
        continue;
      }
      if (outcome === SERVED) return this.exit.reason;
      if (outcome === OUTCOME.FAULT && this.#deliver() === OUTCOME.EXIT) return this.#exited();
      if (execution.retired >= limit) {
        this.exit.reason = EXIT_REASON.PREEMPTION_TIMER;
        this.exit.qualification = 0;
        this.exit.instructionLength = 0;
        this.exit.idtVectoring = 0;
        return this.exit.reason;
      }
    }
  }

  /** The guest did something that the host has to serve: what follows belongs to that access. */
  #exited(): ExitReason {
    const { words } = this.parts.state;
    this.#stream.left(words[2 * SLOT.RIP]!, words[2 * SLOT.RIP + 1]!);
    return this.exit.reason;
  }

  #remember(vector: number, errorCode: number | undefined, faultAddress: bigint): void {
    this.lastException = {
      vector,
      errorCode,
      rip: this.rip,
      faultAddress,
      registers: this.parts.state.quads.slice(0, 16),
      rflags: this.rflags,
      cr3: this.mmu.guest.cr3,
      privilege: this.mmu.guest.privilege,
    };
  }

  /** The guest's memory by the page tables at `cr3`, for a report. */
  view(cr3: bigint = this.mmu.guest.cr3): GuestView {
    return new GuestView(this.parts.memory, this.mmu.nested.pointer, cr3);
  }

  #deliverInjected({ information, errorCode, instructionLength }: EntryEvent): number {
    this.#entryEvent = undefined;
    const vector = information & INTERRUPTION.VECTOR_MASK;
    const kind = kindOf(information);
    const error = (information & INTERRUPTION.HAS_ERROR_CODE) === 0 ? undefined : errorCode;
    if (kind === 'trap') this.#remember(vector, error, this.control(2));
    if (kind === 'nmi') this.parts.blocking.nmi = true;
    // What an exit says of a software event that is cut short again.
    this.exit.instructionLength = instructionLength;
    this.parts.event.raise(vector, error, kind);
    return this.#deliverPending(instructionLength);
  }

  /** An instruction has raised an exception. */
  #raised(): void {
    const { vector, errorCode, faultAddress } = this.parts.event;
    this.#remember(vector, errorCode, faultAddress);
    if (guestException.on) {
      guestException(this.#stream, { vector, rip: this.rip, error_code: errorCode ?? 0 });
    }
  }

  #deliver(): number {
    const { vector, kind } = this.parts.event;
    // `int n` is no exception, whatever its vector.
    if ((this.exceptionBitmap & (1 << vector)) !== 0 && kind !== 'software') return this.#intercepted(vector, kind);
    if (vector === VECTOR.DB && kind !== 'software') this.parts.debug.report();
    this.#raised();
    // A handler whose first instruction faults, on a stack of its own, does so for ever and retires nothing: an exception without an
    // instruction since the last one counts as one, so that time goes on and the guest's limits hold.
    const { execution } = this.parts;
    if (execution.retired === this.#raisedAt) execution.retired++;
    this.#raisedAt = execution.retired;
    return this.#deliverPending(this.exit.instructionLength);
  }

  /** Through the IDT; told when the handler is reached. */
  #deliverPending(length: number): number {
    const { rip } = this;
    const { vector, kind } = this.parts.event;
    const outcome = this.#exceptions.deliverPending(length);
    if (interruptDelivery.on && outcome === OUTCOME.JUMP)
      interruptDelivery(this.#stream, { vector, kind, rip, handler: this.rip });
    return outcome;
  }

  /** The bytes at `rip` that an instruction may have: by the TLB where it knows the page, else by a walk that changes nothing. */
  #bytesAt(rip: bigint): Uint8Array {
    const { bytes } = this.parts.memory;
    const host = this.mmu.tlb.fetchHost(Number(BigInt.asIntN(64, rip)));
    if (host < 0 || (host & 4095) > 4096 - MAX_INSTRUCTION_BYTES) return this.view().read(rip, MAX_INSTRUCTION_BYTES);
    return bytes.subarray(host, host + MAX_INSTRUCTION_BYTES);
  }

  /** Tell of the instruction at rip, which belongs to the access that it may become. */
  #tellInstruction(rip: bigint): void {
    const text = instructionText(this.#bytesAt(rip), rip);
    this.#stream.ahead(() => guestInstruction(this.#stream, { rip, text, line: this.#stream.placeOf(rip) }));
  }

  #intercepted(vector: number, kind: EventKind): number {
    const { debug, event } = this.parts;
    const type = kind === 'int3' ? INTERRUPTION.SOFTWARE_EXCEPTION : INTERRUPTION.HARDWARE_EXCEPTION;
    this.exit.interruption = INTERRUPTION.VALID + (type | vector);
    const reasons = vector === VECTOR.DB ? debug.reasons : 0;
    debug.reasons = 0;
    const faultAddress = vector === VECTOR.PF ? Number(BigInt.asIntN(64, event.faultAddress)) : 0;
    return event.leave(EXIT_REASON.EXCEPTION_NMI, reasons || faultAddress);
  }

  /**
   * Complete the instruction at rip for the hypervisor: what leaves RAM is served by `port` instead of exiting. An exception
   * is the hypervisor's to inject: {@link lastException} tells which.
   */
  emulate(port: EmulatorPort): Emulated {
    this.#stream.serving = true;
    const { exit } = this;
    const { reason, qualification, guestPhysical, guestLinear, instructionLength, idtVectoring } = exit;
    const forMemory = reason === EXIT_REASON.EPT_MISCONFIG || reason === EXIT_REASON.EPT_VIOLATION;
    const outcome = this.parts.execution.complete(port, forMemory);
    // What the emulator meets on its own way is no exit: the fields are still the one's that it serves.
    exit.reason = reason;
    exit.qualification = qualification;
    exit.guestPhysical = guestPhysical;
    exit.guestLinear = guestLinear;
    exit.instructionLength = instructionLength;
    exit.idtVectoring = idtVectoring;
    this.#stream.serving = false;
    switch (outcome) {
      case OUTCOME.STOP:
        this.#boundary.completed();
        return 'retired';
      case OUTCOME.PAUSED:
        this.#boundary.paused();
        return 'paused';
      case OUTCOME.FAULT:
        // KVM's emulator has no INT in protected mode (arch/x86/kvm/emulate.c: emulate_int).
        if (isInstruction(this.parts.event.kind)) return 'undecodable';
        this.#raised();
        return 'exception';
      case OUTCOME.LATER:
        return 'userspace';
      default:
        return 'undecodable';
    }
  }
}
