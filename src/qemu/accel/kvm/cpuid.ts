/** What the guest's CPUID answers: all that KVM supports, as `-cpu host` would give (target/i386/kvm/kvm.c). */

import { hva } from '../../../address.ts';
import { E2BIG, strerror } from '../../../linux/uapi/errno.ts';
import { KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2, kvm_cpuid_entry2, kvm_cpuid2 } from '../../../linux/uapi/kvm.ts';
import { ConfigurationError, Fatal } from '../../error.ts';
import type { System } from '../../system.ts';
import type { KvmState } from './kvm-all.ts';

/** get_supported_cpuid: KVM says E2BIG until the list is long enough, so it is doubled from 1. Returns the entries' bytes. */
export function supportedCpuid(system: System, kvm: KvmState): Uint8Array {
  for (let count = 1; count <= 1024; count *= 2) {
    const entries = system.heap.scoped(() => {
      const at = system.heap.put(kvm_cpuid2, { nent: count }, new Uint8Array(count * kvm_cpuid_entry2.size));
      const result = system.ioctl(kvm.fd, KVM_GET_SUPPORTED_CPUID, at);
      if (result === -E2BIG) return undefined;
      if (result < 0) throw new Fatal(`KVM_GET_SUPPORTED_CPUID failed: ${strerror(-result)}`);
      const filled = Math.min(system.heap.get(kvm_cpuid2, at).nent, count);
      return system.memory.read(hva(at + kvm_cpuid2.size), filled * kvm_cpuid_entry2.size);
    });
    // As try_get_cpuid: a list that is exactly full may have been cut.
    if (entries !== undefined && entries.length < count * kvm_cpuid_entry2.size) return entries;
  }
  throw new Fatal('KVM_GET_SUPPORTED_CPUID: list too long');
}

/** Give `entries` to a vCPU. */
export function setCpuid(system: System, vcpuFd: number, entries: Uint8Array): void {
  const nent = entries.length / kvm_cpuid_entry2.size;
  const result = system.ioctlStruct(vcpuFd, KVM_SET_CPUID2, kvm_cpuid2, { nent }, entries);
  if (result < 0) throw new ConfigurationError(`kvm_init_vcpu: kvm_arch_init_vcpu failed (0): ${strerror(-result)}`);
}
