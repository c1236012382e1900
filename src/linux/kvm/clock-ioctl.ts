/**
 * kvmclock and the rate of the time-stamp counter, as user space reads and sets them (arch/x86/kvm/x86.c: get_kvmclock,
 * kvm_vm_ioctl_set_clock, kvm_set_tsc_khz).
 */

import { EINVAL } from '../uapi/errno.ts';
import {
  KVM_CLOCK_HOST_TSC,
  KVM_CLOCK_REALTIME,
  KVM_CLOCK_TSC_STABLE,
  KVM_GET_CLOCK,
  KVM_GET_TSC_KHZ,
  KVM_KVMCLOCK_CTRL,
  KVM_SET_CLOCK,
  KVM_SET_TSC_KHZ,
  kvm_clock_data,
} from '../uapi/kvm.ts';
import type { IoctlTable } from './ioctl-table.ts';
import type { KvmVcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

const KNOWN_FLAGS = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
/** The counter counts nanoseconds of virtual time. */
export const TSC_KHZ = 1_000_000;
/** tsc_tolerance_ppm: a rate this close needs no scaling. */
const TOLERANCE = (TSC_KHZ * 250) / 1_000_000;

/** Add KVM_GET/SET_CLOCK to the VM's table. */
export const clockIoctls = (table: IoctlTable<Vm>): IoctlTable<Vm> =>
  table
    // There is no wall clock to pair it with: KVM_CLOCK_REALTIME and HOST_TSC are not among the flags.
    .gives(KVM_GET_CLOCK, kvm_clock_data, (vm) => ({
      clock: BigInt(Math.round(vm.kernel.clock.now) + vm.clockOffset),
      flags: KVM_CLOCK_TSC_STABLE,
    }))
    .takes(KVM_SET_CLOCK, kvm_clock_data, (vm, { clock, flags }) => {
      if (flags & ~KNOWN_FLAGS) return vm.kernel.refuse(EINVAL, 'unknown flags of kvmclock');
      vm.clockOffset = Number(clock) - Math.round(vm.kernel.clock.now);
      return 0;
    });

/** Add the rows about a vCPU's counter and its kvmclock page to the vCPU's table. */
export const tscIoctls = (table: IoctlTable<KvmVcpu>): IoctlTable<KvmVcpu> =>
  table
    .plain(KVM_GET_TSC_KHZ, () => TSC_KHZ)
    // Fidelity: Linux would follow a faster rate than the CPU's by catching up at each entry (tsc_always_catchup).
    .plain(KVM_SET_TSC_KHZ, ({ kernel }, khz) =>
      khz === 0 || Math.abs(khz - TSC_KHZ) <= TOLERANCE
        ? 0
        : kernel.refuse(EINVAL, `the CPU cannot scale its time-stamp counter of ${TSC_KHZ} kHz`),
    )
    // kvm_set_guest_paused: CPUID offers the guest no kvmclock, so no guest has switched its page on.
    .plain(KVM_KVMCLOCK_CTRL, ({ kernel }) => kernel.refuse(EINVAL, 'the guest has not switched kvmclock on'));
