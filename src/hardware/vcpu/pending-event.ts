/** What stops the guest: an exception on its way to the guest's handler, or the fields of a VM exit. */

import type { Gpa } from '../../address.ts';
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

/**
 * How an event came about: which rip is pushed, and whose right to raise it is checked. `fault`: the instruction's own rip.
 * `trap`: rip as it stands. `software` (int n) and `int3`: the next instruction's, and the gate's DPL counts. `int1`: the
 * next instruction's, without that check. `external` and `nmi`: between two instructions.
 */
export type EventKind = 'fault' | 'trap' | 'software' | 'int3' | 'int1' | 'external' | 'nmi';

/** At most one of an exception and an exit is raised by an instruction; each method returns the outcome to return. */
export class PendingEvent {
  vector = 0;
  /** Undefined for vectors that push none. */
  errorCode: number | undefined = undefined;
  kind: EventKind = 'fault';
  /** The last #GP(0) is for a non-canonical address: where that was the stack's, it is #SS. */
  nonCanonical = false;
  /** Faulting address of #PF, for CR2. */
  faultAddress = 0n;
  readonly exit: VmExit = {
    reason: EXIT_REASON.HLT,
    qualification: 0,
    guestPhysical: 0 as Gpa,
    guestLinear: 0,
    instructionLength: 0,
    interruption: 0,
    idtVectoring: 0,
    idtVectoringError: 0,
  };

  raise(vector: number, errorCode?: number, kind: EventKind = 'fault'): number {
    this.vector = vector;
    this.errorCode = errorCode;
    this.kind = kind;
    this.nonCanonical = false;
    return OUTCOME.FAULT;
  }

  raisePageFault(address: number, errorCode: number): number {
    this.faultAddress = BigInt.asUintN(64, BigInt(address));
    return this.raise(VECTOR.PF, errorCode);
  }

  raiseNonCanonical(): number {
    this.raise(VECTOR.GP, 0);
    this.nonCanonical = true;
    return OUTCOME.FAULT;
  }

  leave(reason: ExitReason, qualification = 0): number {
    this.exit.reason = reason;
    this.exit.qualification = qualification;
    this.exit.idtVectoring = 0;
    return OUTCOME.EXIT;
  }

  leaveForMemory(reason: ExitReason, qualification: number, physical: Gpa, linear: number): number {
    this.exit.guestPhysical = physical;
    this.exit.guestLinear = linear;
    return this.leave(reason, qualification);
  }
}
