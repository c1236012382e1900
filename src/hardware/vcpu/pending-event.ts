/** What stops the guest: an exception on its way to the guest's handler, or the fields of a VM exit. */

import { type Gpa, gva } from '../../address.ts';
import { EXIT_REASON, type ExitReason, type VmExit } from './exit.ts';
import { OUTCOME } from './interpreter/js-code.ts';

export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
} as const;

/** At most one of an exception and an exit is raised by an instruction; each method returns the outcome to return. */
export class PendingEvent {
  vector = 0;
  /** Undefined for vectors that push none. */
  errorCode: number | undefined = undefined;
  /** int n and int3: rip of the next instruction is pushed, and the gate's DPL is checked. */
  software = false;
  /** Faulting address of #PF, for CR2. */
  faultAddress = 0n;
  readonly exit: VmExit = {
    reason: EXIT_REASON.HLT,
    qualification: 0,
    guestPhysical: 0 as Gpa,
    guestLinear: gva(0n),
    instructionLength: 0,
    idtVectoring: 0,
  };

  raise(vector: number, errorCode?: number): number {
    this.vector = vector;
    this.errorCode = errorCode;
    this.software = false;
    return OUTCOME.FAULT;
  }

  raisePageFault(address: number, errorCode: number): number {
    this.faultAddress = BigInt.asUintN(64, BigInt(address));
    return this.raise(VECTOR.PF, errorCode);
  }

  raiseSoftware(vector: number): number {
    this.raise(vector);
    this.software = true;
    return OUTCOME.FAULT;
  }

  leave(reason: ExitReason, qualification = 0): number {
    this.exit.reason = reason;
    this.exit.qualification = qualification;
    return OUTCOME.EXIT;
  }

  leaveForMemory(reason: ExitReason, qualification: number, physical: Gpa, linear: number): number {
    this.exit.guestPhysical = physical;
    this.exit.guestLinear = gva(BigInt(linear));
    return this.leave(reason, qualification);
  }
}
