/** KVM_SET_GUEST_DEBUG: user space debugs the guest (include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h). */

import { takes } from './kvm-declare.ts';
import { bytes, struct, u32, u64 } from './struct.ts';

export const KVM_GUESTDBG_ENABLE = 1;
export const KVM_GUESTDBG_SINGLESTEP = 2;
export const KVM_GUESTDBG_USE_SW_BP = 0x10000;
export const KVM_GUESTDBG_USE_HW_BP = 0x20000;
export const KVM_GUESTDBG_INJECT_DB = 0x40000;
export const KVM_GUESTDBG_INJECT_BP = 0x80000;
export const KVM_GUESTDBG_BLOCKIRQ = 0x100000;

/** `debugreg` is DR0–DR7, of which 0–3 and 7 count. */
export const kvm_guest_debug = struct('kvm_guest_debug', { control: u32, pad: u32, debugreg: bytes(64) });
export const KVM_SET_GUEST_DEBUG = takes(
  'KVM_SET_GUEST_DEBUG',
  0x9b,
  kvm_guest_debug,
  'Single steps and breakpoints of user space.',
);
/** Union member of KVM_EXIT_DEBUG: what stopped the guest, and where. */
export const kvm_debug_exit_arch = struct('kvm_debug_exit_arch', {
  exception: u32,
  pad: u32,
  pc: u64,
  dr6: u64,
  dr7: u64,
});
