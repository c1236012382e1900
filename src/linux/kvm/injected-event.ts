/** Events that the CPU has been given and has not yet delivered. */

import { INTERRUPTION } from '../../hardware/vcpu/exit.ts';

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
export const isSoftException = (vector: number): boolean => vector === BP_VECTOR || vector === OF_VECTOR;
const exceptionType = (vector: number): number =>
  isSoftException(vector) ? INTERRUPTION.SOFTWARE_EXCEPTION : INTERRUPTION.HARDWARE_EXCEPTION;

const PF_VECTOR = 14;
/** exception_class: #DE #TS #NP #SS #GP. */
const CONTRIBUTORY: ReadonlySet<number> = new Set([0, 10, 11, 12, 13]);
/** kvm_multiple_exception: whether `second`, on top of `first`, makes #DF of both. */
export const isDoubleFault = (first: number, second: number): boolean =>
  CONTRIBUTORY.has(first)
    ? CONTRIBUTORY.has(second)
    : first === PF_VECTOR && (second === PF_VECTOR || CONTRIBUTORY.has(second));

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
