/**
 * Events on their way into the CPU, and those that it hands back because their delivery was cut short
 * (arch/x86/kvm/vmx/vmx.c: vmx_inject_exception, vmx_inject_irq, vmx_complete_interrupts).
 */

import { INTERRUPTIBILITY, INTERRUPTION } from '../../hardware/vcpu/exit.ts';
import { kvmInjException } from './trace.ts';
import { kvmInjVirq } from './trace-irq.ts';
import type { KvmVcpu } from './vcpu.ts';

const NMI_VECTOR = 2;
const BP_VECTOR = 3;
const OF_VECTOR = 4;

/**
 * What the CPU was given and has not yet delivered: at most one event, of a type of {@link INTERRUPTION}
 * (exception.injected, nmi_injected and interrupt.injected of struct kvm_vcpu_arch).
 */
export interface InjectedEvent {
  readonly type: number;
  readonly vector: number;
  readonly errorCode: number | undefined;
  /** event_exit_inst_len: of the instruction behind a software interrupt or exception. */
  readonly instructionLength: number;
}

export const isException = ({ type }: InjectedEvent): boolean =>
  type === INTERRUPTION.HARDWARE_EXCEPTION || type === INTERRUPTION.SOFTWARE_EXCEPTION;
export const isInterrupt = ({ type }: InjectedEvent): boolean =>
  type === INTERRUPTION.EXTERNAL || type === INTERRUPTION.SOFTWARE_INTERRUPT;

/** kvm_exception_is_soft. */
const exceptionType = (vector: number): number =>
  vector === BP_VECTOR || vector === OF_VECTOR ? INTERRUPTION.SOFTWARE_EXCEPTION : INTERRUPTION.HARDWARE_EXCEPTION;

export const exceptionEvent = (vector: number, errorCode?: number, instructionLength = 0): InjectedEvent => ({
  type: exceptionType(vector),
  vector,
  errorCode,
  instructionLength,
});
export const interruptEvent = (vector: number): InjectedEvent => ({
  type: INTERRUPTION.EXTERNAL,
  vector,
  errorCode: undefined,
  instructionLength: 0,
});
export const nmiEvent: InjectedEvent = {
  type: INTERRUPTION.NMI,
  vector: NMI_VECTOR,
  errorCode: undefined,
  instructionLength: 0,
};

/** Give the CPU an event for its next entry; `reinjected` says that it was handed back. */
export function injectEvent(vcpu: KvmVcpu, event: InjectedEvent, reinjected: boolean): void {
  const { stream } = vcpu.kernel;
  const { type, vector, errorCode, instructionLength } = event;
  const hasErrorCode = errorCode !== undefined;
  if (isException(event)) {
    if (kvmInjException.on) kvmInjException(stream, { vector, hasErrorCode, errorCode: errorCode ?? 0, reinjected });
  } else if (isInterrupt(event)) {
    if (kvmInjVirq.on) kvmInjVirq(stream, { vector, soft: type === INTERRUPTION.SOFTWARE_INTERRUPT, reinjected });
  }
  vcpu.injected = event;
  const information = INTERRUPTION.VALID + (type | vector | (hasErrorCode ? INTERRUPTION.HAS_ERROR_CODE : 0));
  vcpu.cpu.inject(information, errorCode ?? 0, instructionLength);
}

/** vmx_complete_interrupts: after an exit the event was delivered, or the CPU tells which one it has to be given again. */
export function completeInjection(vcpu: KvmVcpu): void {
  const { cpu } = vcpu;
  const { idtVectoring: information, idtVectoringError, instructionLength } = cpu.exit;
  vcpu.injected = undefined;
  if (information === 0) return;
  vcpu.eventRequested = true;
  const vector = information & INTERRUPTION.VECTOR_MASK;
  const type = information & INTERRUPTION.TYPE_MASK;
  const errorCode = (information & INTERRUPTION.HAS_ERROR_CODE) === 0 ? undefined : idtVectoringError;
  switch (type) {
    case INTERRUPTION.NMI:
      // An NMI whose delivery has failed blocks no other (SDM vol. 3C §28.2.4).
      cpu.interruptibility &= ~INTERRUPTIBILITY.NMI;
      vcpu.injected = nmiEvent;
      break;
    case INTERRUPTION.HARDWARE_EXCEPTION:
    case INTERRUPTION.SOFTWARE_EXCEPTION:
      vcpu.injected = exceptionEvent(vector, errorCode, instructionLength);
      break;
    case INTERRUPTION.EXTERNAL:
    case INTERRUPTION.SOFTWARE_INTERRUPT:
      vcpu.injected = { type, vector, errorCode: undefined, instructionLength };
      break;
    // INT1 is not taken up: the guest executes it once more.
  }
}
