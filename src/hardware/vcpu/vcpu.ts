/**
 * One virtual CPU: an x86-64 processor in long mode and VMX non-root operation. {@link Vcpu.run} is a VM entry; it returns
 * at the next VM exit, whose information is in {@link Vcpu.exit}.
 */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { Boundary } from './boundary.ts';
import { MAX_INSTRUCTION_BYTES } from './code-cache.ts';
import type { RaisedException, Unsupported } from './diagnosis.ts';
import type { Emulated, EmulatorPort } from './emulator-port.ts';
import { guestException, guestInstruction, instructionText, interruptDelivery } from './events.ts';
import { Exceptions } from './exceptions.ts';
import { EXIT_REASON, type ExitReason, type VmExit } from './exit.ts';
import { GuestState } from './guest-state.ts';
import { GuestView } from './inspect.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import type { ModificationLog } from './modification-log.ts';
import { type EventKind, VECTOR } from './pending-event.ts';
import { SLOT } from './state.ts';
import { wire } from './wiring.ts';

const TWO_TO_32 = 2 ** 32;

/** One vCPU. */
export class Vcpu extends GuestState {
  readonly exit: VmExit;
  /** The last exception raised by an instruction, and where: what an oops is about. */
  lastException: RaisedException | undefined;
  readonly mmu: Mmu;
  readonly #boundary: Boundary;
  readonly #stream: EventStream;
  readonly #exceptions: Exceptions;
  /** An event to deliver at the next entry: injected, or one whose delivery an EPT violation has cut short. */
  #waiting: { vector: number; errorCode: number | undefined; kind: EventKind; length: number } | undefined;

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

  /** Someone other than this CPU has changed RAM at `host`: forget code decoded from it. */
  memoryChanged(host: Hpa): void {
    const { code } = this.parts;
    if (code.holdsCode(host)) code.written(host);
  }

  /** Step over the instruction that exited, which the hypervisor has carried out. */
  skipInstruction(): void {
    const { state, execution } = this.parts;
    const { quads, unsignedWords } = state;
    // Hot: once an exit. Only a carry out of the low half needs 64 bits.
    const low = unsignedWords[2 * SLOT.RIP]! + this.exit.instructionLength;
    if (low < TWO_TO_32) unsignedWords[2 * SLOT.RIP] = low;
    else quads[SLOT.RIP] = quads[SLOT.RIP]! + BigInt(this.exit.instructionLength);
    execution.retired++;
    this.#boundary.completed();
  }

  /** Deliver an exception at the next entry (VM-entry interruption information). */
  injectException(vector: number, errorCode?: number): void {
    this.#waiting = { vector, errorCode, kind: 'fault', length: 0 };
  }

  /** Deliver an interrupt at the next entry. Whether the guest takes one now, {@link interruptible} tells. */
  injectInterrupt(vector: number): void {
    this.#waiting = { vector, errorCode: undefined, kind: 'external', length: 0 };
  }

  /** Deliver an NMI at the next entry; further ones are blocked until the guest's IRET. */
  injectNmi(): void {
    this.parts.blocking.nmi = true;
    this.#waiting = { vector: VECTOR.NMI, errorCode: undefined, kind: 'external', length: 0 };
  }

  /** An event waits to be delivered: injected, or cut short on its way by an EPT violation. No other may be injected. */
  get eventPending(): boolean {
    return this.#waiting !== undefined;
  }

  /** Whether the guest would take an interrupt now: RFLAGS.IF, and not in the shadow of STI or MOV SS. */
  get interruptible(): boolean {
    return this.#boundary.interruptible;
  }

  /** Whether the guest would take an NMI now. */
  get nmiReady(): boolean {
    return this.#boundary.nmiReady;
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
  }

  /**
   * VM entry: run the guest until a VM exit. `instructionLimit` bounds the instructions retired in this entry; when it is
   * used up the exit is PREEMPTION_TIMER.
   */
  run(instructionLimit: number): ExitReason {
    const boundary = this.#boundary;
    const { execution } = this.parts;
    const limit = execution.retired + instructionLimit;
    if (this.#waiting !== undefined && this.#deliverWaiting() === OUTCOME.EXIT) return this.#exited();
    for (;;) {
      const outcome = boundary.eventful ? boundary.step() : execution.runPage(limit);
      if (outcome === OUTCOME.EXIT) return this.#exited();
      if (outcome === OUTCOME.FAULT && this.#deliver() === OUTCOME.EXIT) return this.#exited();
      if (execution.retired >= limit) {
        this.exit.reason = EXIT_REASON.PREEMPTION_TIMER;
        this.exit.qualification = 0;
        this.exit.instructionLength = 0;
        return this.exit.reason;
      }
    }
  }

  /** The guest did something that the host has to serve: what follows belongs to that access. */
  #exited(): ExitReason {
    this.#stream.access++;
    return this.exit.reason;
  }

  #remember(vector: number, errorCode: number | undefined): void {
    this.lastException = {
      vector,
      errorCode,
      rip: this.rip,
      faultAddress: this.parts.event.faultAddress,
      registers: this.parts.state.quads.slice(0, 16),
      rflags: this.rflags,
      cr3: this.mmu.cr3,
      privilege: this.mmu.privilege,
    };
  }

  /** The guest's memory by the page tables at `cr3`, for a report. */
  view(cr3: bigint = this.mmu.cr3): GuestView {
    return new GuestView(this.parts.memory, this.mmu.nested.pointer, cr3);
  }

  #deliverWaiting(): number {
    const { vector, errorCode, kind, length } = this.#waiting!;
    this.parts.event.raise(vector, errorCode, kind);
    if (kind === 'fault') this.#remember(vector, errorCode);
    const outcome = this.#deliverPending(length);
    // Fidelity: VMX would tell KVM in the IDT-vectoring field, for it to inject again; here the processor keeps the event.
    if (outcome !== OUTCOME.EXIT || this.exit.reason === EXIT_REASON.TRIPLE_FAULT) this.#waiting = undefined;
    return outcome;
  }

  #deliver(): number {
    const { vector, errorCode, kind } = this.parts.event;
    this.#remember(vector, errorCode);
    if (guestException.on) {
      guestException(this.#stream, { vector, rip: this.rip, error_code: errorCode ?? 0 });
    }
    const outcome = this.#deliverPending(this.exit.instructionLength);
    // A trap cannot be had again by running the instruction once more.
    if (outcome === OUTCOME.EXIT && kind === 'trap') this.#waiting = { vector, errorCode, kind, length: 0 };
    return outcome;
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

  /** Complete the instruction at rip for the hypervisor: what leaves RAM is served by `port` instead of exiting. */
  emulate(port: EmulatorPort): Emulated {
    this.#stream.serving = true;
    const outcome = this.parts.execution.complete(port);
    this.#stream.serving = false;
    switch (outcome) {
      case OUTCOME.FAULT:
        return this.#deliver() === OUTCOME.EXIT ? 'undecodable' : 'exception';
      case OUTCOME.LATER:
        return 'userspace';
      case OUTCOME.EXIT:
        return 'undecodable';
      default:
        this.#boundary.completed();
        return 'retired';
    }
  }
}
