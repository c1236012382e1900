/**
 * The services that instruction definitions call by name: control registers, MSRs, flags with privilege rules, descriptor
 * tables, and the instructions that always exit. Each returns 0, or an outcome that ends the instruction.
 */

import type { PhysicalMemory } from '../physical-memory.ts';
import type { Exceptions } from './exceptions.ts';
import { EXIT_REASON } from './exit.ts';
import { CONTROL_FLAGS, Flags, IF, IOPL, RF, STATUS_FLAGS, VM } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import type { ServiceName } from './ops.ts';
import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE } from './paging.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import type { Segments } from './segments.ts';
import { type CpuState, SLOT, WORD } from './state.ts';

export const MSR = {
  TSC: 0x10,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  FMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
} as const;

const EFER_WRITABLE = EFER_SCE | EFER_LME | EFER_NXE;
const CR4_KNOWN = 0x0037_07ffn;

type Service = (...args: never[]) => number;

/** Services of one vCPU. Vectors, selectors and port numbers are numbers; register values signed bigints. */
export class Services implements Record<ServiceName, Service> {
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #mmu: Mmu;
  readonly #event: PendingEvent;
  readonly #segments: Segments;
  readonly #exceptions: Exceptions;
  readonly #flags: Flags;
  readonly #msrs = new Map<number, bigint>(
    [MSR.STAR, MSR.LSTAR, MSR.CSTAR, MSR.FMASK, MSR.KERNEL_GS_BASE].map((index) => [index, 0n]),
  );
  /** Reads the time-stamp counter. */
  readonly #timestamp: () => number;
  cr8 = 0n;

  constructor(
    memory: PhysicalMemory,
    state: CpuState,
    mmu: Mmu,
    event: PendingEvent,
    segments: Segments,
    exceptions: Exceptions,
    timestamp: () => number,
  ) {
    this.#memory = memory;
    this.#state = state;
    this.#mmu = mmu;
    this.#event = event;
    this.#segments = segments;
    this.#exceptions = exceptions;
    this.#flags = new Flags(state);
    this.#timestamp = timestamp;
  }

  #yield(value: bigint): number {
    this.#state.quads[SLOT.SCRATCH] = value;
    return 0;
  }

  #privileged(): boolean {
    return this.#mmu.privilege === 0;
  }

  #refuse(): number {
    return this.#event.raise(VECTOR.GP, 0);
  }

  fault(vector: number): number {
    return this.#event.raise(vector);
  }

  divideError(): number {
    return this.#event.raise(VECTOR.DE);
  }

  halt(): number {
    return this.#privileged() ? this.#event.leave(EXIT_REASON.HLT) : this.#refuse();
  }

  cpuid(): number {
    return this.#event.leave(EXIT_REASON.CPUID);
  }

  vmcall(): number {
    return this.#event.leave(EXIT_REASON.VMCALL);
  }

  /** A hint; the pause-loop exiting control is off. */
  pause(): number {
    return 0;
  }

  /** Caches are not modeled, so writing them back changes nothing. */
  flushCaches(): number {
    return this.#privileged() ? 0 : this.#refuse();
  }

  readTimestamp(): number {
    this.#setPair(BigInt(this.#timestamp()));
    return 0;
  }

  #setPair(value: bigint): void {
    this.#state.quads[0] = value & 0xffff_ffffn;
    this.#state.quads[2] = (value >> 32n) & 0xffff_ffffn;
  }

  readMsr(): number {
    if (!this.#privileged()) return this.#refuse();
    const value = this.msr(this.#state.unsignedWords[2]!);
    if (value === undefined) return this.#event.leave(EXIT_REASON.MSR_READ);
    this.#setPair(value);
    return 0;
  }

  writeMsr(): number {
    if (!this.#privileged()) return this.#refuse();
    const index = this.#state.unsignedWords[2]!;
    const value = (BigInt(this.#state.unsignedWords[4]!) << 32n) | BigInt(this.#state.unsignedWords[0]!);
    if (this.msr(index) === undefined || index === MSR.TSC) return this.#event.leave(EXIT_REASON.MSR_WRITE);
    if (index === MSR.EFER) {
      if ((value & ~(EFER_WRITABLE | EFER_LMA)) !== 0n) return this.#refuse();
      // LME cannot change while paging is on.
      if (((value ^ this.#mmu.efer) & EFER_LME) !== 0n && (this.#mmu.cr0 & CR0_PG) !== 0n) return this.#refuse();
    }
    this.setMsr(index, value);
    return OUTCOME.STOP;
  }

  /** An MSR that the processor keeps itself, unsigned; undefined for others, which the hypervisor answers. */
  msr(index: number): bigint | undefined {
    switch (index) {
      case MSR.TSC:
        return BigInt(this.#timestamp());
      case MSR.EFER:
        return this.#mmu.efer;
      case MSR.FS_BASE:
        return this.#segments.base('fs');
      case MSR.GS_BASE:
        return this.#segments.base('gs');
      default:
        return this.#msrs.get(index);
    }
  }

  setMsr(index: number, value: bigint): void {
    switch (index) {
      case MSR.EFER:
        this.#mmu.efer = (value & EFER_WRITABLE) | (this.#mmu.efer & EFER_LMA);
        this.#mmu.flush();
        break;
      case MSR.FS_BASE:
        this.#segments.setBase('fs', BigInt.asIntN(64, value));
        break;
      case MSR.GS_BASE:
        this.#segments.setBase('gs', BigInt.asIntN(64, value));
        break;
      default:
        this.#msrs.set(index, value);
    }
  }

  interrupt(vector: number): number {
    return this.#event.raiseSoftware(vector);
  }

  interruptReturn(): number {
    return this.#exceptions.interruptReturn();
  }

  /** RETF to the same or an outer privilege, in 64-bit operand size or 32. */
  farReturn(released: number, width: number): number {
    const bytes = width / 8;
    const stack = Number(this.#state.quads[SLOT.RSP]!);
    const values: bigint[] = [];
    for (let index = 0; index < 2; index++) {
      const host = this.#mmu.readSlow(stack + index * bytes, bytes);
      if (host < 0) return host;
      const { view } = this.#memory;
      values.push(width === 64 ? view.getBigInt64(host, true) : BigInt(view.getUint32(host, true)));
    }
    const selector = Number(values[1]! & 0xffffn);
    const privilege = this.#mmu.privilege;
    // Fidelity: a far return to an outer privilege, which pops ss:rsp too, is refused.
    if ((selector & 3) !== privilege) return this.#event.raise(VECTOR.GP, selector & 0xfffc);
    const code = this.#segments.loadCode(selector, privilege);
    if (typeof code === 'number') return code;
    this.#segments.set('cs', code);
    this.#state.quads[SLOT.RSP] = this.#state.quads[SLOT.RSP]! + BigInt(2 * bytes + released);
    this.#state.quads[SLOT.RIP] = values[0]!;
    return OUTCOME.JUMP;
  }

  /** Control register `number`, unsigned; undefined if there is none. */
  control(number: number): bigint | undefined {
    switch (number) {
      case 0:
        return this.#mmu.cr0;
      case 2:
        return BigInt.asUintN(64, this.#exceptions.faultAddress);
      case 3:
        return this.#mmu.cr3;
      case 4:
        return this.#mmu.cr4;
      case 8:
        return this.cr8;
      default:
        return undefined;
    }
  }

  /** Set a control register without the checks that MOV makes. */
  setControl(number: number, value: bigint): void {
    switch (number) {
      case 0:
        this.#mmu.cr0 = value;
        break;
      case 2:
        this.#exceptions.faultAddress = value;
        break;
      case 3:
        this.#mmu.cr3 = value & 0x000f_ffff_ffff_ffffn;
        break;
      case 4:
        this.#mmu.cr4 = value;
        break;
      default:
        this.cr8 = value & 15n;
    }
    if (number !== 2 && number !== 8) this.#mmu.flush();
  }

  readControl(number: number): number {
    if (!this.#privileged()) return this.#refuse();
    const value = this.control(number);
    return value === undefined ? this.#event.raise(VECTOR.UD) : this.#yield(value);
  }

  writeControl(number: number, value: bigint): number {
    if (!this.#privileged()) return this.#refuse();
    const unsigned = BigInt.asUintN(64, value);
    if (this.control(number) === undefined) return this.#event.raise(VECTOR.UD);
    // Long mode needs protection, paging and PAE; leaving it through these registers is a fault, not a mode change.
    const breaksLongMode =
      (number === 0 && (unsigned & (CR0_PE | CR0_PG)) !== (CR0_PE | CR0_PG)) ||
      (number === 4 && (unsigned & CR4_PAE) === 0n);
    const reserved =
      (number === 0 && unsigned >> 32n !== 0n) ||
      (number === 3 && (unsigned & 0x7ff0_0000_0000_0000n) !== 0n) ||
      (number === 4 && (unsigned & ~CR4_KNOWN) !== 0n) ||
      (number === 8 && unsigned > 15n);
    if (breaksLongMode || reserved) return this.#refuse();
    this.setControl(number, unsigned);
    return OUTCOME.STOP;
  }

  /** INVLPG; `address` is a signed double, as addresses are in generated code. */
  invalidatePage(address: number): number {
    if (!this.#privileged()) return this.#refuse();
    this.#mmu.tlb.flushPage((address | 0) & ~4095);
    return OUTCOME.STOP;
  }

  #loadTable(table: { base: bigint; limit: number }, address: number): number {
    if (!this.#privileged()) return this.#refuse();
    const limit = this.#mmu.readSlow(address, 2);
    if (limit < 0) return limit;
    const bytes = this.#memory.view.getUint16(limit, true);
    const base = this.#mmu.readSlow(address + 2, 8);
    if (base < 0) return base;
    table.limit = bytes;
    table.base = this.#memory.view.getBigUint64(base, true);
    return 0;
  }

  loadGdt(address: number): number {
    return this.#loadTable(this.#segments.gdt, address);
  }

  loadIdt(address: number): number {
    return this.#loadTable(this.#segments.idt, address);
  }

  #storeTable(table: { base: bigint; limit: number }, address: number): number {
    for (const [offset, bytes, value] of [
      [0, 2, BigInt(table.limit)],
      [2, 8, table.base],
    ] as const) {
      const host = this.#mmu.writeSlow(address + offset, bytes, false);
      if (host < 0) return host;
      if (bytes === 2) this.#memory.view.setUint16(host, Number(value), true);
      else this.#memory.view.setBigUint64(host, value, true);
      if (host === this.#state.bounce) this.#mmu.commitBounce();
    }
    return 0;
  }

  storeGdt(address: number): number {
    return this.#storeTable(this.#segments.gdt, address);
  }

  storeIdt(address: number): number {
    return this.#storeTable(this.#segments.idt, address);
  }

  loadTask(selector: number): number {
    return this.#privileged() ? this.#segments.loadTask(selector) : this.#refuse();
  }

  readSegment(number: number): number {
    const names = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
    return this.#yield(BigInt(this.#segments.get(names[number]!).selector));
  }

  loadSegment(number: number, selector: number): number {
    return this.#segments.load(number, selector);
  }

  swapGs(): number {
    if (!this.#privileged()) return this.#refuse();
    const kernel = this.#msrs.get(MSR.KERNEL_GS_BASE)!;
    this.#msrs.set(MSR.KERNEL_GS_BASE, this.#segments.base('gs'));
    this.#segments.setBase('gs', BigInt.asIntN(64, kernel));
    return 0;
  }

  #setInterruptFlag(on: boolean): number {
    if (this.#mmu.privilege > (this.#flags.read() & IOPL) >> 12) return this.#refuse();
    const control = this.#state.words[WORD.FLAG_CONTROL]!;
    this.#state.words[WORD.FLAG_CONTROL] = on ? control | IF : control & ~IF;
    return OUTCOME.STOP;
  }

  clearInterruptFlag(): number {
    return this.#setInterruptFlag(false);
  }

  setInterruptFlag(): number {
    return this.#setInterruptFlag(true);
  }

  /** PUSHF stores RF and VM as zero. */
  pushFlags(): number {
    return this.#yield(BigInt(this.#flags.read() & ~(RF | VM)));
  }

  /** POPF: IOPL only at privilege 0, IF only up to IOPL, neither silently refused nor a fault. */
  popFlags(value: bigint, width: number): number {
    const privilege = this.#mmu.privilege;
    const current = this.#flags.read();
    let changeable = (STATUS_FLAGS | CONTROL_FLAGS) & ~(IOPL | IF | RF);
    if (privilege === 0) changeable |= IOPL;
    if (privilege <= (current & IOPL) >> 12) changeable |= IF;
    if (width === 16) changeable &= 0xffff;
    this.#flags.write((current & ~(changeable | RF)) | (Number(BigInt.asIntN(32, value)) & changeable));
    return OUTCOME.STOP;
  }
}
