/**
 * One virtual CPU: an x86-64 processor in long mode and VMX non-root operation. {@link Vcpu.run} is a VM entry; it returns
 * at the next VM exit, whose information is in {@link Vcpu.exit}.
 */

import { decode } from '../../../lang/isa/decode.ts';
import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { CodeCache, type CodePage, MAX_INSTRUCTION_BYTES, type Undecodable } from './code-cache.ts';
import { ControlServices } from './control-services.ts';
import { DebugRegisters, DR6 } from './debug-registers.ts';
import { Divider } from './divider.ts';
import type { Emulated, EmulatorPort } from './emulator-port.ts';
import { guestException } from './events.ts';
import { Exceptions } from './exceptions.ts';
import { EXIT_REASON, type ExitReason, type VmExit } from './exit.ts';
import { FarTransfers } from './far-transfers.ts';
import { Flags, IF, RF, TF } from './flags.ts';
import { GuestView } from './inspect.ts';
import * as bits from './interpreter/bits.ts';
import { type Environment, FormCompiler, type Step } from './interpreter/form.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { meanings } from './meanings.ts';
import { Mmu } from './mmu.ts';
import type { ModificationLog } from './modification-log.ts';
import { MsrServices } from './msr-services.ts';
import { type EventKind, PendingEvent, VECTOR } from './pending-event.ts';
import { Ports } from './ports.ts';
import type { Blocking, Processor } from './processor.ts';
import { type DescriptorTable, type Segment, type SegmentName, Segments } from './segments.ts';
import { Services } from './services.ts';
import { CpuState, SLOT, WORD } from './state.ts';
import { TableServices } from './table-services.ts';

/** An instruction that this processor has not, met by the guest; it also raised #UD. */
export interface Unsupported {
  readonly rip: bigint;
  readonly bytes: Uint8Array;
  /** Disassembly, if the instruction table knows it. */
  readonly text: string | undefined;
}

/** An exception that an instruction raised. */
export interface RaisedException {
  readonly vector: number;
  readonly errorCode: number | undefined;
  readonly rip: bigint;
  /** Address that a page fault is about. */
  readonly faultAddress: bigint;
  /** The registers as the instruction found them: rax … r15 signed, RFLAGS, CR3, the privilege level. */
  readonly registers: BigInt64Array;
  readonly rflags: bigint;
  readonly cr3: bigint;
  readonly privilege: number;
}

const TWO_TO_32 = 2 ** 32;

/** One vCPU. Registers are unsigned bigints. */
export class Vcpu {
  readonly exit: VmExit;
  /** The last instruction met that is not implemented: for the report when the guest dies of it. */
  unsupported: Unsupported | undefined;
  /** The last exception raised by an instruction, and where: what an oops is about. */
  lastException: RaisedException | undefined;
  readonly mmu: Mmu;
  readonly #memory: PhysicalMemory;
  readonly #stream: EventStream;
  readonly #state: CpuState;
  readonly #event = new PendingEvent();
  readonly #segments: Segments;
  readonly #exceptions: Exceptions;
  readonly #controls: ControlServices;
  readonly #msrs: MsrServices;
  readonly #debug = new DebugRegisters();
  readonly #blocking: Blocking = { shadow: 'none', nmi: false };
  readonly #flags: Flags;
  readonly #code: CodeCache;
  readonly #single = new Uint8Array(MAX_INSTRUCTION_BYTES);
  #retired = 0;
  #page: CodePage | undefined;
  /** An event to deliver at the next entry: injected, or one whose delivery an EPT violation has cut short. */
  #waiting: { vector: number; errorCode: number | undefined; kind: EventKind; length: number } | undefined;
  /** Leave with INTERRUPT_WINDOW as soon as the guest would take an interrupt. */
  interruptWindow = false;
  /** Leave with NMI_WINDOW as soon as the guest would take an NMI. */
  nmiWindow = false;
  /** Leave with TPR_BELOW_THRESHOLD when CR8 is below this (TPR shadow, SDM vol. 3C ch. 30.1.2); 0 never. */
  tprThreshold = 0;

  /** `stateAt` is a zeroed page frame of host RAM for the CPU's registers. */
  constructor(memory: PhysicalMemory, stateAt: Hpa, stream: EventStream) {
    this.#memory = memory;
    this.#stream = stream;
    this.#state = new CpuState(memory, stateAt);
    this.exit = this.#event.exit;
    this.#code = new CodeCache(memory);
    this.mmu = new Mmu(memory, this.#state, this.#event, this.#code, this.#debug);
    this.#segments = new Segments(memory, this.#state, this.mmu, this.#event);
    this.#flags = new Flags(this.#state);
    const processor: Processor = {
      memory,
      state: this.#state,
      mmu: this.mmu,
      event: this.#event,
      segments: this.#segments,
      flags: this.#flags,
      debug: this.#debug,
      blocking: this.#blocking,
    };
    this.#controls = new ControlServices(processor);
    this.#msrs = new MsrServices(processor, () => this.#retired);
    this.#exceptions = new Exceptions(processor, (address) => this.#controls.set(2, address));
    const { quads, words, unsignedWords, halves, bytes, bounce } = this.#state;
    const { tlb } = this.mmu;
    const environment: Environment = {
      R: quads,
      L: words,
      U: unsignedWords,
      S: halves,
      B: bytes,
      V: memory.view,
      bounce,
      readTags: tlb.readTags,
      readHosts: tlb.readHosts,
      writeTags: tlb.writeTags,
      writeHosts: tlb.writeHosts,
      mmu: this.mmu,
      flags: this.#flags,
      services: new Services(processor),
      controls: this.#controls,
      msrs: this.#msrs,
      tables: new TableServices(processor),
      transfers: new FarTransfers(processor, this.#msrs),
      divider: new Divider(),
      bits,
      ports: new Ports(processor),
    };
    const forms = new FormCompiler(meanings, environment);
    this.#code.connect(forms, () => tlb.flushWrites());
    this.#flags.write(0);
  }

  /** Guest instructions retired since start: the vCPU's virtual time. A repeated string instruction counts once a batch. */
  get retired(): number {
    return this.#retired;
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
    if (this.#code.holdsCode(host)) this.#code.written(host);
  }

  /** General register 0 (rax) to 15 (r15). */
  register(index: number): bigint {
    return BigInt.asUintN(64, this.#state.quads[index]!);
  }
  setRegister(index: number, value: bigint): void {
    this.#state.quads[index] = value;
  }

  get rip(): bigint {
    return BigInt.asUintN(64, this.#state.quads[SLOT.RIP]!);
  }
  set rip(value: bigint) {
    this.#state.quads[SLOT.RIP] = value;
  }

  get rflags(): bigint {
    return BigInt(this.#flags.read());
  }
  set rflags(value: bigint) {
    this.#flags.write(Number(BigInt.asIntN(32, value)));
    this.mmu.updateAlignment();
  }

  segment(name: SegmentName): Segment {
    return { ...this.#segments.get(name) };
  }
  setSegment(name: SegmentName, segment: Segment): void {
    this.#segments.set(name, { ...segment });
    if (name !== 'cs') return;
    this.mmu.flush();
    this.mmu.updateAlignment();
  }

  descriptorTable(name: 'gdt' | 'idt'): DescriptorTable {
    return { ...this.#segments[name] };
  }
  setDescriptorTable(name: 'gdt' | 'idt', table: DescriptorTable): void {
    Object.assign(this.#segments[name], table);
  }

  control(number: 0 | 2 | 3 | 4 | 8): bigint {
    return this.#controls.get(number)!;
  }
  setControl(number: 0 | 2 | 3 | 4 | 8, value: bigint): void {
    this.#controls.set(number, value);
  }

  get efer(): bigint {
    return this.mmu.efer;
  }
  set efer(value: bigint) {
    this.mmu.efer = value;
    this.mmu.flush();
  }

  /** An MSR that the processor keeps; undefined if the hypervisor has to. */
  readMsr(index: number): bigint | undefined {
    return this.#msrs.get(index);
  }
  /** False if the processor does not keep that MSR. */
  writeMsr(index: number, value: bigint): boolean {
    if (this.#msrs.get(index) === undefined) return false;
    this.#msrs.set(index, value);
    return true;
  }

  /** al, ax or eax, unsigned. */
  readAccumulator(size: 1 | 2 | 4): number {
    const { unsignedWords } = this.#state;
    return size === 4 ? unsignedWords[0]! : unsignedWords[0]! & (size === 1 ? 0xff : 0xffff);
  }
  /** Complete an IN: eax clears the upper half of rax, al and ax leave the rest. */
  writeAccumulator(size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.#state.bytes[0] = value;
    else if (size === 2) this.#state.halves[0] = value;
    else {
      this.#state.words[0] = value;
      this.#state.words[1] = 0;
    }
  }

  /** Step over the instruction that exited, which the hypervisor has carried out. */
  skipInstruction(): void {
    const { quads, unsignedWords } = this.#state;
    // Hot: once an exit. Only a carry out of the low half needs 64 bits.
    const low = unsignedWords[2 * SLOT.RIP]! + this.exit.instructionLength;
    if (low < TWO_TO_32) unsignedWords[2 * SLOT.RIP] = low;
    else quads[SLOT.RIP] = quads[SLOT.RIP]! + BigInt(this.exit.instructionLength);
    this.#retired++;
    this.#completed();
  }

  /** The hypervisor has carried out an instruction: what ends with one ends, and a single step is due. */
  #completed(): void {
    const { words } = this.#state;
    this.#blocking.shadow = 'none';
    const control = words[WORD.FLAG_CONTROL]!;
    words[WORD.FLAG_CONTROL] = control & ~RF;
    if ((control & TF) !== 0) this.#debug.pending |= DR6.SINGLE_STEP;
  }

  /** DR0–3, 6 or 7, unsigned. */
  debugRegister(number: 0 | 1 | 2 | 3 | 6 | 7): bigint {
    return this.#debug.get(number);
  }
  setDebugRegister(number: 0 | 1 | 2 | 3 | 6 | 7, value: bigint): void {
    this.#debug.set(number, value);
    this.mmu.flush();
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
    this.#blocking.nmi = true;
    this.#waiting = { vector: VECTOR.NMI, errorCode: undefined, kind: 'external', length: 0 };
  }

  /** An event waits to be delivered: injected, or cut short on its way by an EPT violation. No other may be injected. */
  get eventPending(): boolean {
    return this.#waiting !== undefined;
  }

  /** Whether the guest would take an interrupt now: RFLAGS.IF, and not in the shadow of STI or MOV SS. */
  get interruptible(): boolean {
    return (this.#state.words[WORD.FLAG_CONTROL]! & IF) !== 0 && this.#blocking.shadow === 'none';
  }

  /** Whether the guest would take an NMI now. */
  get nmiReady(): boolean {
    return !this.#blocking.nmi && this.#blocking.shadow === 'none';
  }

  /**
   * VM entry: run the guest until a VM exit. `instructionLimit` bounds the instructions retired in this entry; when it is
   * used up the exit is PREEMPTION_TIMER.
   */
  run(instructionLimit: number): ExitReason {
    const limit = this.#retired + instructionLimit;
    if (this.#waiting !== undefined && this.#deliverWaiting() === OUTCOME.EXIT) return this.#exited();
    for (;;) {
      const outcome = this.#atBoundary() ? this.#step() : this.#runPage(limit);
      if (outcome === OUTCOME.EXIT) return this.#exited();
      if (outcome === OUTCOME.FAULT && this.#deliver() === OUTCOME.EXIT) return this.#exited();
      if (this.#retired >= limit) {
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
      faultAddress: this.#event.faultAddress,
      registers: this.#state.quads.slice(0, 16),
      rflags: this.rflags,
      cr3: this.mmu.cr3,
      privilege: this.mmu.privilege,
    };
  }

  /** The guest's memory by the page tables at `cr3`, for a report. */
  view(cr3: bigint = this.mmu.cr3): GuestView {
    return new GuestView(this.#memory, this.mmu.nested.pointer, cr3);
  }

  #deliverWaiting(): number {
    const { vector, errorCode, kind, length } = this.#waiting!;
    this.#event.raise(vector, errorCode, kind);
    if (kind === 'fault') this.#remember(vector, errorCode);
    const outcome = this.#exceptions.deliverPending(length);
    // Fidelity: VMX would tell KVM in the IDT-vectoring field, for it to inject again; here the processor keeps the event.
    if (outcome !== OUTCOME.EXIT || this.exit.reason === EXIT_REASON.TRIPLE_FAULT) this.#waiting = undefined;
    return outcome;
  }

  #deliver(): number {
    const { vector, errorCode, kind } = this.#event;
    this.#remember(vector, errorCode);
    if (guestException.on) {
      guestException(this.#stream, { vector, rip: this.rip, error_code: errorCode ?? 0 });
    }
    const outcome = this.#exceptions.deliverPending(this.exit.instructionLength);
    // A trap cannot be had again by running the instruction once more.
    if (outcome === OUTCOME.EXIT && kind === 'trap') this.#waiting = { vector, errorCode, kind, length: 0 };
    return outcome;
  }

  /** Whether something has to be looked at before each instruction, and not only between pages and blocks. */
  #atBoundary(): boolean {
    const control = this.#state.words[WORD.FLAG_CONTROL]!;
    return (
      (control & (TF | RF)) !== 0 ||
      this.#blocking.shadow !== 'none' ||
      this.#debug.active ||
      this.#debug.pending !== 0 ||
      this.interruptWindow ||
      this.nmiWindow ||
      this.tprThreshold > 0
    );
  }

  /**
   * One instruction, with all that may come between two: debug traps, windows for interrupts, instruction breakpoints
   * (SDM vol. 3A table 6-2).
   */
  #step(): number {
    const { words } = this.#state;
    const { shadow } = this.#blocking;
    const { privilege } = this.mmu;
    if (this.#debug.pending !== 0 && shadow !== 'mov ss') return this.#debugTrap('trap');
    if (this.tprThreshold > 0 && Number(this.#controls.cr8) < this.tprThreshold)
      return this.#window(EXIT_REASON.TPR_BELOW_THRESHOLD);
    if (this.nmiWindow && this.nmiReady) return this.#window(EXIT_REASON.NMI_WINDOW);
    if (this.interruptWindow && this.interruptible) return this.#window(EXIT_REASON.INTERRUPT_WINDOW);
    const control = words[WORD.FLAG_CONTROL]!;
    const held = this.#debug.pending;
    if ((control & RF) === 0 && this.#debug.active) {
      this.#debug.pending |= this.#debug.executes(Number(this.#state.quads[SLOT.RIP]!));
      if (this.#debug.pending !== held) return this.#debugTrap('fault');
    }
    words[WORD.FLAG_CONTROL] = control & ~RF;
    this.#blocking.shadow = 'none';
    this.mmu.oneElement = true;
    const outcome = this.#runPage(this.#retired + 1);
    this.mmu.oneElement = false;
    if (outcome === OUTCOME.EXIT || outcome === OUTCOME.FAULT) {
      // Not executed: its watchpoints have not been hit, and after an exit it is entered again as it was.
      this.#debug.pending = held;
      if (outcome === OUTCOME.EXIT) {
        words[WORD.FLAG_CONTROL] = words[WORD.FLAG_CONTROL]! | (control & RF);
        this.#blocking.shadow = shadow;
      }
      return outcome;
    }
    // SYSCALL and SYSENTER take TF away before it would trap.
    const masked = this.mmu.privilege < privilege && (words[WORD.FLAG_CONTROL]! & TF) === 0;
    if ((control & TF) !== 0 && !masked && (this.#blocking.shadow as Blocking['shadow']) !== 'mov ss')
      this.#debug.pending |= DR6.SINGLE_STEP;
    return outcome;
  }

  #window(reason: ExitReason): number {
    this.exit.instructionLength = 0;
    return this.#event.leave(reason);
  }

  /** #DB for what is pending: DR6 says what it was. */
  #debugTrap(kind: EventKind): number {
    this.#debug.report(this.#debug.pending);
    this.#debug.pending = 0;
    this.exit.instructionLength = 0;
    return this.#event.raise(VECTOR.DB, undefined, kind);
  }

  /** Run from SLOT.RIP until the code leaves its page or something happens; SLOT.RIP is exact on return. */
  #runPage(limit: number): number {
    const { unsignedWords, words } = this.#state;
    // Hot: every entry comes here, so no bigint is made of an address on its way in and out of the state.
    const address = words[2 * SLOT.RIP + 1]! * TWO_TO_32 + unsignedWords[2 * SLOT.RIP]!;
    const host = this.mmu.fetch(address);
    if (host < 0) {
      this.exit.instructionLength = 0;
      return host;
    }
    let offset = host & 4095;
    const page = this.#pageAt(host - offset);
    const base = address - offset;
    unsignedWords[2 * SLOT.PAGE_BASE] = base;
    words[2 * SLOT.PAGE_BASE + 1] = Math.floor(base / TWO_TO_32);
    for (;;) {
      const block = page.blocks[offset] ?? this.#code.block(page, offset);
      if ('failure' in block) {
        this.#setRip(offset);
        return this.#runUncached(page, offset, block);
      }
      const { steps, offsets } = block;
      const count = Math.min(steps.length, limit - this.#retired);
      let index = 0;
      let outcome = 0;
      // The hot loop: one call an instruction. Measured: 80 million simple instructions a second on a 2.x GHz core.
      while (index < count) {
        outcome = steps[index++]!();
        if (outcome !== 0) break;
      }
      if (outcome < 0 && outcome !== OUTCOME.JUMP && outcome !== OUTCOME.STOP) {
        this.#retired += index - 1;
        return this.#stopped(offsets[index - 1]!, offsets[index]!, outcome);
      }
      this.#retired += index;
      if (outcome > 0) offset = outcome - 1;
      else if (outcome === OUTCOME.JUMP) return OUTCOME.JUMP;
      else {
        offset = offsets[index]!;
        if (offset >= 4096 || outcome === OUTCOME.STOP) {
          this.#setRip(offset);
          return OUTCOME.STOP;
        }
      }
      if (this.#retired >= limit) {
        this.#setRip(offset);
        return OUTCOME.STOP;
      }
    }
  }

  /** The code page at `host`; after an exit it is mostly the one before. */
  #pageAt(host: number): CodePage {
    if (this.#page === undefined || this.#page.host !== host) this.#page = this.#code.page(host);
    return this.#page;
  }

  #setRip(offset: number): void {
    const { quads, unsignedWords } = this.#state;
    const low = unsignedWords[2 * SLOT.PAGE_BASE]! + offset;
    if (low < TWO_TO_32) {
      unsignedWords[2 * SLOT.RIP] = low;
      unsignedWords[2 * SLOT.RIP + 1] = unsignedWords[2 * SLOT.PAGE_BASE + 1]!;
    } else quads[SLOT.RIP] = quads[SLOT.PAGE_BASE]! + BigInt(offset);
  }

  /** An instruction faulted or exited: rip is its own, and the exit knows its length. */
  #stopped(offset: number, next: number, outcome: number): number {
    this.#setRip(offset);
    this.exit.instructionLength = next - offset;
    return outcome;
  }

  /** An instruction that is in no block: it crosses a page, or is none. */
  #runUncached(page: CodePage, offset: number, why: Undecodable): number {
    if (why.failure !== 'truncated')
      return this.#undefined(why, this.#memory.bytes.subarray(page.host + offset, page.host + offset + why.length));
    const step = this.#crossing(page, offset);
    if (typeof step === 'number') return step;
    return this.#runSingle(step, offset);
  }

  /** Run one instruction at `offset` and leave SLOT.RIP exact. */
  #runSingle({ step, length }: { step: Step; length: number }, offset: number): number {
    const outcome = step();
    if (outcome < 0 && outcome !== OUTCOME.JUMP && outcome !== OUTCOME.STOP)
      return this.#stopped(offset, offset + length, outcome);
    this.#retired++;
    if (outcome > 0) this.#setRip(outcome - 1);
    else if (outcome !== OUTCOME.JUMP) this.#setRip(offset + length);
    return OUTCOME.STOP;
  }

  /** Decode an instruction that begins at `offset` and ends in the next page, whose frame may be anywhere. */
  #crossing(page: CodePage, offset: number): { step: Step; length: number } | number {
    const first = 4096 - offset;
    this.#single.set(
      this.#memory.bytes.subarray(page.host + offset, page.host + 4096).subarray(0, MAX_INSTRUCTION_BYTES),
    );
    const next = Number(this.#state.quads[SLOT.PAGE_BASE]!) + 4096;
    const host = this.mmu.fetch(next);
    if (host < 0) {
      this.exit.instructionLength = 0;
      return host;
    }
    this.#single.set(this.#memory.bytes.subarray(host, host + MAX_INSTRUCTION_BYTES - first), first);
    return this.#singleStep(offset);
  }

  /** The closure of the instruction in #single, or an outcome. */
  #singleStep(offset: number): { step: Step; length: number } | number {
    const instruction = decode(this.#single, 0, MAX_INSTRUCTION_BYTES, 'long');
    if ('failure' in instruction) return this.#undefined(instruction, this.#single.subarray(0, instruction.length));
    const step = this.#code.step(instruction, offset);
    if (typeof step !== 'function') return this.#undefined(step, this.#single.subarray(0, step.length));
    return { step, length: instruction.length };
  }

  #undefined(why: Undecodable, bytes: Uint8Array): number {
    this.exit.instructionLength = 0;
    if (why.failure === 'too-long' || why.failure === 'truncated') return this.#event.raise(VECTOR.GP, 0);
    if (why.failure !== 'undefined') {
      this.unsupported = { rip: this.rip, bytes: bytes.slice(), text: 'text' in why ? why.text : undefined };
    }
    return this.#event.raise(VECTOR.UD);
  }

  /** Complete the instruction at rip for the hypervisor: what leaves RAM is served by `port` instead of exiting. */
  emulate(port: EmulatorPort): Emulated {
    const address = Number(this.#state.quads[SLOT.RIP]!);
    const host = this.mmu.fetch(address);
    if (host < 0) return host === OUTCOME.FAULT ? this.#emulated(host) : 'undecodable';
    const offset = host & 4095;
    this.#state.quads[SLOT.PAGE_BASE] = BigInt(address - offset);
    const page = this.#code.page(host - offset);
    const block = this.#code.block(page, offset);
    let single: { step: Step; length: number } | number;
    if ('failure' in block) {
      if (block.failure !== 'truncated') return 'undecodable';
      single = this.#crossing(page, offset);
      if (typeof single === 'number') return single === OUTCOME.FAULT ? this.#emulated(single) : 'undecodable';
    } else {
      single = { step: block.steps[0]!, length: block.offsets[1]! - block.offsets[0]! };
    }
    this.mmu.emulator = port;
    this.mmu.oneElement = true;
    const outcome = this.#runSingle(single, offset);
    this.mmu.oneElement = false;
    this.mmu.emulator = null;
    if (outcome >= 0 || outcome === OUTCOME.JUMP || outcome === OUTCOME.STOP) this.#completed();
    return this.#emulated(outcome);
  }

  #emulated(outcome: number): Emulated {
    switch (outcome) {
      case OUTCOME.FAULT:
        return this.#deliver() === OUTCOME.EXIT ? 'undecodable' : 'exception';
      case OUTCOME.LATER:
        return 'userspace';
      case OUTCOME.EXIT:
        return 'undecodable';
      default:
        return 'retired';
    }
  }
}
