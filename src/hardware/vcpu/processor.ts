/** The parts of one vCPU that its services share. */

import type { PhysicalMemory } from '../physical-memory.ts';
import type { DebugRegisters } from './debug-registers.ts';
import type { Flags } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import type { Segments } from './segments.ts';
import { type CpuState, SLOT } from './state.ts';

/** What holds back events at the next instruction boundary (the guest interruptibility state, SDM vol. 3C table 25-3). */
export interface Blocking {
  /**
   * The next instruction runs before interrupts are looked at (INTERRUPTIBILITY.STI), and before debug traps too (MOV_SS);
   * 0: no shadow. A number, because every entry asks, and of a string the engine would look at the kind first.
   */
  shadow: number;
  /** An NMI was delivered and no IRET has run since. */
  nmi: boolean;
}

/** One vCPU's parts. */
export interface Processor {
  readonly memory: PhysicalMemory;
  readonly state: CpuState;
  readonly mmu: Mmu;
  readonly event: PendingEvent;
  readonly segments: Segments;
  readonly flags: Flags;
  readonly debug: DebugRegisters;
  readonly blocking: Blocking;
}

/** A method that generated code calls: 0, or an outcome that ends the instruction. */
export type Service = (...args: never[]) => number;

export const isPrivileged = (cpu: Processor): boolean => cpu.mmu.guest.privilege === 0;
/** #GP(0). */
export const refuse = (cpu: Processor): number => cpu.event.raise(VECTOR.GP, 0);
/** Hand a 64-bit value (signed) to the definition that asked for it. */
export function answer(cpu: Processor, value: bigint): number {
  cpu.state.quads[SLOT.SCRATCH] = value;
  return 0;
}

/** Read `bytes` bytes at linear `address` as the program would: a bigint (4 and 2 bytes unsigned, 8 signed), or an outcome. */
export function readMemory(cpu: Processor, address: number, bytes: 2 | 4 | 8): bigint | number {
  const host = cpu.mmu.readSlow(address, bytes);
  if (host < 0) return host;
  const { view } = cpu.memory;
  if (bytes === 8) return view.getBigInt64(host, true);
  return BigInt(bytes === 4 ? view.getUint32(host, true) : view.getUint16(host, true));
}

/** Write as the program would; 0 or an outcome. */
export function writeMemory(cpu: Processor, address: number, value: bigint, bytes: 2 | 4 | 8): number {
  const host = cpu.mmu.writeSlow(address, bytes, false);
  if (host < 0) return host;
  const { view } = cpu.memory;
  if (bytes === 8) view.setBigInt64(host, value, true);
  else if (bytes === 4) view.setUint32(host, Number(BigInt.asUintN(32, value)), true);
  else view.setUint16(host, Number(BigInt.asUintN(16, value)), true);
  if (host === cpu.state.bounce) cpu.mmu.commitBounce();
  return 0;
}

/** An outcome of a stack access: where a non-canonical address gave #GP it is #SS. */
export function onStack(cpu: Processor, outcome: number): number {
  return outcome === OUTCOME.FAULT ? cpu.mmu.stackOutcome() : outcome;
}
