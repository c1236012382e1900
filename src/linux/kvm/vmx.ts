/**
 * Exit handlers by VMX exit reason (arch/x86/kvm/vmx/vmx.c: kvm_vmx_exit_handlers). A handler returns 1 to enter the
 * guest again, 0 to return to user space with `kvm_run` filled, or -errno.
 */

import { watch } from '../../event.ts';
import { EPT_QUALIFICATION, EXIT_REASON, type ExitReason, INTERRUPTIBILITY } from '../../hardware/vcpu/exit.ts';
import { KVM_MP_STATE_HALTED } from '../uapi/kvm.ts';
import { KVM_EXIT_HLT, KVM_EXIT_SHUTDOWN } from '../uapi/kvm-run.ts';
import { LAST_VMENTRY_CPU } from './cpu.ts';
import { emulateCpuid } from './cpuid.ts';
import { emulateInstruction } from './emulate.ts';
import { handleException } from './guest-debug.ts';
import { handleVmcall } from './hypercalls.ts';
import { PFERR, RET_PF_EMULATE, RET_PF_FIXED, RET_PF_INVALID, RET_PF_SPURIOUS } from './mmu.ts';
import { emulateRdmsr, emulateWrmsr } from './msrs.ts';
import { handleIo } from './pio.ts';
import { kvmFastMmio } from './trace.ts';
import { kvmPageFault, kvmPmlFull } from './trace-mmu.ts';
import type { KvmVcpu } from './vcpu.ts';
import type { VcpuStats } from './vcpu-stats.ts';

type Handler = (vcpu: KvmVcpu) => number;

/** A device on the fast MMIO bus hears only that its address was touched. */
const NO_DATA = new Uint8Array(0);
const ANY_RIGHT = EPT_QUALIFICATION.READABLE | EPT_QUALIFICATION.WRITABLE | EPT_QUALIFICATION.EXECUTABLE;

/** kvm_emulate_halt: with a local APIC in the kernel the vCPU sleeps there, else user space waits for what ends the halt. */
function handleHlt(vcpu: KvmVcpu): number {
  vcpu.cpu.skipInstruction();
  vcpu.stats.halt_exits++;
  if (vcpu.lapic !== undefined) {
    vcpu.mpState = KVM_MP_STATE_HALTED;
    return 1;
  }
  vcpu.run.exit(KVM_EXIT_HLT);
  return 0;
}

function handleTripleFault(vcpu: KvmVcpu): number {
  vcpu.run.exit(KVM_EXIT_SHUTDOWN);
  return 0;
}

/** kvm_emulate_monitor, kvm_emulate_mwait: instructions that CPUID does not offer, done as NOPs all the same. */
function handleMonitor(vcpu: KvmVcpu): number {
  vcpu.cpu.skipInstruction();
  return 1;
}

/** An address whose EPT entry is missing or forbids the access. */
function handleEptViolation(vcpu: KvmVcpu): number {
  const { exit } = vcpu.cpu;
  blockNmisAgain(vcpu);
  vcpu.violation = exit.qualification;
  if (watch.on && kvmPageFault.on)
    kvmPageFault(vcpu.vm.kernel.stream, {
      vcpu: vcpu.id,
      rip: vcpu.cpu.rip,
      address: exit.guestPhysical,
      errorCode: exit.qualification,
    });
  return pageFault(vcpu);
}

/** An IRET that has unblocked NMIs will be executed once more. */
function blockNmisAgain({ cpu }: KvmVcpu): void {
  const { idtVectoring, qualification } = cpu.exit;
  if (idtVectoring === 0 && (qualification & EPT_QUALIFICATION.NMI_UNBLOCKING) !== 0)
    cpu.interruptibility |= INTERRUPTIBILITY.NMI;
}

/** An MMIO entry was hit: KVM does not know yet whether to read or write. */
export function handleEptMisconfig(vcpu: KvmVcpu): number {
  const { cpu, vm } = vcpu;
  const gpa = cpu.exit.guestPhysical;
  if (!vm.fastMmioBus.empty && vm.fastMmioBus.write(gpa, NO_DATA) === 0) {
    if (watch.on && kvmFastMmio.on) kvmFastMmio(vm.kernel.stream, { gpa });
    cpu.skipInstruction();
    return 1;
  }
  const result = vm.mmu.mmioPageFault(vcpu.mmioCache, gpa);
  if (result === RET_PF_EMULATE) return emulateInstruction(vcpu);
  return result === RET_PF_INVALID ? pageFault(vcpu) : Math.min(result, 1);
}

/** kvm_mmu_page_fault. */
function pageFault(vcpu: KvmVcpu): number {
  const { exit } = vcpu.cpu;
  const { fault } = vcpu;
  fault.gpa = exit.guestPhysical;
  fault.errorCode = exit.reason === EXIT_REASON.EPT_VIOLATION ? pferr(exit.qualification) : PFERR.RSVD;
  const result = vcpu.vm.mmu.pageFault(vcpu.mmioCache, fault);
  count(vcpu.stats, result);
  return result === RET_PF_EMULATE ? emulateInstruction(vcpu) : Math.min(result, 1);
}

/** handle_ept_violation: an EPT violation as a page fault. After a misconfiguration the qualification says nothing. */
const pferr = (qualification: number): number =>
  (qualification & EPT_QUALIFICATION.READ ? PFERR.USER : 0) |
  (qualification & EPT_QUALIFICATION.WRITE ? PFERR.WRITE : 0) |
  (qualification & EPT_QUALIFICATION.FETCH ? PFERR.FETCH : 0) |
  (qualification & ANY_RIGHT ? PFERR.PRESENT : 0);

/** kvm_mmu_do_page_fault: statistics by outcome. */
function count(stats: VcpuStats, result: number): void {
  stats.pf_taken++;
  if (result === RET_PF_FIXED) stats.pf_fixed++;
  else if (result === RET_PF_EMULATE) stats.pf_emulate++;
  else if (result === RET_PF_SPURIOUS) stats.pf_spurious++;
}

/** handle_pml_full: the log was emptied at the exit already. */
function handlePmlFull(vcpu: KvmVcpu): number {
  blockNmisAgain(vcpu);
  if (kvmPmlFull.on) kvmPmlFull(vcpu.vm.kernel.stream, { vcpu: vcpu.id });
  return 1;
}

/** handle_interrupt_window, handle_nmi_window, handle_tpr_below_threshold: what waits can be delivered now. */
const handleWindow: Handler = (vcpu) => {
  if (vcpu.cpu.exit.reason === EXIT_REASON.INTERRUPT_WINDOW) vcpu.stats.irq_window_exits++;
  else if (vcpu.cpu.exit.reason === EXIT_REASON.NMI_WINDOW) vcpu.stats.nmi_window_exits++;
  vcpu.eventRequested = true;
  return 1;
};

/** The run loop looks after the instruction limit. */
const handlePreemptionTimer: Handler = () => 1;

const handlers: (Handler | undefined)[] = [];
handlers[EXIT_REASON.EXCEPTION_NMI] = handleException;
handlers[EXIT_REASON.TRIPLE_FAULT] = handleTripleFault;
handlers[EXIT_REASON.CPUID] = emulateCpuid;
handlers[EXIT_REASON.HLT] = handleHlt;
handlers[EXIT_REASON.VMCALL] = handleVmcall;
handlers[EXIT_REASON.IO_INSTRUCTION] = handleIo;
handlers[EXIT_REASON.MSR_READ] = emulateRdmsr;
handlers[EXIT_REASON.MSR_WRITE] = emulateWrmsr;
handlers[EXIT_REASON.MWAIT] = handleMonitor;
handlers[EXIT_REASON.MONITOR] = handleMonitor;
handlers[EXIT_REASON.EPT_VIOLATION] = handleEptViolation;
handlers[EXIT_REASON.EPT_MISCONFIG] = handleEptMisconfig;
handlers[EXIT_REASON.INTERRUPT_WINDOW] = handleWindow;
handlers[EXIT_REASON.NMI_WINDOW] = handleWindow;
handlers[EXIT_REASON.TPR_BELOW_THRESHOLD] = handleWindow;
handlers[EXIT_REASON.PML_FULL] = handlePmlFull;
handlers[EXIT_REASON.PREEMPTION_TIMER] = handlePreemptionTimer;

/** Exits that leave an event deliverable. */
const IN_DELIVERY: ReadonlySet<ExitReason> = new Set([
  EXIT_REASON.EXCEPTION_NMI,
  EXIT_REASON.EPT_VIOLATION,
  EXIT_REASON.PML_FULL,
]);

/** What it says of the qualification is that of the last EPT violation (vcpu->arch.exit_qualification). */
function deliveryFailed({ cpu, run, violation }: KvmVcpu, reason: ExitReason): number {
  const { idtVectoring, guestPhysical } = cpu.exit;
  const where = reason === EXIT_REASON.EPT_MISCONFIG ? [guestPhysical] : [];
  run.deliveryFailed([idtVectoring, reason, violation, ...where, LAST_VMENTRY_CPU]);
  return 0;
}

/** vmx_handle_exit. */
export function handleExit(vcpu: KvmVcpu, reason: ExitReason): number {
  if (vcpu.cpu.modificationLog.page !== undefined) vcpu.flushModificationLog();
  if (vcpu.cpu.exit.idtVectoring !== 0 && !IN_DELIVERY.has(reason)) return deliveryFailed(vcpu, reason);
  const handler = handlers[reason];
  if (handler !== undefined) return handler(vcpu);
  vcpu.run.unexpectedExit(reason);
  return 0;
}
