/**
 * RDMSR and WRMSR beyond what the CPU does itself: found in KVM's own registers, or #GP in the guest
 * (arch/x86/kvm/x86.c: kvm_emulate_rdmsr, kvm_emulate_wrmsr).
 */

import { RAX, RCX, RDX } from './cpu.ts';
import { keptMsrs, MSR_IA32_APIC_BASE } from './msr-table.ts';
import { kvmMsr } from './trace.ts';
import type { KvmVcpu } from './vcpu.ts';

/** kvm_get_msr: `undefined` if neither the CPU nor KVM has it. */
export function readMsr(vcpu: KvmVcpu, index: number): bigint | undefined {
  if (index === MSR_IA32_APIC_BASE) return vcpu.apicBase;
  return vcpu.msrs.get(index) ?? vcpu.cpu.readMsr(index);
}

/** kvm_set_msr: false if there is no such MSR or it refuses the value. */
export function writeMsr(vcpu: KvmVcpu, index: number, value: bigint): boolean {
  if (index === MSR_IA32_APIC_BASE) {
    vcpu.apicBase = value;
    return true;
  }
  const own = keptMsrs.get(index);
  if (own === undefined) return vcpu.cpu.writeMsr(index, value);
  if ((value ^ vcpu.msrs.get(index)!) & ~own.writable) return false;
  vcpu.msrs.set(index, value);
  return true;
}

const GP_VECTOR = 13;

/** RDMSR that the CPU left to KVM: 1, the guest goes on, with #GP if there is no such MSR. */
export function emulateRdmsr(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  const index = Number(BigInt.asUintN(32, cpu.register(RCX)));
  const value = readMsr(vcpu, index);
  trace(vcpu, false, index, value ?? 0n, value === undefined);
  if (value === undefined) return generalProtection(vcpu);
  cpu.setRegister(RAX, BigInt.asUintN(32, value));
  cpu.setRegister(RDX, value >> 32n);
  cpu.skipInstruction();
  return 1;
}

/** WRMSR that the CPU left to KVM. */
export function emulateWrmsr(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  const index = Number(BigInt.asUintN(32, cpu.register(RCX)));
  const value = (BigInt.asUintN(32, cpu.register(RDX)) << 32n) | BigInt.asUintN(32, cpu.register(RAX));
  const done = writeMsr(vcpu, index, value);
  trace(vcpu, true, index, value, !done);
  if (!done) return generalProtection(vcpu);
  cpu.skipInstruction();
  return 1;
}

function generalProtection(vcpu: KvmVcpu): number {
  vcpu.queueException(GP_VECTOR, 0);
  return 1;
}

function trace(vcpu: KvmVcpu, write: boolean, index: number, data: bigint, fault: boolean): void {
  if (kvmMsr.on) kvmMsr(vcpu.vm.kernel.stream, { write, index, data, fault });
}
