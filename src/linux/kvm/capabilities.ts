/** KVM_CHECK_EXTENSION: what this KVM can do (arch/x86/kvm/x86.c: kvm_vm_ioctl_check_extension). */

import { PAGE_SIZE } from '../../address.ts';
import { KVM_CLOCK_TSC_STABLE } from '../uapi/kvm.ts';
import { KVM_CAP } from '../uapi/kvm-capability.ts';
import { KVM_COALESCED_RING_OFFSET } from '../uapi/kvm-run.ts';
import { INITIALLY_SET, MANUAL_PROTECT_ENABLE } from './dirty-log.ts';
import { MAX_RING_BYTES } from './dirty-ring-ioctl.ts';
import { GUESTDBG_VALID } from './guest-debug.ts';
import { MAX_ROUTES } from './irq-routing.ts';
import { KVM_ADDRESS_SPACES, KVM_USER_MEM_SLOTS } from './memslots.ts';
import { SYNCED_SETS } from './sync-regs.ts';

export const KVM_MAX_VCPUS = 1024;
export const KVM_MAX_VCPU_IDS = 4096;
/** num_online_cpus of the modeled host. */
const ONLINE_CPUS = 1;

/** What is not listed is not modeled, and answers 0. */
const capabilities: ReadonlyMap<number, number> = new Map<number, number>([
  [KVM_CAP.IRQCHIP, 1],
  [KVM_CAP.HLT, 1],
  [KVM_CAP.USER_MEMORY, 1],
  [KVM_CAP.SET_TSS_ADDR, 1],
  [KVM_CAP.EXT_CPUID, 1],
  [KVM_CAP.NR_VCPUS, ONLINE_CPUS],
  [KVM_CAP.NR_MEMSLOTS, KVM_USER_MEM_SLOTS],
  [KVM_CAP.PIT, 1],
  [KVM_CAP.MP_STATE, 1],
  [KVM_CAP.COALESCED_MMIO, KVM_COALESCED_RING_OFFSET / PAGE_SIZE],
  [KVM_CAP.SYNC_MMU, 1],
  [KVM_CAP.DESTROY_MEMORY_REGION_WORKS, 1],
  [KVM_CAP.USER_NMI, 1],
  [KVM_CAP.REINJECT_CONTROL, 1],
  [KVM_CAP.IRQ_ROUTING, MAX_ROUTES],
  [KVM_CAP.IRQ_INJECT_STATUS, 1],
  [KVM_CAP.IRQFD, 1],
  [KVM_CAP.PIT2, 1],
  [KVM_CAP.SET_BOOT_CPU_ID, 1],
  [KVM_CAP.VCPU_EVENTS, 1],
  [KVM_CAP.SIGNAL_MSI, 1],
  [KVM_CAP.IRQFD_RESAMPLE, 1],
  [KVM_CAP.JOIN_MEMORY_REGIONS_WORKS, 1],
  [KVM_CAP.IOEVENTFD, 1],
  [KVM_CAP.SET_IDENTITY_MAP_ADDR, 1],
  [KVM_CAP.INTERNAL_ERROR_DATA, 1],
  [KVM_CAP.MAX_VCPUS, KVM_MAX_VCPUS],
  [KVM_CAP.READONLY_MEM, 1],
  [KVM_CAP.SET_GUEST_DEBUG, 1],
  [KVM_CAP.X86_ROBUST_SINGLESTEP, 1],
  [KVM_CAP.DEBUGREGS, 1],
  [KVM_CAP.ENABLE_CAP, 1],
  [KVM_CAP.XSAVE, 1],
  [KVM_CAP.ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE],
  [KVM_CAP.GET_TSC_KHZ, 1],
  [KVM_CAP.SYNC_REGS, SYNCED_SETS],
  [KVM_CAP.KVMCLOCK_CTRL, 1],
  [KVM_CAP.GET_MSR_FEATURES, 1],
  [KVM_CAP.HALT_POLL, 1],
  [KVM_CAP.X86_USER_SPACE_MSR, 1],
  [KVM_CAP.X86_MSR_FILTER, 1],
  [KVM_CAP.BINARY_STATS_FD, 1],
  [KVM_CAP.DEVICE_CTRL, 1],
  [KVM_CAP.IOAPIC_POLARITY_IGNORED, 1],
  [KVM_CAP.ENABLE_CAP_VM, 1],
  [KVM_CAP.IOEVENTFD_NO_LENGTH, 1],
  [KVM_CAP.CHECK_EXTENSION_VM, 1],
  [KVM_CAP.MULTI_ADDRESS_SPACE, KVM_ADDRESS_SPACES],
  [KVM_CAP.IOEVENTFD_ANY_LENGTH, 1],
  [KVM_CAP.MAX_VCPU_ID, KVM_MAX_VCPU_IDS],
  [KVM_CAP.IMMEDIATE_EXIT, 1],
  [KVM_CAP.COALESCED_PIO, 1],
  [KVM_CAP.IOREGIONFD, 1],
  [KVM_CAP.DIRTY_LOG_RING, MAX_RING_BYTES],
  [KVM_CAP.DIRTY_LOG_RING_ACQ_REL, MAX_RING_BYTES],
  [KVM_CAP.SET_GUEST_DEBUG2, GUESTDBG_VALID],
  [KVM_CAP.EXIT_ON_EMULATION_FAILURE, 1],
  [KVM_CAP.SYSTEM_EVENT_DATA, 1],
  [KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2, Number(MANUAL_PROTECT_ENABLE | INITIALLY_SET)],
]);

/** Never an error: an unknown capability is an absent one. */
export const checkExtension = (capability: number): number => capabilities.get(capability) ?? 0;
