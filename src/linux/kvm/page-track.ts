/**
 * Write tracking: another part of the kernel sees every guest write to chosen frames (arch/x86/kvm/mmu/page_track.c, what
 * a mediated GPU uses for the guest's page tables). The frame is write-protected; a write is emulated, and after it
 * happened each notifier is told. Writes by kvm_write_guest are not tracked.
 */

import type { Gpa } from '../../address.ts';
import type { Memslot } from './memslots.ts';
import type { Mmu } from './mmu.ts';
import { forbidWriteForGood, isPresent } from './spte.ts';

/** `struct kvm_page_track_notifier_node`. */
export interface PageTrackNotifier {
  /** The guest has written `data` at `gpa`, whether or not that frame is tracked. */
  trackWrite?(gpa: Gpa, data: Uint8Array): void;
  /** The slot is being deleted or moved: what was tracked in it is no longer. */
  trackFlushSlot?(slot: Memslot): void;
}

export class PageTrack {
  readonly #mmu: Mmu;
  /** Newest first, as hlist_add_head_rcu puts them. */
  readonly #notifiers: PageTrackNotifier[] = [];

  constructor(mmu: Mmu) {
    this.#mmu = mmu;
  }

  register(notifier: PageTrackNotifier): void {
    this.#notifiers.unshift(notifier);
  }

  unregister(notifier: PageTrackNotifier): void {
    const at = this.#notifiers.indexOf(notifier);
    if (at >= 0) this.#notifiers.splice(at, 1);
  }

  add(slot: Memslot, gfn: number): void {
    slot.tracked.set(gfn, (slot.tracked.get(gfn) ?? 0) + 1);
    const { tables } = this.#mmu;
    if (tables === undefined) return;
    // A large leaf is protected whole; the next write in it makes room for small ones, for which it has to go.
    const protect = (entry: bigint) => (isPresent(entry) ? forbidWriteForGood(entry) : entry);
    if (tables.changeLeaves(gfn, gfn + 1, protect)) this.#mmu.flushTranslations();
  }

  /** The next write fault maps the frame writable again. */
  remove(slot: Memslot, gfn: number): void {
    const count = slot.tracked.get(gfn);
    if (count === undefined) return;
    if (count > 1) slot.tracked.set(gfn, count - 1);
    else slot.tracked.delete(gfn);
  }

  /** kvm_page_track_write: the emulator has written guest memory. */
  written(gpa: Gpa, data: Uint8Array): void {
    for (const notifier of this.#notifiers) notifier.trackWrite?.(gpa, data);
  }

  /** kvm_page_track_flush_slot. */
  flushSlot(slot: Memslot): void {
    for (const notifier of this.#notifiers) notifier.trackFlushSlot?.(slot);
  }
}
