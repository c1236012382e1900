/**
 * What kvm.ko needs of a CPU with VMX: enter the guest, read why it left, reach the guest's registers. The CPU of the
 * model (hardware/vcpu) has this shape; tests script one.
 */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import type { Emulated, EmulatorPort } from '../../hardware/vcpu/emulator-port.ts';
import type { ExitReason, VmExit } from '../../hardware/vcpu/exit.ts';
import type { ModificationLog } from '../../hardware/vcpu/modification-log.ts';
import type { QuickExits } from '../../hardware/vcpu/quick-exits.ts';

export type SegmentName = 'cs' | 'ds' | 'es' | 'fs' | 'gs' | 'ss' | 'tr' | 'ldt';
/** A segment register with its hidden part, as `struct kvm_segment` has it. */
export interface SegmentState {
  readonly base: bigint;
  readonly limit: number;
  readonly selector: number;
  readonly type: number;
  readonly present: number;
  readonly dpl: number;
  readonly db: number;
  readonly s: number;
  readonly l: number;
  readonly g: number;
  readonly avl: number;
  readonly unusable: number;
}
export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}
export type ControlRegister = 0 | 2 | 3 | 4 | 8;

export interface Cpu {
  /** Filled at each exit. */
  readonly exit: VmExit;
  /** Guest instructions retired since power-on. */
  readonly retired: number;
  /** VMCS field TSC offset: the guest's counter is the instructions that have retired, and this. */
  tscOffset: number;
  /** The part of the TSC offset by which the counter was moved, modulo 2^64. */
  tscShift: bigint;
  rip: bigint;
  /**
   * The general registers and, as number {@link RIP}, the instruction pointer, live: each as its low and its high half, signed.
   * The exit path looks here and makes no bigint.
   */
  readonly halves: Int32Array;
  rflags: bigint;
  /** RFLAGS, of which there are 32 bits, without a bigint. */
  eflags: number;
  /** RFLAGS.IF, without the flags that have to be worked out. */
  readonly interruptFlag: boolean;
  efer: bigint;
  /** VM entry to VM exit; PREEMPTION_TIMER when `instructionLimit` instructions have retired. */
  run(instructionLimit: number): ExitReason;
  /** The vCPU is gone. */
  release(): void;
  setEptPointer(eptp: number): void;
  /** Page-modification logging, off while it has no page. */
  readonly modificationLog: ModificationLog;
  /** INVEPT: drop every translation that came from EPT. */
  invalidateEpt(): void;
  register(index: number): bigint;
  setRegister(index: number, value: bigint): void;
  segment(name: SegmentName): SegmentState;
  setSegment(name: SegmentName, segment: SegmentState): void;
  descriptorTable(name: 'gdt' | 'idt'): DescriptorTable;
  setDescriptorTable(name: 'gdt' | 'idt', table: DescriptorTable): void;
  control(register: ControlRegister): bigint;
  /** CR8. */
  readonly taskPriority: number;
  setControl(register: ControlRegister, value: bigint): void;
  /** `undefined`: the CPU has no such MSR. */
  readMsr(index: number): bigint | undefined;
  /** False: the CPU has no such MSR, or refuses the value of a guest that writes it. */
  writeMsr(index: number, value: bigint, byGuest: boolean): boolean;
  /** MSRs of the CPU's own whose access exits all the same; `undefined`: none. */
  msrIntercepts: ((index: number, write: boolean) => boolean) | undefined;
  /** DR0–3, 6 or 7. */
  debugRegister(number: 0 | 1 | 2 | 3 | 6 | 7): bigint;
  setDebugRegister(number: 0 | 1 | 2 | 3 | 6 | 7, value: bigint): void;
  /** Breakpoints in place of the guest's: addresses of DR0–3, and DR7; `undefined` gives the guest its own back. */
  borrowBreakpoints(own: { readonly addresses: readonly bigint[]; readonly control: number } | undefined): void;
  /** Exceptions that leave the guest with EXCEPTION_NMI, a bit a vector. */
  exceptionBitmap: number;
  /** Who serves exits where the CPU allows that they need not leave the guest's code; a CPU that never does needs nobody. */
  quickExits?: QuickExits;
  /** rip += length of the instruction that exited. */
  skipInstruction(): void;
  /** Complete the instruction at rip; accesses that miss RAM go to `port`. */
  emulate(port: EmulatorPort): Emulated;
  readAccumulator(size: 1 | 2 | 4): number;
  /** al, ax or eax with the CPU's merge rules: a 4-byte write clears the upper half of rax. */
  writeAccumulator(size: 1 | 2 | 4, value: number): void;
  /** Deliver an event at the next entry: VM-entry interruption information. */
  inject(information: number, errorCode: number, instructionLength: number): void;
  /** The guest's interruptibility state. */
  interruptibility: number;
  /** The exception that {@link emulate} has answered with. */
  readonly lastException:
    | { readonly vector: number; readonly errorCode: number | undefined; readonly faultAddress: bigint }
    | undefined;
  /** The guest would take an interrupt now: RFLAGS.IF, and no shadow of STI or MOV SS. */
  readonly interruptible: boolean;
  readonly nmiReady: boolean;
  /** Exit as soon as the guest would take an interrupt, or an NMI. */
  interruptWindow: boolean;
  nmiWindow: boolean;
  /** Exit when CR8 sinks below this; 0 never. */
  tprThreshold: number;
}

/** Numbers of the general registers, as instructions encode them. */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSI = 6;
export const RDI = 7;
/** The instruction pointer's number in {@link Cpu.halves}. */
export const RIP = 16;

/** The processor that entered the guest last: the model has one. */
export const LAST_VMENTRY_CPU = 0;

/** Makes the CPU of a new vCPU; `stateAt` is a zeroed page frame for its state. */
export type CpuFactory = (memory: PhysicalMemory, stateAt: Hpa, stream: EventStream) => Cpu;
