/**
 * RDMSR and WRMSR beyond what the CPU does itself: found in KVM's own registers, or #GP in the guest
 * (arch/x86/kvm/x86.c: kvm_emulate_rdmsr, kvm_emulate_wrmsr).
 */

import { VECTOR } from '../../hardware/vcpu/pending-event.ts';
import {
  KVM_EXIT_X86_RDMSR,
  KVM_EXIT_X86_WRMSR,
  KVM_MSR_EXIT_REASON_FILTER,
  KVM_MSR_EXIT_REASON_INVAL,
  KVM_MSR_EXIT_REASON_UNKNOWN,
  KVM_RUN_UNION,
  kvm_run_msr,
  RUN_MSR_DATA,
  RUN_MSR_ERROR,
} from '../uapi/kvm-run.ts';
import { RAX, RCX, RDX } from './cpu.ts';
import { findCpuid, maxPhysicalBits } from './cpuid.ts';
import {
  isWithheld,
  keptMsr,
  MSR_IA32_APIC_BASE,
  MSR_IA32_TSC,
  MSR_IA32_TSC_ADJUST,
  MSR_TSC_AUX,
  validApicBase,
} from './msr-table.ts';
import { kvmMsr } from './trace.ts';
import type { KvmVcpu } from './vcpu.ts';

/** Microcode to load: nobody does. */
const MSR_IA32_UCODE_WRITE = 0x79;
const LEAF_7_TSC_ADJUST = 1 << 1;
const LEAF_7_RDPID = 1 << 22;
const EXTENDED_RDTSCP = 1 << 27;

/** Whether CPUID offers an instruction that reads TSC_AUX, without which the guest has none. */
const hasTscAux = ({ cpuid }: KvmVcpu): boolean =>
  ((findCpuid(cpuid, 0x80000001, 0)?.edx ?? 0) & EXTENDED_RDTSCP) !== 0 ||
  ((findCpuid(cpuid, 7, 0)?.ecx ?? 0) & LEAF_7_RDPID) !== 0;

/** kvm_get_msr: `undefined` if neither the CPU nor KVM has it for the guest. `host`: user space reads it. */
export function readMsr(vcpu: KvmVcpu, index: number, host: boolean): bigint | undefined {
  if (index === MSR_IA32_APIC_BASE) return vcpu.apicBase;
  if (index === MSR_IA32_TSC_ADJUST) return vcpu.tscAdjust;
  if (index === MSR_TSC_AUX && !host && !hasTscAux(vcpu)) return undefined;
  const own = keptMsr(index);
  return own === undefined ? vcpu.cpu.readMsr(index) : (vcpu.msrs.get(index) ?? own.reset);
}

/** kvm_set_msr: false if there is no such MSR or it refuses the value. `host`: user space writes it, not the guest. */
export function writeMsr(vcpu: KvmVcpu, index: number, value: bigint, host: boolean): boolean {
  const { cpu } = vcpu;
  switch (index) {
    case MSR_IA32_APIC_BASE:
      if (!validApicBase(value, maxPhysicalBits(vcpu))) return false;
      vcpu.apicBase = value;
      return true;
    case MSR_IA32_TSC: {
      const by = value - cpu.readMsr(MSR_IA32_TSC)!;
      cpu.tscShift = BigInt.asUintN(64, cpu.tscShift + by);
      if (!host) vcpu.tscAdjust = BigInt.asUintN(64, vcpu.tscAdjust + by);
      return true;
    }
    case MSR_IA32_TSC_ADJUST: {
      if ((findCpuid(vcpu.cpuid, 7, 0)?.ebx ?? 0) & LEAF_7_TSC_ADJUST) {
        if (!host) cpu.tscShift = BigInt.asUintN(64, cpu.tscShift + value - vcpu.tscAdjust);
        vcpu.tscAdjust = value;
      }
      return true;
    }
    case MSR_IA32_UCODE_WRITE:
      return true;
    case MSR_TSC_AUX:
      if (!host && !hasTscAux(vcpu)) return false;
  }
  const own = keptMsr(index);
  if (own === undefined) return cpu.writeMsr(index, value, !host);
  const written =
    host && own.strict !== true ? value : own.write(value, vcpu.msrs.get(index) ?? own.reset, maxPhysicalBits(vcpu));
  if (written === undefined) return false;
  vcpu.msrs.set(index, written);
  return true;
}

/** RDMSR that the CPU left to KVM: 1, the guest goes on, with #GP if there is no such MSR. */
export function emulateRdmsr(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  const index = Number(BigInt.asUintN(32, cpu.register(RCX)));
  const filtered = vcpu.vm.msrFilter?.allows(index, false) === false;
  const value = filtered ? undefined : readMsr(vcpu, index, false);
  if (value === undefined) {
    const refused = isWithheld(index) ? KVM_MSR_EXIT_REASON_INVAL : KVM_MSR_EXIT_REASON_UNKNOWN;
    if (askUserSpace(vcpu, KVM_EXIT_X86_RDMSR, filtered ? KVM_MSR_EXIT_REASON_FILTER : refused, index, 0n)) {
      vcpu.completion = completeRead;
      return 0;
    }
    trace(vcpu, false, index, 0n, true);
    return generalProtection(vcpu);
  }
  trace(vcpu, false, index, value, false);
  return giveValue(vcpu, value);
}

function giveValue({ cpu }: KvmVcpu, value: bigint): number {
  cpu.setRegister(RAX, BigInt.asUintN(32, value));
  cpu.setRegister(RDX, value >> 32n);
  cpu.skipInstruction();
  return 1;
}

/** kvm_msr_user_space: true if user space has asked for what goes wrong for this reason; kvm_run is filled. */
function askUserSpace({ run, vm }: KvmVcpu, exit: number, reason: number, index: number, data: bigint): boolean {
  if ((vm.userSpaceMsrs & reason) === 0) return false;
  run.exit(exit);
  kvm_run_msr.write(run.view, { reason, index, data }, KVM_RUN_UNION);
  return true;
}

/** complete_fast_rdmsr. */
const completeRead = (vcpu: KvmVcpu): number => {
  const { view } = vcpu.run;
  if (view.getUint8(RUN_MSR_ERROR) !== 0) return generalProtection(vcpu);
  return giveValue(vcpu, view.getBigUint64(RUN_MSR_DATA, true));
};

/** complete_fast_msr_access. */
const completeWrite = (vcpu: KvmVcpu): number => {
  if (vcpu.run.view.getUint8(RUN_MSR_ERROR) !== 0) return generalProtection(vcpu);
  vcpu.cpu.skipInstruction();
  return 1;
};

/** WRMSR that the CPU left to KVM. */
export function emulateWrmsr(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  const index = Number(BigInt.asUintN(32, cpu.register(RCX)));
  const value = (BigInt.asUintN(32, cpu.register(RDX)) << 32n) | BigInt.asUintN(32, cpu.register(RAX));
  const filtered = vcpu.vm.msrFilter?.allows(index, true) === false;
  const done = !filtered && writeMsr(vcpu, index, value, false);
  if (!done) {
    const known = isWithheld(index) || (readMsr(vcpu, index, false) !== undefined && keptMsr(index)?.readOnly !== true);
    const refused = known ? KVM_MSR_EXIT_REASON_INVAL : KVM_MSR_EXIT_REASON_UNKNOWN;
    if (askUserSpace(vcpu, KVM_EXIT_X86_WRMSR, filtered ? KVM_MSR_EXIT_REASON_FILTER : refused, index, value)) {
      vcpu.completion = completeWrite;
      return 0;
    }
  }
  trace(vcpu, true, index, value, !done);
  if (!done) return generalProtection(vcpu);
  cpu.skipInstruction();
  return 1;
}

function generalProtection(vcpu: KvmVcpu): number {
  vcpu.queueException(VECTOR.GP, 0);
  return 1;
}

function trace(vcpu: KvmVcpu, write: boolean, index: number, data: bigint, fault: boolean): void {
  if (kvmMsr.on) kvmMsr(vcpu.vm.kernel.stream, { write, index, data, fault });
}
