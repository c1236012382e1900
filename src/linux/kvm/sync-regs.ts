/** Register sets in kvm_run, which spare user space the ioctls (KVM_CAP_SYNC_REGS; arch/x86/kvm/x86.c: sync_regs, store_regs). */

import { kvm_regs, kvm_sregs, kvm_vcpu_events } from '../uapi/kvm.ts';
import {
  KVM_SYNC_X86_EVENTS,
  KVM_SYNC_X86_REGS,
  KVM_SYNC_X86_SREGS,
  kvm_sync_regs,
  RUN_DIRTY_REGS,
  RUN_SYNC_REGS,
} from '../uapi/kvm-run.ts';
import { getEvents, setEvents } from './event-ioctl.ts';
import { getRegs, getSregs, setRegs, setSregs } from './registers.ts';
import type { KvmVcpu } from './vcpu.ts';

/** KVM_SYNC_X86_VALID_FIELDS. */
export const SYNCED_SETS = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
const REGS = RUN_SYNC_REGS + kvm_sync_regs.offsets.regs;
const SREGS = RUN_SYNC_REGS + kvm_sync_regs.offsets.sregs;
const EVENTS = RUN_SYNC_REGS + kvm_sync_regs.offsets.events;

/** sync_regs: take the sets that user space has changed, which are then no longer said to be; 0 or -EINVAL, with the bad one and those behind it not taken. */
export function takeRegisters(vcpu: KvmVcpu): number {
  const { view, words } = vcpu.run;
  const dirty = words[RUN_DIRTY_REGS >> 2]!;
  const taken = (set: number) => {
    words[RUN_DIRTY_REGS >> 2]! &= ~set;
  };
  if (dirty & KVM_SYNC_X86_REGS) {
    setRegs(vcpu, kvm_regs.read(view, REGS));
    taken(KVM_SYNC_X86_REGS);
  }
  if (dirty & KVM_SYNC_X86_SREGS) {
    const error = setSregs(vcpu, kvm_sregs.read(view, SREGS));
    if (error < 0) return error;
    taken(KVM_SYNC_X86_SREGS);
  }
  if (dirty & KVM_SYNC_X86_EVENTS) {
    const error = setEvents(vcpu, kvm_vcpu_events.read(view, EVENTS));
    if (error < 0) return error;
    taken(KVM_SYNC_X86_EVENTS);
  }
  return 0;
}

/** store_regs: show the sets that user space wants. */
export function storeRegisters(vcpu: KvmVcpu, wanted: number): void {
  const { view } = vcpu.run;
  if (wanted & KVM_SYNC_X86_REGS) kvm_regs.write(view, getRegs(vcpu), REGS);
  if (wanted & KVM_SYNC_X86_SREGS) kvm_sregs.write(view, getSregs(vcpu), SREGS);
  if (wanted & KVM_SYNC_X86_EVENTS) kvm_vcpu_events.write(view, getEvents(vcpu), EVENTS);
}
