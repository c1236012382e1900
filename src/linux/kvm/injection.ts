/**
 * Events on their way into the CPU, and those that it hands back because their delivery was cut short
 * (arch/x86/kvm/vmx/vmx.c: vmx_inject_exception, vmx_inject_irq, vmx_complete_interrupts).
 */

import { INTERRUPTIBILITY, INTERRUPTION } from '../../hardware/vcpu/exit.ts';
import { exceptionEvent, type InjectedEvent, isException, isInterrupt, nmiEvent } from './injected-event.ts';
import { kvmInjException } from './trace.ts';
import { kvmInjVirq } from './trace-irq.ts';
import type { KvmVcpu } from './vcpu.ts';

/** Give the CPU an event for its next entry; `reinjected` says that it was handed back. */
export function injectEvent(vcpu: KvmVcpu, event: InjectedEvent, reinjected: boolean): void {
  const { stream } = vcpu.kernel;
  const { type, vector, errorCode, instructionLength } = event;
  const hasErrorCode = errorCode !== undefined;
  if (type === INTERRUPTION.NMI) vcpu.stats.nmi_injections++;
  if (isException(event)) {
    if (kvmInjException.on) kvmInjException(stream, { vector, hasErrorCode, errorCode: errorCode ?? 0, reinjected });
  } else if (isInterrupt(event)) {
    vcpu.stats.irq_injections++;
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
