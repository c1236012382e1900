/**
 * KVM_X86_SET_MSR_FILTER: a refused MSR is #GP for the guest, or user space's if it asked for it with
 * KVM_CAP_X86_USER_SPACE_MSR (arch/x86/kvm/x86.c: kvm_vm_ioctl_set_msr_filter).
 */

import { copyFromUser, refusePointer } from '../core/uaccess.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import {
  KVM_MSR_FILTER_DEFAULT_DENY,
  KVM_MSR_FILTER_READ,
  KVM_MSR_FILTER_WRITE,
  type kvm_msr_filter,
  kvm_msr_filter_range,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { MsrFilter, type MsrRange } from './msr-filter.ts';
import type { Vm } from './vm.ts';

const RANGES = 16;
const LARGEST_BITMAP = 0x600;
const KNOWN_FLAGS = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;

/** KVM_X86_SET_MSR_FILTER: 0, -EINVAL, -EFAULT or -ENOMEM; a refused filter leaves the old one. */
export function setMsrFilter(vm: Vm, filter: StructOf<typeof kvm_msr_filter>): number {
  const { kernel } = vm;
  if (filter.flags & ~KVM_MSR_FILTER_DEFAULT_DENY) return kernel.refuse(EINVAL, 'unknown flags of an MSR filter');
  const allowByDefault = (filter.flags & KVM_MSR_FILTER_DEFAULT_DENY) === 0;
  const view = new DataView(filter.ranges.buffer);
  const asked = Array.from({ length: RANGES }, (_, index) =>
    kvm_msr_filter_range.read(view, index * kvm_msr_filter_range.size),
  ).filter(({ nmsrs }) => nmsrs !== 0);
  if (asked.length === 0 && !allowByDefault) return kernel.refuse(EINVAL, 'a filter that refuses all MSRs has ranges');
  if (!kernel.kmalloc('struct kvm_x86_msr_filter')) return -ENOMEM;
  const ranges: MsrRange[] = [];
  for (const { flags, base, nmsrs, bitmap } of asked) {
    if (flags & ~KNOWN_FLAGS || flags === 0) return kernel.refuse(EINVAL, 'a range filters reads, writes or both');
    const bytes = Math.ceil(nmsrs / 64) * 8;
    if (bytes > LARGEST_BITMAP) return kernel.refuse(EINVAL, `a range has at most ${LARGEST_BITMAP * 8} MSRs`);
    if (!kernel.kmalloc('the bitmap of an MSR filter')) return -ENOMEM;
    const bits = new Uint8Array(bytes);
    if (copyFromUser(kernel, bits, Number(bitmap)) < 0) return refusePointer(kernel, Number(bitmap), bytes);
    ranges.push({ flags, base, count: nmsrs, bitmap: bits });
  }
  vm.msrFilter = new MsrFilter(allowByDefault, ranges);
  for (const vcpu of vm.vcpus) vcpu.interceptMsrs();
  return 0;
}
