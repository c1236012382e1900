/**
 * A CPU for tests of kvm.ko: each entry runs the next step of a script, and a step tells why the guest left. It walks the
 * EPT tables in host memory by itself (SDM vol. 3C, 29.3) and keeps a translation until it is told to drop it.
 */

import type { Gpa } from '../../../src/address.ts';
import type { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import type { Emulated, EmulatorPort } from '../../../src/hardware/vcpu/emulator-port.ts';
import {
  EXIT_REASON,
  type ExitReason,
  INTERRUPTION,
  IO_QUALIFICATION,
  type VmExit,
} from '../../../src/hardware/vcpu/exit.ts';
import { ModificationLog } from '../../../src/hardware/vcpu/modification-log.ts';
import {
  type ControlRegister,
  type Cpu,
  type DescriptorTable,
  RIP,
  type SegmentName,
  type SegmentState,
} from '../../../src/linux/kvm/cpu.ts';

export type Step = (cpu: ScriptedCpu) => ExitReason;
export type Instruction = (port: EmulatorPort, cpu: ScriptedCpu) => Emulated;

const flat: SegmentState = {
  base: 0n,
  limit: 0xffffffff,
  selector: 0,
  type: 3,
  present: 1,
  dpl: 0,
  db: 0,
  s: 1,
  l: 1,
  g: 1,
  avl: 0,
  unusable: 0,
};

export class ScriptedCpu implements Cpu {
  readonly exit: VmExit = {
    reason: EXIT_REASON.HLT,
    qualification: 0,
    guestPhysical: 0 as Gpa,
    guestLinear: 0,
    instructionLength: 1,
    interruption: 0,
    idtVectoring: 0,
    idtVectoringError: 0,
  };
  /** What the next entries do; an empty script halts. */
  readonly script: Step[] = [];
  /** What `emulate` does. */
  instruction: Instruction = () => 'undecodable';
  retired = 0;
  tscOffset = 0;
  tscShift = 0n;
  msrIntercepts: ((index: number, write: boolean) => boolean) | undefined = undefined;
  exceptionBitmap = 0;
  rflags = 2n;
  efer = 0x500n;
  entries = 0;
  readonly injected: { readonly vector: number; readonly errorCode: number | undefined }[] = [];
  readonly msrs = new Map<number, bigint>([[0x10, 0n]]);
  readonly #memory: PhysicalMemory;
  readonly #registers = new BigUint64Array(RIP + 1);
  readonly halves = new Int32Array(this.#registers.buffer);
  readonly #segments = new Map<SegmentName, SegmentState>();
  readonly #tables = new Map<string, DescriptorTable>();
  readonly #debug = new Map<number, bigint>();
  readonly #controls = new Map<ControlRegister, bigint>();
  readonly #translations = new Map<number, { entry: bigint; dirty: boolean; bytes: number }>();
  #eptp = 0;
  #leafAt = 0;
  /** Bytes that the entry found by the last {@link leaf} spans. */
  leafBytes = 4096;
  readonly modificationLog: ModificationLog;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
    this.modificationLog = new ModificationLog(memory);
  }

  get rip(): bigint {
    return this.#registers[RIP]!;
  }
  set rip(value: bigint) {
    this.#registers[RIP] = value;
  }

  run(limit: number): ExitReason {
    this.entries++;
    const step = this.script.shift();
    if (step !== undefined) this.exit.reason = step(this);
    else {
      this.exit.reason = EXIT_REASON.HLT;
      this.exit.instructionLength = 1;
      this.retired += Math.min(1, limit);
    }
    return this.exit.reason;
  }

  debugRegister(number: number): bigint {
    return this.#debug.get(number) ?? 0n;
  }
  setDebugRegister(number: number, value: bigint): void {
    this.#debug.set(number, value);
  }
  borrowBreakpoints(): void {}

  setEptPointer(eptp: number): void {
    this.#eptp = eptp;
  }

  invalidateEpt(): void {
    this.#translations.clear();
  }

  release(): void {}

  get eptPointer(): number {
    return this.#eptp;
  }

  /** The leaf entry for `gpa`, 0 where a table is missing: from memory, whatever is cached. */
  leaf(gpa: number): bigint {
    let table = this.#eptp - (this.#eptp % 4096);
    for (const span of [2 ** 39, 2 ** 30, 2 ** 21, 2 ** 12]) {
      this.#leafAt = table + (Math.floor(gpa / span) % 512) * 8;
      this.leafBytes = span;
      const entry = this.#memory.view.getBigUint64(this.#leafAt, true);
      if (span === 2 ** 12 || (entry & 7n) === 0n || (entry & 0x80n) !== 0n) return entry;
      table = Number(entry & 0x000ffffffffff000n);
    }
    return 0n;
  }

  /** One data access as the hardware does it: `undefined` if it went through, else the exit. */
  access(gpa: number, write: boolean): ExitReason | undefined {
    const page = Math.floor(gpa / 4096);
    const entry = this.#translations.get(page)?.entry ?? this.leaf(gpa);
    const rights = Number(entry & 7n);
    this.exit.guestPhysical = gpa as Gpa;
    this.exit.guestLinear = gpa;
    if (rights === 6 || rights === 2 || rights === 4) {
      this.exit.qualification = 0;
      return EXIT_REASON.EPT_MISCONFIG;
    }
    if ((rights & (write ? 2 : 1)) === 0) {
      // The CPU drops what it knows of the address before it reports a violation (SDM 29.4.3.1).
      this.#translations.delete(page);
      this.exit.qualification = (write ? 2 : 1) | (rights << 3) | 0x180;
      return EXIT_REASON.EPT_VIOLATION;
    }
    const known = this.#translations.get(page);
    if (known === undefined || (write && !known.dirty)) {
      const now = this.leaf(gpa);
      const dirty = this.#setDirty(gpa, now, write);
      if (dirty === undefined) return EXIT_REASON.PML_FULL;
      this.#translations.set(page, { entry, dirty, bytes: this.leafBytes });
    }
    return undefined;
  }

  /** Accessed and dirty bits, where the EPTP enables them; `undefined` when the modification log is full. */
  #setDirty(gpa: number, entry: bigint, write: boolean): boolean | undefined {
    if ((this.#eptp & 0x40) === 0) return true;
    if (write && (entry & 0x200n) === 0n && !this.modificationLog.record(gpa)) return undefined;
    this.#memory.view.setBigUint64(this.#leafAt, entry | 0x100n | (write ? 0x200n : 0n), true);
    return write;
  }

  /** Host physical address that the last successful access to `gpa` used. */
  translated(gpa: number): number {
    const known = this.#translations.get(Math.floor(gpa / 4096));
    return known === undefined ? 0 : Number(known.entry & 0x000ffffffffff000n) + (gpa % known.bytes);
  }

  /** What the CPU has cached of `gpa`: the host page and the rights it would use without asking the tables. */
  cached(gpa: number): { readonly host: number; readonly rights: number } | undefined {
    const known = this.#translations.get(Math.floor(gpa / 4096));
    return known && { host: this.translated(gpa), rights: Number(known.entry & 7n) };
  }

  /** The same from the tables in memory. */
  walked(gpa: number): { readonly host: number; readonly rights: number } {
    const entry = this.leaf(gpa);
    const host = Number(entry & 0x000ffffffffff000n) + (gpa % this.leafBytes);
    return { host, rights: Number(entry & 7n) };
  }

  register(index: number): bigint {
    return this.#registers[index]!;
  }

  setRegister(index: number, value: bigint): void {
    this.#registers[index] = value;
  }

  segment(name: SegmentName): SegmentState {
    return this.#segments.get(name) ?? flat;
  }

  setSegment(name: SegmentName, segment: SegmentState): void {
    this.#segments.set(name, segment);
  }

  descriptorTable(name: 'gdt' | 'idt'): DescriptorTable {
    return this.#tables.get(name) ?? { base: 0n, limit: 0 };
  }

  setDescriptorTable(name: 'gdt' | 'idt', table: DescriptorTable): void {
    this.#tables.set(name, table);
  }

  control(register: ControlRegister): bigint {
    return this.#controls.get(register) ?? 0n;
  }

  get eflags(): number {
    return Number(this.rflags);
  }
  set eflags(value: number) {
    this.rflags = BigInt(value);
  }
  get interruptFlag(): boolean {
    return (this.rflags & 0x200n) !== 0n;
  }
  get taskPriority(): number {
    return Number(this.control(8));
  }

  setControl(register: ControlRegister, value: bigint): void {
    this.#controls.set(register, value);
  }

  readMsr(index: number): bigint | undefined {
    return this.msrs.get(index);
  }

  writeMsr(index: number, value: bigint): boolean {
    if (!this.msrs.has(index)) return false;
    this.msrs.set(index, value);
    return true;
  }

  skipInstruction(): void {
    this.rip += BigInt(this.exit.instructionLength);
  }

  emulate(port: EmulatorPort): Emulated {
    return this.instruction(port, this);
  }

  readAccumulator(size: 1 | 2 | 4): number {
    return Number(BigInt.asUintN(8 * size, this.#registers[0]!));
  }

  writeAccumulator(size: 1 | 2 | 4, value: number): void {
    const kept = size === 4 ? 0n : this.#registers[0]! & ~((1n << BigInt(8 * size)) - 1n);
    this.#registers[0] = kept | BigInt(value);
  }

  interruptible = true;
  nmiReady = true;
  interruptWindow = false;
  nmiWindow = false;
  tprThreshold = 0;
  readonly interrupts: number[] = [];

  interruptibility = 0;
  lastException: Cpu['lastException'];

  inject(information: number, errorCode: number): void {
    const vector = information & INTERRUPTION.VECTOR_MASK;
    const hasCode = (information & INTERRUPTION.HAS_ERROR_CODE) !== 0;
    if ((information & INTERRUPTION.TYPE_MASK) !== INTERRUPTION.HARDWARE_EXCEPTION) this.interrupts.push(vector);
    else this.injected.push({ vector, errorCode: hasCode ? errorCode : undefined });
  }
}

/** `in` or `out` with the port in DX; string and repeated forms go through the emulator. */
export const portAccess =
  (size: 1 | 2 | 4, input: boolean, port: number, string = false, repeat = false): Step =>
  (cpu) => {
    cpu.retired++;
    cpu.exit.qualification =
      (size - 1) |
      (input ? IO_QUALIFICATION.IN : 0) |
      (string ? IO_QUALIFICATION.STRING : 0) |
      (repeat ? IO_QUALIFICATION.REPEATED : 0) |
      (port << IO_QUALIFICATION.PORT_SHIFT);
    cpu.exit.qualification >>>= 0;
    cpu.exit.instructionLength = repeat ? 2 : 1;
    return EXIT_REASON.IO_INSTRUCTION;
  };

/** A memory access of `length` bytes within a page; `instruction` is what the emulator makes of it. */
export const memoryAccess =
  (gpa: number, write: boolean, instruction: Instruction): Step =>
  (cpu) => {
    cpu.exit.instructionLength = 3;
    cpu.instruction = instruction;
    return cpu.access(gpa, write) ?? EXIT_REASON.PREEMPTION_TIMER;
  };

/** `mov [gpa], bytes`: retires, whoever has to see it. */
export const store =
  (gpa: number, bytes: readonly number[]): Instruction =>
  (port, cpu) => {
    const served = port.writeMemory(gpa, gpa as Gpa, Uint8Array.from(bytes));
    cpu.skipInstruction();
    return served === 'done' ? 'retired' : 'userspace';
  };

/** `mov rax, [gpa]` of `length` bytes, in pieces that do not cross a page. */
export const load =
  (gpa: number, length: number): Instruction =>
  (port, cpu) => {
    const data = new Uint8Array(8);
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, 4096 - ((gpa + done) % 4096));
      const at = (gpa + done) as Gpa;
      if (port.readMemory(at, at, data.subarray(done, done + piece)) === 'later') return 'userspace';
      done += piece;
    }
    cpu.setRegister(0, new DataView(data.buffer).getBigUint64(0, true));
    cpu.skipInstruction();
    return 'retired';
  };
