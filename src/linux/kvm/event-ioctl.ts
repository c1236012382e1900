/** The vCPU ioctls about interrupts and other events (arch/x86/kvm/x86.c: kvm_arch_vcpu_ioctl). */

import { INTERRUPTIBILITY, INTERRUPTION } from '../../hardware/vcpu/exit.ts';
import { getStruct } from '../core/uaccess.ts';
import { EEXIST, EINVAL, ENOMEM, ENOTTY, ENXIO } from '../uapi/errno.ts';
import {
  KVM_GET_LAPIC,
  KVM_GET_VCPU_EVENTS,
  KVM_INTERRUPT,
  KVM_NMI,
  KVM_SET_LAPIC,
  KVM_SET_VCPU_EVENTS,
  KVM_SMI,
  KVM_VCPUEVENT_VALID_NMI_PENDING,
  KVM_VCPUEVENT_VALID_SHADOW,
  KVM_VCPUEVENT_VALID_SIPI_VECTOR,
  KVM_VCPUEVENT_VALID_SMM,
  kvm_interrupt,
  kvm_lapic_state,
  kvm_vcpu_events,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { exceptionEvent, interruptEvent, isException, isSoftException, nmiEvent } from './injected-event.ts';
import { processNmis } from './interrupts.ts';
import type { IoctlTable } from './ioctl-table.ts';
import type { KvmVcpu } from './vcpu.ts';

type Events = StructOf<typeof kvm_vcpu_events>;

const VECTORS = 256;
/** NMI_PENDING, SIPI_VECTOR, SHADOW, SMM. PAYLOAD and TRIPLE_FAULT each need a capability that there is not. */
const KNOWN_FLAGS = 0xf;

/** Of the four bytes about system management mode the last is INIT's, which waits also without it. */
const SMI_LATCHED_INIT = 3;

/** Add the rows to the vCPU's table. */
export const eventIoctls = (table: IoctlTable<KvmVcpu>): IoctlTable<KvmVcpu> =>
  table
    .takes(KVM_INTERRUPT, kvm_interrupt, queueInterrupt)
    .plain(KVM_NMI, (vcpu) => {
      vcpu.queueNmi();
      return 0;
    })
    // As in a kernel without CONFIG_KVM_SMM, which Linux has had since 6.2.
    .plain(KVM_SMI, ({ kernel }) => kernel.refuse(ENOTTY, 'there is no system management mode'))
    .gives(KVM_GET_LAPIC, kvm_lapic_state, (vcpu) => {
      if (vcpu.lapic === undefined) return noLapic(vcpu);
      return vcpu.kernel.kmalloc('struct kvm_lapic_state') ? { regs: vcpu.lapic.state() } : -ENOMEM;
    })
    .plain(KVM_SET_LAPIC, (vcpu, argument) => {
      const { kernel, lapic } = vcpu;
      if (lapic === undefined) return noLapic(vcpu);
      if (!kernel.kmalloc('struct kvm_lapic_state')) return -ENOMEM;
      const state = getStruct(kernel, kvm_lapic_state, argument);
      if (typeof state === 'number') return state;
      lapic.setState(state.regs);
      return 0;
    })
    .gives(KVM_GET_VCPU_EVENTS, kvm_vcpu_events, getEvents)
    .takes(KVM_SET_VCPU_EVENTS, kvm_vcpu_events, setEvents);

/** kvm_vcpu_ioctl_interrupt. */
function queueInterrupt(vcpu: KvmVcpu, { irq }: { irq: number }): number {
  const { kernel } = vcpu;
  if (irq >= VECTORS) return kernel.refuse(EINVAL, 'vectors are below 256');
  if (vcpu.lapic !== undefined)
    return kernel.refuse(ENXIO, 'the interrupt controllers are in the kernel: use KVM_IRQ_LINE');
  if (vcpu.interrupt >= 0) return kernel.refuse(EEXIST, `vector ${vcpu.interrupt} is queued already`);
  vcpu.queueInterrupt(irq);
  return 0;
}

const noLapic = (vcpu: KvmVcpu) => vcpu.kernel.refuse(EINVAL, 'the vCPU has no local APIC in the kernel');

/** kvm_vcpu_ioctl_x86_get_vcpu_events. */
export function getEvents(vcpu: KvmVcpu): Partial<Events> {
  const { injected, cpu } = vcpu;
  processNmis(vcpu);
  const injectedException = injected !== undefined && isException(injected) ? injected : undefined;
  const queued = vcpu.exception ?? injectedException;
  // A software exception is not told: its instruction will raise it again.
  const exception = queued !== undefined && isSoftException(queued.vector) ? undefined : queued;
  const interrupt = vcpu.queuedInterrupt;
  const { interruptibility } = cpu;
  return {
    exception_injected: exception === undefined ? 0 : 1,
    exception_nr: exception?.vector ?? 0,
    exception_has_error_code: exception?.errorCode === undefined ? 0 : 1,
    exception_error_code: exception?.errorCode ?? 0,
    interrupt_injected: interrupt >= 0 ? 1 : 0,
    interrupt_nr: Math.max(interrupt, 0),
    interrupt_shadow: shadowOf(interruptibility),
    nmi_injected: injected?.type === INTERRUPTION.NMI ? 1 : 0,
    nmi_masked: interruptibility & INTERRUPTIBILITY.NMI ? 1 : 0,
    nmi_pending: vcpu.nmisPending > 0 ? 1 : 0,
    smi: Uint8Array.of(0, 0, 0, Number(vcpu.apicEvents.init)),
    flags: KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM,
  };
}

/** vmx_get_interrupt_shadow: KVM_X86_SHADOW_INT_MOV_SS is 1, KVM_X86_SHADOW_INT_STI 2. */
const shadowOf = (interruptibility: number): number =>
  (interruptibility & INTERRUPTIBILITY.MOV_SS ? 1 : 0) | (interruptibility & INTERRUPTIBILITY.STI ? 2 : 0);

/** vmx_set_interrupt_shadow. */
function setShadow({ cpu }: KvmVcpu, shadow: number): void {
  const kept = cpu.interruptibility & ~(INTERRUPTIBILITY.STI | INTERRUPTIBILITY.MOV_SS);
  cpu.interruptibility = kept | (shadow & 1 ? INTERRUPTIBILITY.MOV_SS : shadow & 2 ? INTERRUPTIBILITY.STI : 0);
}

/** kvm_vcpu_ioctl_x86_set_vcpu_events. */
export function setEvents(vcpu: KvmVcpu, events: Events): number {
  if (events.flags & ~KNOWN_FLAGS) return vcpu.kernel.refuse(EINVAL, 'unknown flags of vCPU events');
  if (events.flags & KVM_VCPUEVENT_VALID_SMM && events.smi.subarray(0, SMI_LATCHED_INIT).some((byte) => byte !== 0))
    return vcpu.kernel.refuse(EINVAL, 'there is no system management mode');
  if (events.exception_injected && (events.exception_nr > 31 || events.exception_nr === 2))
    return vcpu.kernel.refuse(EINVAL, `${events.exception_nr} is no exception`);
  processNmis(vcpu);
  vcpu.clearException();
  const errorCode = events.exception_has_error_code ? events.exception_error_code : undefined;
  const external = vcpu.lapic !== undefined && events.interrupt_injected !== 0;
  if (events.exception_injected) vcpu.injected = exceptionEvent(events.exception_nr, errorCode);
  else if (events.nmi_injected) vcpu.injected = nmiEvent;
  else vcpu.injected = external ? interruptEvent(events.interrupt_nr) : undefined;
  // Without a local APIC in the kernel it is user space's queued one.
  vcpu.interrupt = events.interrupt_injected && !external ? events.interrupt_nr : -1;
  if (events.flags & KVM_VCPUEVENT_VALID_SHADOW) setShadow(vcpu, events.interrupt_shadow);
  const { cpu } = vcpu;
  const unmasked = cpu.interruptibility & ~INTERRUPTIBILITY.NMI;
  cpu.interruptibility = unmasked | (events.nmi_masked ? INTERRUPTIBILITY.NMI : 0);
  if (events.flags & KVM_VCPUEVENT_VALID_NMI_PENDING) vcpu.nmisPending = events.nmi_pending;
  if (vcpu.lapic !== undefined) {
    const { apicEvents } = vcpu;
    if (events.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) apicEvents.sipiVector = events.sipi_vector;
    if (events.flags & KVM_VCPUEVENT_VALID_SMM) apicEvents.init = events.smi[SMI_LATCHED_INIT] !== 0;
  }
  vcpu.requestEvent();
  return 0;
}
