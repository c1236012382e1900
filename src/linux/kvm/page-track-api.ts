/**
 * Write tracking as other parts of the kernel call it (EXPORT_SYMBOL of arch/x86/kvm/mmu/page_track.c). `kvm` is the
 * opaque pointer that VFIO gave.
 */

import { kvmOf } from './guest-memory.ts';
import type { Memslot } from './memslots.ts';
import type { PageTrackNotifier } from './page-track.ts';

/** Be told of every write that KVM emulates, which is each one to a tracked frame. */
export const kvm_page_track_register_notifier = (kvm: object, notifier: PageTrackNotifier): void =>
  kvmOf(kvm).pageTrack.register(notifier);

export const kvm_page_track_unregister_notifier = (kvm: object, notifier: PageTrackNotifier): void =>
  kvmOf(kvm).pageTrack.unregister(notifier);

/** Track writes to frame `gfn` of `slot`; counts, so every call needs its {@link kvm_slot_page_track_remove_page}. */
export const kvm_slot_page_track_add_page = (kvm: object, slot: Memslot, gfn: number): void =>
  kvmOf(kvm).pageTrack.add(slot, gfn);

export const kvm_slot_page_track_remove_page = (kvm: object, slot: Memslot, gfn: number): void =>
  kvmOf(kvm).pageTrack.remove(slot, gfn);
