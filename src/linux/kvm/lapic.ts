/**
 * The local APIC of one vCPU, in xAPIC mode: registers, priorities, end of interrupt, inter-processor interrupts, timer
 * (SDM vol. 3A ch. 11; arch/x86/kvm/lapic.c). The 4 KiB page at 0xfee00000 is its MMIO window.
 */

import { type Gpa, pageStart } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { Clock } from '../core/clock.ts';
import { EOPNOTSUPP } from '../uapi/errno.ts';
import { type ApicMessage, type ApicTarget, DELIVERY, messageOfCommand, SHORTHAND } from './apic-message.ts';
import { ApicPage } from './apic-page.ts';
import {
  APIC,
  APIC_BASE_ENABLE,
  APIC_VERSION,
  FLAT_MODEL,
  inNmiMode,
  LVT_DELIVERY_MODE,
  LVT_LEVEL,
  LVT_MASKED,
  LVT_MODE_EXTINT,
  LVT_TIMER_PERIODIC,
  LVT_WRITABLE,
  registerExists,
  SOFTWARE_ENABLE,
  STRIDE,
} from './apic-registers.ts';
import { LapicTimer } from './lapic-timer.ts';
import { kvmApic, kvmApicAcceptIrq, kvmApicIpi, kvmEoi } from './trace-irq.ts';

/** What the APIC needs of its surroundings. */
export interface LapicHost {
  readonly id: number;
  /** Of the boot processor. */
  readonly isBoot: boolean;
  readonly stream: EventStream;
  readonly clock: Clock;
  /** Send a message to the VM's local APICs. */
  send(message: ApicMessage): void;
  /** The interrupt `vector` has been served. */
  served(vector: number, levelTriggered: boolean): void;
  /** KVM_REQ_EVENT: look for interrupts before the next entry, and wake a halted vCPU. */
  request(): void;
  /** KVM's use of remote read: a halt, or the next one, is over. */
  unhalt(): void;
  nmi(): void;
  init(): void;
  startup(vector: number): void;
}

export class Lapic implements ApicTarget {
  readonly #host: LapicHost;
  readonly #timer: LapicTimer;
  readonly #page = new ApicPage();
  /** Whether MSR_IA32_APICBASE has switched it on, and where to: of a bigint each access would make others. */
  hardwareEnabled = false;
  #address = 0;
  #lint0Nmi = false;

  constructor(host: LapicHost) {
    this.#host = host;
    this.#timer = new LapicTimer(host.clock, () => this.#deliverTimer());
    this.reset(false);
  }

  /** kvm_lapic_reset; INIT leaves the APIC its number. */
  reset(init: boolean): void {
    const id = init ? this.#page.get(APIC.ID) : this.#host.id << 24;
    this.#page.clearAll();
    this.#timer.stop();
    this.#page.set(APIC.ID, id);
    this.#page.set(APIC.VERSION, APIC_VERSION);
    for (const entry of Object.keys(LVT_WRITABLE)) this.#page.set(Number(entry), LVT_MASKED);
    // KVM_X86_QUIRK_LINT0_REENABLED: the boot processor listens to the PIC without a BIOS telling it to.
    if (this.#host.isBoot) this.#page.set(APIC.LVT0, LVT_MODE_EXTINT);
    this.#lint0Nmi = false;
    this.#page.set(APIC.DESTINATION_FORMAT, 0xffffffff);
    this.#page.set(APIC.SPURIOUS, 0xff);
    this.#configureTimer();
  }

  /** The APIC's number. */
  get id(): number {
    return this.#page.get(APIC.ID) >>> 24;
  }

  /** MSR_IA32_APICBASE as last set. */
  set base(value: bigint) {
    const before = this.hardwareEnabled;
    this.hardwareEnabled = (value & APIC_BASE_ENABLE) !== 0n;
    this.#address = Number(value & 0xf_ffff_f000n);
    // Switched on it has its number again, whatever the guest made of that (kvm_lapic_set_base).
    if (this.hardwareEnabled && !before) this.#page.set(APIC.ID, this.#host.id << 24);
    this.#deliverTimer();
  }

  get softwareEnabled(): boolean {
    return (this.#page.get(APIC.SPURIOUS) & SOFTWARE_ENABLE) !== 0;
  }

  /** Processor priority: what is being served, or the task priority, whichever is more urgent (apic_update_ppr). */
  get priority(): number {
    const task = this.#page.get(APIC.TASK_PRIORITY);
    const serving = this.#page.highest(APIC.ISR) & 0xf0;
    return (task & 0xf0) >= serving ? task & 0xff : serving;
  }

  /** CR8: the upper half of the task priority. */
  get taskPriorityClass(): number {
    return (this.#page.get(APIC.TASK_PRIORITY) & 0xf0) >> 4;
  }
  set taskPriorityClass(value: number) {
    this.#page.set(APIC.TASK_PRIORITY, (value & 0xf) << 4);
  }

  /** kvm_apic_accept_pic_intr: does the PIC's output reach this processor? */
  get listensToPic(): boolean {
    if (!this.hardwareEnabled) return true;
    const entry = this.#page.get(APIC.LVT0);
    return (entry & LVT_MASKED) === 0 && (entry & LVT_DELIVERY_MODE) === LVT_MODE_EXTINT;
  }

  /** Bit 0: it has a logical address in the flat model; bit 1: in the cluster model (kvm_recalculate_apic_map). */
  get logicalModels(): number {
    if (this.#page.get(APIC.LOGICAL_DESTINATION) === 0) return 0;
    return this.#page.get(APIC.DESTINATION_FORMAT) >>> 28 === FLAT_MODEL ? 1 : 2;
  }

  /** apic_lvt_nmi_mode of what was last written to LVT0. */
  get takesNmiOfLint0(): boolean {
    return this.#lint0Nmi;
  }

  /** kvm_apic_nmi_wd_deliver. */
  deliverLint0(): void {
    this.#deliverLocally(this.#page.get(APIC.LVT0));
  }

  /** kvm_apic_has_interrupt: the vector to deliver now, -1 if none. What was requested is delivered by an APIC switched off since, too. */
  pending(): number {
    if (!this.hardwareEnabled) return -1;
    const vector = this.#page.highest(APIC.IRR);
    return (vector & 0xf0) > this.priority ? vector : -1;
  }

  /** kvm_lapic_find_highest_irr: the most urgent requested vector, deliverable or not; -1 if none (TPR threshold). */
  requested(): number {
    return this.#page.highest(APIC.IRR) || -1;
  }

  /** kvm_get_apic_interrupt: `vector` is on its way to the guest. */
  acknowledge(vector: number): void {
    this.#page.clear(APIC.IRR, vector);
    this.#page.mark(APIC.ISR, vector);
  }

  /** kvm_apic_match_dest. */
  matches({ destination, logical, shorthand }: ApicMessage, source: ApicTarget | undefined): boolean {
    if (shorthand === SHORTHAND.SELF) return this === source;
    if (shorthand === SHORTHAND.ALL) return true;
    if (shorthand === SHORTHAND.ALL_BUT_SELF) return this !== source;
    if (destination === 0xff) return true;
    if (!logical) return destination === this.id;
    const own = this.#page.get(APIC.LOGICAL_DESTINATION) >>> 24;
    if (this.#page.get(APIC.DESTINATION_FORMAT) >>> 28 === FLAT_MODEL) return (own & destination) !== 0;
    return own >> 4 === destination >> 4 && (own & destination & 0xf) !== 0;
  }

  /** __apic_accept_irq: 1 if the message was taken, else 0. */
  accept(message: ApicMessage): number {
    const { deliveryMode, levelTriggered, vector } = message;
    const { id, stream } = this.#host;
    if (kvmApicAcceptIrq.on) kvmApicAcceptIrq(stream, { apicid: id, deliveryMode, level: levelTriggered, vector });
    switch (deliveryMode) {
      case DELIVERY.FIXED:
      case DELIVERY.LOWEST:
        if ((levelTriggered && !message.assert) || !this.softwareEnabled) return 0;
        if (levelTriggered) this.#page.mark(APIC.TMR, vector);
        else this.#page.clear(APIC.TMR, vector);
        this.#page.mark(APIC.IRR, vector);
        this.#host.request();
        return 1;
      case DELIVERY.REMOTE_READ:
        this.#host.unhalt();
        return 1;
      case DELIVERY.NMI:
        this.#host.nmi();
        return 1;
      case DELIVERY.INIT:
        if (levelTriggered && !message.assert) return 0;
        this.#host.init();
        return 1;
      case DELIVERY.STARTUP:
        this.#host.startup(vector);
        return 1;
      default:
        return 0;
    }
  }

  /** apic_mmio_read: 0, or -EOPNOTSUPP for an address that is not the APIC's. What is no register, and what passes one's end, leaves 0. */
  readMemory(gpa: Gpa, data: Uint8Array): number {
    if (!this.#holds(gpa)) return -EOPNOTSUPP;
    if (!this.hardwareEnabled) {
      // KVM_X86_QUIRK_LAPIC_MMIO_HOLE
      data.fill(0xff);
      return 0;
    }
    data.fill(0);
    const offset = gpa - this.#address;
    const within = offset % STRIDE;
    if (within + data.length > 4 || !registerExists(offset - within)) return 0;
    const value = this.#read(offset - within);
    for (let i = 0; i < data.length; i++) data[i] = value >>> (8 * (within + i));
    if (kvmApic.on) kvmApic(this.#host.stream, { write: false, register: offset, value: BigInt(value >>> 0) });
    return 0;
  }

  /** apic_mmio_write: only aligned 32-bit writes do anything. */
  writeMemory(gpa: Gpa, data: Uint8Array): number {
    if (!this.#holds(gpa)) return -EOPNOTSUPP;
    const offset = gpa - this.#address;
    if (!this.hardwareEnabled || data.length !== 4 || offset % STRIDE !== 0) return 0;
    const value = data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24);
    if (kvmApic.on) kvmApic(this.#host.stream, { write: true, register: offset, value: BigInt(value >>> 0) });
    this.#write(offset, value);
    return 0;
  }

  /** KVM_GET_LAPIC. */
  state(): Uint8Array {
    this.#page.set(APIC.TIMER_CURRENT, this.#timer.left);
    this.#page.set(APIC.PROCESSOR_PRIORITY, this.priority);
    return this.#page.bytes.slice();
  }

  /** KVM_SET_LAPIC. */
  setState(state: Uint8Array): void {
    this.#page.bytes.set(state);
    this.#page.set(APIC.VERSION, APIC_VERSION);
    this.#lint0Nmi = inNmiMode(this.#page.get(APIC.LVT0));
    this.#timer.stop();
    this.#configureTimer();
    this.#timer.start(this.#page.get(APIC.TIMER_INITIAL) >>> 0, this.#page.get(APIC.TIMER_CURRENT) >>> 0);
    this.#page.set(APIC.TIMER_CURRENT, 0);
    this.#host.request();
  }

  /** The vCPU is gone. */
  destroy(): void {
    this.#timer.stop();
  }

  #holds(gpa: Gpa): boolean {
    return pageStart(gpa) === this.#address;
  }

  #read(register: number): number {
    if (register === APIC.TIMER_CURRENT) return this.#timer.left;
    if (register === APIC.PROCESSOR_PRIORITY) return this.priority;
    return this.#page.get(register);
  }

  /** kvm_lapic_reg_write. */
  #write(register: number, value: number): void {
    switch (register) {
      case APIC.ID:
        this.#page.set(APIC.ID, value & 0xff000000);
        return;
      case APIC.TASK_PRIORITY:
        this.#page.set(APIC.TASK_PRIORITY, value & 0xff);
        this.#host.request();
        return;
      case APIC.EOI:
        this.#endOfInterrupt();
        return;
      case APIC.LOGICAL_DESTINATION:
        this.#page.set(register, value & 0xff000000);
        return;
      case APIC.DESTINATION_FORMAT:
        this.#page.set(register, value | 0x0fffffff);
        return;
      case APIC.SPURIOUS:
        this.#page.set(register, value & 0x3ff);
        if ((value & SOFTWARE_ENABLE) === 0) {
          for (const entry of Object.keys(LVT_WRITABLE))
            this.#page.set(Number(entry), this.#page.get(Number(entry)) | LVT_MASKED);
          this.#timer.forget();
        }
        this.#host.request();
        return;
      case APIC.ERROR:
        this.#page.set(register, 0);
        return;
      case APIC.COMMAND:
        // The delivery-status bit reads as idle: a message is delivered at once.
        this.#page.set(register, value & ~(1 << 12));
        this.#sendInterrupt();
        return;
      case APIC.COMMAND_HIGH:
        this.#page.set(register, value & 0xff000000);
        return;
      case APIC.TIMER_INITIAL:
        this.#page.set(register, value);
        this.#timer.start(value >>> 0);
        return;
      case APIC.TIMER_DIVIDE:
        this.#page.set(register, value & 0xb);
        this.#configureTimer();
        return;
      default:
        if (LVT_WRITABLE[register] !== undefined) this.#writeVector(register, value);
    }
  }

  #writeVector(register: number, value: number): void {
    this.#page.set(register, (this.softwareEnabled ? value : value | LVT_MASKED) & LVT_WRITABLE[register]!);
    if (register === APIC.LVT0) {
      this.#lint0Nmi = inNmiMode(value);
      this.#host.request();
    }
    if (register === APIC.LVT_TIMER) {
      this.#configureTimer();
      this.#deliverTimer();
    }
  }

  #configureTimer(): void {
    // Bits 3, 1 and 0 count 2, 4 … 128, and 111b is 1 (SDM fig. 11-10).
    const bits = this.#page.get(APIC.TIMER_DIVIDE);
    const code = (bits & 3) | ((bits & 8) >> 1);
    this.#timer.divide = 1 << ((code + 1) & 7);
    this.#timer.periodic = (this.#page.get(APIC.LVT_TIMER) & LVT_TIMER_PERIODIC) !== 0;
  }

  /** kvm_inject_apic_timer_irqs, if apic_has_pending_timer: an interrupt of the timer that was masked when it came is not lost. */
  #deliverTimer(): void {
    const entry = this.#page.get(APIC.LVT_TIMER);
    if (!this.#timer.pending || !this.hardwareEnabled || !this.softwareEnabled || entry & LVT_MASKED) return;
    this.#deliverLocally(entry);
    this.#timer.delivered();
  }

  /** kvm_apic_local_deliver: an entry of the local vector table has something to tell. */
  #deliverLocally(entry: number): void {
    if (!this.hardwareEnabled || entry & LVT_MASKED) return;
    this.accept({
      vector: entry & 0xff,
      deliveryMode: (entry & LVT_DELIVERY_MODE) >> 8,
      logical: false,
      destination: 0,
      levelTriggered: (entry & LVT_LEVEL) !== 0,
      assert: true,
      shorthand: SHORTHAND.SELF,
    });
  }

  /** apic_set_eoi. */
  #endOfInterrupt(): void {
    const vector = this.#page.highest(APIC.ISR) || -1;
    if (kvmEoi.on) kvmEoi(this.#host.stream, { apicid: this.#host.id, vector });
    if (vector < 0) return;
    this.#page.clear(APIC.ISR, vector);
    this.#host.served(vector, this.#page.has(APIC.TMR, vector));
    this.#host.request();
  }

  /** kvm_apic_send_ipi. */
  #sendInterrupt(): void {
    const command = this.#page.get(APIC.COMMAND);
    const destination = this.#page.get(APIC.COMMAND_HIGH) >>> 24;
    if (kvmApicIpi.on) kvmApicIpi(this.#host.stream, { command: command >>> 0, destination });
    this.#host.send(messageOfCommand(command, destination));
  }
}
