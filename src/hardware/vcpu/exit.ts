/** VM exits: Intel's basic exit reasons, and the exit-information fields of the VMCS (SDM vol. 3C, ch. 28 and app. C). */

import type { Gpa } from '../../address.ts';
import type { PortForm } from './ops.ts';

export const EXIT_REASON = {
  EXCEPTION_NMI: 0,
  EXTERNAL_INTERRUPT: 1,
  TRIPLE_FAULT: 2,
  INTERRUPT_WINDOW: 7,
  NMI_WINDOW: 8,
  CPUID: 10,
  HLT: 12,
  INVLPG: 14,
  RDTSC: 16,
  VMCALL: 18,
  CR_ACCESS: 28,
  DR_ACCESS: 29,
  IO_INSTRUCTION: 30,
  MSR_READ: 31,
  MSR_WRITE: 32,
  INVALID_STATE: 33,
  MWAIT: 36,
  MONITOR: 39,
  PAUSE_INSTRUCTION: 40,
  TPR_BELOW_THRESHOLD: 43,
  EPT_VIOLATION: 48,
  EPT_MISCONFIG: 49,
  PREEMPTION_TIMER: 52,
  WBINVD: 54,
  PML_FULL: 62,
} as const;
export type ExitReason = (typeof EXIT_REASON)[keyof typeof EXIT_REASON];

const names = new Map<number, string>(Object.entries(EXIT_REASON).map(([name, number]) => [number, name]));
/** The name that the kernel's kvm_exit event prints. */
export const exitReasonName = (reason: number): string => names.get(reason) ?? `0x${reason.toString(16)}`;

/** Exit qualification of IO_INSTRUCTION (SDM table 28-5): bits 2:0 are the size − 1, bits 31:16 the port. */
export const IO_QUALIFICATION = {
  SIZE_MASK: 7,
  IN: 1 << 3,
  STRING: 1 << 4,
  REPEATED: 1 << 5,
  IMMEDIATE: 1 << 6,
  PORT_SHIFT: 16,
} as const;

/** The bits of that qualification which the instruction itself tells: how it names its port, and whether it is repeated. */
export const ioForm = (form: PortForm, repeat: 'none' | 'rep' | 'repne'): number =>
  (form === 'string' ? IO_QUALIFICATION.STRING : 0) |
  (repeat === 'none' ? 0 : IO_QUALIFICATION.REPEATED) |
  (form === 'immediate' ? IO_QUALIFICATION.IMMEDIATE : 0);

/** Exit qualification of EPT_VIOLATION: SDM table 28-7. */
export const EPT_QUALIFICATION = {
  READ: 1 << 0,
  WRITE: 1 << 1,
  FETCH: 1 << 2,
  READABLE: 1 << 3,
  WRITABLE: 1 << 4,
  EXECUTABLE: 1 << 5,
  LINEAR_ADDRESS_VALID: 1 << 7,
  /** Set: the access was to the final translation; clear: to a guest paging structure. */
  FINAL_TRANSLATION: 1 << 8,
  /** IRET has unblocked NMIs and was then cut short: the hypervisor blocks them again before it enters the guest. */
  NMI_UNBLOCKING: 1 << 12,
} as const;

/**
 * Interruption information, of an event to inject and of one whose delivery an exit has cut short (SDM vol. 3C tables 25-17
 * and 25-19). Bits 7:0 are the vector, 10:8 the type.
 */
export const INTERRUPTION = {
  VECTOR_MASK: 0xff,
  TYPE_MASK: 7 << 8,
  EXTERNAL: 0 << 8,
  NMI: 2 << 8,
  HARDWARE_EXCEPTION: 3 << 8,
  SOFTWARE_INTERRUPT: 4 << 8,
  PRIVILEGED_SOFTWARE_EXCEPTION: 5 << 8,
  SOFTWARE_EXCEPTION: 6 << 8,
  HAS_ERROR_CODE: 1 << 11,
  VALID: 2 ** 31,
} as const;

/** The guest's interruptibility state (SDM vol. 3C table 25-3). */
export const INTERRUPTIBILITY = { STI: 1 << 0, MOV_SS: 1 << 1, NMI: 1 << 3 } as const;

/** The exit-information fields; one object a vCPU, overwritten at each exit. */
export interface VmExit {
  reason: ExitReason;
  qualification: number;
  guestPhysical: Gpa;
  /** As a signed double: a bigint would be made at each exit, for a report that is hardly ever asked for. */
  guestLinear: number;
  instructionLength: number;
  /** VM-exit interruption information of EXCEPTION_NMI ({@link INTERRUPTION}; SDM table 25-16). */
  interruption: number;
  /** IDT-vectoring information: an event that was being delivered when the exit happened ({@link INTERRUPTION}); 0 if none. */
  idtVectoring: number;
  /** IDT-vectoring error code, if that event has one. */
  idtVectoringError: number;
}
