/** Model-specific registers, segment bases and counters: SDM vol. 4, vol. 3B ch. 18.17. */

import { EXIT_REASON } from './exit.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { ServicesOf } from './interpreter/service-rooms.ts';
import { CR0_PG, CR4_FSGSBASE, CR4_TSD, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, isCanonical } from './paging.ts';
import { VECTOR } from './pending-event.ts';
import { answer, isPrivileged, type Processor, refuse, type Service } from './processor.ts';

export const MSR = {
  TSC: 0x10,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  FMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const;

const EFER_WRITABLE = EFER_SCE | EFER_LME | EFER_NXE;
/** Registers that hold an address, which has to be canonical. */
const ADDRESSES: ReadonlySet<number> = new Set([
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.FS_BASE,
  MSR.GS_BASE,
  MSR.KERNEL_GS_BASE,
]);
/** Registers of 32 bits; the upper half is reserved. */
const HALVES: ReadonlySet<number> = new Set([MSR.FMASK, MSR.TSC_AUX]);
const FS = 4;

/** Services of one vCPU about its MSRs. */
export class MsrServices implements Record<ServicesOf<'msrs'>, Service> {
  readonly #cpu: Processor;
  readonly #values = new Map<number, bigint>(
    [
      MSR.STAR,
      MSR.LSTAR,
      MSR.CSTAR,
      MSR.FMASK,
      MSR.KERNEL_GS_BASE,
      MSR.SYSENTER_CS,
      MSR.SYSENTER_ESP,
      MSR.SYSENTER_EIP,
      MSR.TSC_AUX,
    ].map((index) => [index, 0n]),
  );
  /** MSRs whose access exits although the processor keeps them (the MSR bitmaps of the VMCS). */
  intercepts: ((index: number, write: boolean) => boolean) | undefined;
  /** What the counter would be without an offset. */
  readonly #worked: () => number;
  /** VMCS field TSC offset: time that passed while the guest was not there to work. */
  tscOffset = 0;
  /** … and what a write of the counter has added, modulo 2^64, which a number could not hold. */
  tscShift = 0n;

  constructor(cpu: Processor, worked: () => number) {
    this.#cpu = cpu;
    this.#worked = worked;
  }

  #timestamp(): bigint {
    const ticks = BigInt(Math.floor(this.#worked() + this.tscOffset));
    return this.tscShift === 0n ? ticks : BigInt.asUintN(64, ticks + this.tscShift);
  }

  /** An MSR that the processor keeps itself, unsigned; undefined for others, which the hypervisor answers. */
  get(index: number): bigint | undefined {
    switch (index) {
      case MSR.TSC:
        return this.#timestamp();
      case MSR.EFER:
        return this.#cpu.mmu.guest.efer;
      case MSR.FS_BASE:
        return this.#cpu.segments.base('fs');
      case MSR.GS_BASE:
        return this.#cpu.segments.base('gs');
      default:
        return this.#values.get(index);
    }
  }

  /** Set an MSR without the checks that WRMSR makes. */
  set(index: number, value: bigint): void {
    const { mmu, segments } = this.#cpu;
    switch (index) {
      case MSR.EFER:
        mmu.guest.efer = (value & EFER_WRITABLE) | (mmu.guest.efer & EFER_LMA);
        mmu.flush();
        break;
      case MSR.FS_BASE:
        segments.setBase('fs', BigInt.asIntN(64, value));
        break;
      case MSR.GS_BASE:
        segments.setBase('gs', BigInt.asIntN(64, value));
        break;
      default:
        this.#values.set(index, BigInt.asUintN(64, value));
    }
  }

  #setPair(value: bigint): void {
    const { quads } = this.#cpu.state;
    quads[0] = value & 0xffff_ffffn;
    quads[2] = (value >> 32n) & 0xffff_ffffn;
  }

  readMsr(): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const index = this.#cpu.state.unsignedWords[2]!;
    const value = this.get(index);
    if (value === undefined || this.intercepts?.(index, false)) return this.#cpu.event.leave(EXIT_REASON.MSR_READ);
    this.#setPair(value);
    return 0;
  }

  writeMsr(): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const { unsignedWords } = this.#cpu.state;
    const index = unsignedWords[2]!;
    const value = (BigInt(unsignedWords[4]!) << 32n) | BigInt(unsignedWords[0]!);
    const left = this.get(index) === undefined || index === MSR.TSC || this.intercepts?.(index, true);
    if (left) return this.#cpu.event.leave(EXIT_REASON.MSR_WRITE);
    if (!this.accepts(index, value)) return refuse(this.#cpu);
    this.set(index, value);
    return OUTCOME.STOP;
  }

  /** Whether WRMSR would take `value` for an MSR that the processor keeps. */
  accepts(index: number, value: bigint): boolean {
    if (ADDRESSES.has(index)) return isCanonical(Number(BigInt.asIntN(64, value)));
    if (HALVES.has(index)) return value >> 32n === 0n;
    if (index !== MSR.EFER) return true;
    const { mmu } = this.#cpu;
    // LME cannot change while paging is on; LMA is the processor's.
    if ((value & ~(EFER_WRITABLE | EFER_LMA)) !== 0n) return false;
    return ((value ^ mmu.guest.efer) & EFER_LME) === 0n || (mmu.guest.cr0 & CR0_PG) === 0n;
  }

  #timestampAllowed(): boolean {
    return isPrivileged(this.#cpu) || (this.#cpu.mmu.guest.cr4 & CR4_TSD) === 0n;
  }

  readTimestamp(): number {
    if (!this.#timestampAllowed()) return refuse(this.#cpu);
    this.#setPair(this.#timestamp());
    return 0;
  }

  readTimestampAndProcessor(): number {
    const outcome = this.readTimestamp();
    if (outcome === 0) this.#cpu.state.quads[1] = this.#values.get(MSR.TSC_AUX)!;
    return outcome;
  }

  readProcessor(): number {
    return answer(this.#cpu, this.#values.get(MSR.TSC_AUX)!);
  }

  /** CPUID offers no performance counter, so none can be named. */
  readPerformanceCounter(): number {
    return refuse(this.#cpu);
  }

  swapGs(): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const kernel = this.#values.get(MSR.KERNEL_GS_BASE)!;
    this.#values.set(MSR.KERNEL_GS_BASE, this.#cpu.segments.base('gs'));
    this.#cpu.segments.setBase('gs', BigInt.asIntN(64, kernel));
    return 0;
  }

  #basesAllowed(): boolean {
    return (this.#cpu.mmu.guest.cr4 & CR4_FSGSBASE) !== 0n;
  }

  readBase(segment: number): number {
    if (!this.#basesAllowed()) return this.#cpu.event.raise(VECTOR.UD);
    return answer(this.#cpu, this.#cpu.segments.base(segment === FS ? 'fs' : 'gs'));
  }

  writeBase(segment: number, value: bigint): number {
    if (!this.#basesAllowed()) return this.#cpu.event.raise(VECTOR.UD);
    if (!isCanonical(Number(value))) return refuse(this.#cpu);
    this.#cpu.segments.setBase(segment === FS ? 'fs' : 'gs', value);
    return 0;
  }
}
