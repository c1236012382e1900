/**
 * One vCPU of a VM, as kvm.ko keeps it: the modeled CPU, the pages shared with user space, and what is left half-done
 * between two KVM_RUNs (struct kvm_vcpu, include/linux/kvm_host.h).
 */

import { type Gpa, type Hpa, pageNumber } from '../../address.ts';
import { INTERRUPTION } from '../../hardware/vcpu/exit.ts';
import { LOG_ENTRIES } from '../../hardware/vcpu/modification-log.ts';
import { VECTOR } from '../../hardware/vcpu/pending-event.ts';
import type { Kernel } from '../core/kernel.ts';
import { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, type kvm_cpuid_entry2 } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { ApicEvents } from './apic-events.ts';
import { APIC_BASE_BOOT_CPU, APIC_BASE_DEFAULT, APIC_BASE_ENABLE } from './apic-registers.ts';
import { type Cpu, RIP } from './cpu.ts';
import { DirtyRing } from './dirty-ring.ts';
import { reservedEntries } from './dirty-ring-ioctl.ts';
import { Emulation } from './emulation.ts';
import { initialFpu } from './fpu-state.ts';
import { HaltPolling } from './halt-polling.ts';
import { type InjectedEvent, interruptEvent, isDoubleFault, isException, isInterrupt } from './injected-event.ts';
import type { Irqchip } from './irqchip.ts';
import { Lapic } from './lapic.ts';
import { MmioCache, type PageFault } from './mmu.ts';
import { isPassedThrough } from './msr-table.ts';
import type { QuickEntry } from './quick-entry.ts';
import { resetCpu } from './reset.ts';
import { RunPage } from './run-page.ts';
import { VcpuStats } from './vcpu-stats.ts';
import type { Vm, VmVcpu } from './vm.ts';

export type CpuidEntry = StructOf<typeof kvm_cpuid_entry2>;

/** complete_userspace_io: finishes at the next KVM_RUN what user space was asked for. Result as an exit handler's. */
export type Completion = (vcpu: KvmVcpu) => number;

/** The page frames of one vCPU. */
export interface VcpuFrames {
  readonly state: Hpa;
  readonly run: Hpa;
  readonly pio: Hpa;
  /** The CPU's page-modification log, where it keeps one. */
  readonly modifications: Hpa | undefined;
  /** The pages of its dirty ring, where the VM has such rings. */
  readonly ring: readonly Hpa[];
}

const NO_EXCEPTION = -1;

export class KvmVcpu implements VmVcpu {
  readonly vm: Vm;
  readonly kernel: Kernel;
  readonly id: number;
  readonly cpu: Cpu;
  readonly run: RunPage;
  readonly emulation: Emulation;
  readonly mmioCache = new MmioCache();
  readonly fault: PageFault;
  /** MSRs that KVM keeps, as far as they have been written. */
  readonly msrs = new Map<number, bigint>();
  /** MSR_IA32_TSC_ADJUST: by how much the guest has moved its counter. */
  tscAdjust = 0n;
  fpu = initialFpu();
  readonly stats = new VcpuStats();
  readonly halts: HaltPolling;
  /** Exits that are served without leaving the guest's code; given when the vCPU is made. */
  quick!: QuickEntry;
  readonly dirtyRing: DirtyRing | undefined;
  /** KVM_SET_SIGNAL_MASK: signals that do not end KVM_RUN, a bit each from signal 1 on; `undefined`: the process's own mask. */
  signalMask: bigint | undefined;
  /** KVM_GUESTDBG_* in force, and where the guest stood when they were set. */
  guestDebug = 0;
  singleStepRip = 0n;
  /** The vCPU's local APIC, if the VM has its interrupt controllers in the kernel. */
  readonly lapic: Lapic | undefined;
  #eventRequested = false;
  /** NMIs that nobody has looked at yet (nmi_queued), and those that wait for their turn (nmi_pending). */
  nmisArrived = 0;
  nmisPending = 0;
  /** pv_unhalted: another processor has ended a halt of this one. */
  unhalted = false;
  /** KVM_INTERRUPT: the vector to inject; -1 for none. */
  interrupt = -1;
  readonly apicEvents = new ApicEvents();
  #apicBase = 0n;
  /** Both halves of {@link apicBase}, signed, for every exit: small integers for the engine. */
  apicBaseLow = 0;
  apicBaseHigh = 0;
  cpuid: readonly CpuidEntry[] = [];
  mpState: number;
  /** What the next KVM_RUN has to complete first. */
  completion: Completion | undefined;
  /** The port access that user space is serving (vcpu->arch.pio, fast path). */
  pioSize: 1 | 2 | 4 = 1;
  pioPort = 0;
  #pioRipLow = 0;
  #pioRipHigh = 0;
  /** CR8 as user space last saw it; KVM_RUN takes kvm_run.cr8 over only when it differs. */
  cr8 = 0;
  /** EPTP in force; 0 until the first entry, and when its tables are gone. */
  eptPointer = 0;
  /** What the CPU was given to deliver, or hands back undelivered; `undefined` once it is delivered. */
  injected: InjectedEvent | undefined;
  #exception = NO_EXCEPTION;
  #exceptionCode: number | undefined;
  /** Qualification of the last EPT violation. */
  violation = 0;
  /** KVM_REQ_TRIPLE_FAULT. */
  tripleFault = false;
  readonly #frames: VcpuFrames;

  /** `frames` are zeroed pages that belong to the vCPU from here on. */
  constructor(vm: Vm, id: number, frames: VcpuFrames) {
    const { memory, stream } = vm.kernel;
    this.vm = vm;
    this.kernel = vm.kernel;
    this.id = id;
    this.halts = new HaltPolling(stream, id, this.stats, () => vm.haltPollLimit);
    this.#frames = frames;
    this.cpu = vm.makeCpu(memory, frames.state, stream);
    this.dirtyRing =
      frames.ring.length > 0 ? new DirtyRing(vm.kernel, id, frames.ring, reservedEntries(vm)) : undefined;
    this.run = new RunPage(memory, frames.run, frames.pio);
    this.fault = { vcpu: id, stats: this.stats, gpa: 0 as Gpa, errorCode: 0 };
    this.logModifications(vm.logsModifications);
    this.lapic = vm.irqchip === undefined ? undefined : this.#makeLapic(vm.irqchip);
    const { isBoot: boot } = this;
    this.apicBase = BigInt(APIC_BASE_DEFAULT) | APIC_BASE_ENABLE | (boot ? APIC_BASE_BOOT_CPU : 0n);
    resetCpu(this.cpu, false);
    this.mpState = boot || this.lapic === undefined ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
    this.interceptMsrs();
    this.emulation = new Emulation(vm, this.cpu, this.run, this.mmioCache, this.lapic);
  }

  /**
   * kvm_multiple_exception: delivered at the next entry. One on top of another that was not delivered yet takes its place, or the two are a
   * double fault, and one on top of that {@link tripleFault}.
   */
  queueException(vector: number, errorCode?: number): void {
    const { injected } = this;
    const before =
      this.exception?.vector ?? (injected !== undefined && isException(injected) ? injected.vector : undefined);
    this.eventRequested = true;
    if (before === VECTOR.DF) {
      this.tripleFault = true;
      return;
    }
    if (before !== undefined) this.clearExceptions();
    const double = before !== undefined && isDoubleFault(before, vector);
    this.#exception = double ? VECTOR.DF : vector;
    this.#exceptionCode = double ? 0 : errorCode;
  }

  get exceptionPending(): boolean {
    return this.#exception !== NO_EXCEPTION;
  }

  /** kvm_clear_exception_queue: the instruction is carried out anew, which raises its exception again if it still has one. */
  clearExceptions(): void {
    this.clearException();
    if (this.injected !== undefined && isException(this.injected)) this.injected = undefined;
  }

  /** KVM_SET_REGS drops what was pending. */
  clearException(): void {
    this.#exception = NO_EXCEPTION;
  }

  /** The pending exception, if there is one. */
  get exception(): { readonly vector: number; readonly errorCode: number | undefined } | undefined {
    return this.#exception === NO_EXCEPTION ? undefined : { vector: this.#exception, errorCode: this.#exceptionCode };
  }

  /** The pending exception's vector and error code, which is pending no longer; `undefined` if there is none. */
  takeException(): { readonly vector: number; readonly errorCode: number | undefined } | undefined {
    const taken = this.exception;
    this.#exception = NO_EXCEPTION;
    return taken;
  }

  /** kvm_vcpu_is_bsp, kvm_vcpu_is_reset_bsp. */
  get isBoot(): boolean {
    return this.id === this.vm.bootCpuId;
  }

  /** MSR_IA32_APICBASE. */
  get apicBase(): bigint {
    return this.#apicBase;
  }
  set apicBase(value: bigint) {
    this.#apicBase = value;
    this.apicBaseLow = Number(BigInt.asIntN(32, value));
    this.apicBaseHigh = Number(BigInt.asIntN(32, value >> 32n));
    if (this.lapic !== undefined) this.lapic.base = value;
  }

  /** User space is to serve the port access at RIP. */
  leaveForPort(): void {
    const { halves } = this.cpu;
    this.#pioRipLow = halves[2 * RIP]!;
    this.#pioRipHigh = halves[2 * RIP + 1]!;
  }

  /** RIP is still that access's; if user space has moved it away, the access is void. */
  get atPortAccess(): boolean {
    const { halves } = this.cpu;
    return halves[2 * RIP] === this.#pioRipLow && halves[2 * RIP + 1] === this.#pioRipHigh;
  }

  /** KVM_REQ_EVENT: before the next entry, look at what is to be injected. */
  get eventRequested(): boolean {
    return this.#eventRequested;
  }
  set eventRequested(requested: boolean) {
    this.#eventRequested = requested;
    this.kernel.attention.call();
  }

  requestEvent(): void {
    this.eventRequested = true;
  }

  /** kvm_queue_interrupt: user space has an interrupt for the guest; with a local APIC in the kernel it is one that was on its way already. */
  queueInterrupt(vector: number): void {
    if (this.lapic === undefined) this.interrupt = vector;
    else if (this.injected === undefined || isInterrupt(this.injected)) this.injected = interruptEvent(vector);
    this.eventRequested = true;
  }

  /** The interrupt that user space has queued, or that is on its way; -1 for none. One of an instruction's own does not count. */
  get queuedInterrupt(): number {
    return this.injected?.type === INTERRUPTION.EXTERNAL ? this.injected.vector : this.interrupt;
  }

  /** kvm_inject_nmi. */
  queueNmi(): void {
    this.nmisArrived++;
    this.eventRequested = true;
  }

  /** sync_lapic_to_cr8. */
  syncTaskPriority(lapic: Lapic): void {
    const priority = this.cpu.taskPriority;
    if (priority === lapic.taskPriorityClass) return;
    lapic.taskPriorityClass = priority;
    this.eventRequested = true;
  }

  #makeLapic(irqchip: Irqchip): Lapic {
    const { clock, stream } = this.kernel;
    return new Lapic({
      id: this.id,
      isBoot: this.isBoot,
      stream,
      clock,
      send: (message) => irqchip.send(message, this.lapic),
      served: (vector, levelTriggered) => irqchip.ioapic.served(vector, levelTriggered),
      request: () => this.requestEvent(),
      unhalt: () => {
        this.unhalted = true;
        this.requestEvent();
      },
      nmi: () => this.queueNmi(),
      init: () => {
        this.apicEvents.initArrived();
        this.requestEvent();
      },
      startup: (vector) => {
        this.apicEvents.startupArrived(vector);
        this.requestEvent();
      },
    });
  }

  /** vmx_msr_filter_changed: what the VM's filter refuses must not pass in the CPU either, whose other MSRs KVM sees anyway. */
  interceptMsrs(): void {
    const { msrFilter } = this.vm;
    this.cpu.msrIntercepts = (index, write) =>
      !isPassedThrough(index, write) || msrFilter?.allows(index, write) === false;
  }

  /** kvm_set_cr8. */
  setCr8(value: number): void {
    this.cr8 = value;
    if (this.lapic !== undefined) this.lapic.taskPriorityClass = value;
    this.cpu.setControl(8, BigInt(value));
  }

  /** vmx_update_cpu_dirty_logging. */
  logModifications(on: boolean): void {
    const { modifications } = this.#frames;
    if (modifications === undefined) return;
    if (!on) this.flushModificationLog();
    this.cpu.modificationLog.page = on ? modifications : undefined;
  }

  /** vmx_flush_pml_buffer: the CPU fills the log from its end. */
  flushModificationLog(): void {
    const log = this.cpu.modificationLog;
    if (log.page === undefined) return;
    const { memory } = this.kernel;
    for (let index = log.index + 1; index < LOG_ENTRIES; index++) {
      const gfn = pageNumber(Number(memory.readEntry((log.page + index * 8) as Hpa)));
      const slot = this.vm.memslots.find(gfn);
      if (slot !== undefined) this.vm.logDirty(slot, gfn, this);
    }
    log.index = LOG_ENTRIES - 1;
  }

  destroy(): void {
    this.lapic?.destroy();
    this.cpu.release();
    const { pages } = this.vm.kernel;
    pages.free(this.#frames.state);
    pages.free(this.#frames.run);
    pages.free(this.#frames.pio);
    if (this.#frames.modifications !== undefined) pages.free(this.#frames.modifications);
    for (const frame of this.#frames.ring) pages.free(frame);
  }
}
