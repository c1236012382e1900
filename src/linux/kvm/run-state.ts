/** What KVM_RUN leaves in kvm_run for user space, whatever it returns for (arch/x86/kvm/x86.c: post_kvm_run_save). */

import { RUN_APIC_BASE, RUN_CR8, RUN_VALID_REGS } from '../uapi/kvm-run.ts';
import { storeRegisters } from './sync-regs.ts';
import type { KvmVcpu } from './vcpu.ts';

/** post_kvm_run_save. Hot. */
export function saveRunState(vcpu: KvmVcpu): void {
  const { run } = vcpu;
  const { words } = run;
  run.setInterruptState(vcpu.cpu.interruptFlag, vcpu.lapic !== undefined || isReadyForInterrupt(vcpu));
  vcpu.cr8 = vcpu.cpu.taskPriority;
  words[RUN_CR8 >> 2] = vcpu.cr8;
  words[RUN_APIC_BASE >> 2] = vcpu.apicBaseLow;
  words[(RUN_APIC_BASE >> 2) + 1] = vcpu.apicBaseHigh;
  const wanted = words[RUN_VALID_REGS >> 2]!;
  if (wanted !== 0) storeRegisters(vcpu, wanted);
}

/** kvm_vcpu_ready_for_interrupt_injection: user space may call KVM_INTERRUPT. */
export const isReadyForInterrupt = ({ cpu, exceptionPending, interrupt, injected }: KvmVcpu): boolean =>
  cpu.interruptible && interrupt < 0 && injected === undefined && !exceptionPending;
