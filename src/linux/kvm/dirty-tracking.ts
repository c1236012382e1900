/**
 * How KVM learns that the guest has written a page of a logged slot: by taking the write permission away, or, where the
 * CPU logs modifications (PML), by clearing the dirty bit (arch/x86/kvm/mmu/mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked;
 * x86.c: kvm_mmu_slot_apply_flags).
 */

import type { EptTables } from './ept-tables.ts';
import { mappingLevel } from './huge-pages.ts';
import { logsDirtyPages, type Memslot, type Memslots, slotHva } from './memslots.ts';
import type { Mmu } from './mmu.ts';
import { clearDirty, forbidWrite, isPresent } from './spte.ts';

export class DirtyTracking {
  readonly #mmu: Mmu;
  readonly #memslots: Memslots;
  /** The CPU logs the pages whose dirty bit it sets. */
  readonly #modificationLog: boolean;
  /** KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE. */
  manual = false;

  constructor(mmu: Mmu, memslots: Memslots, modificationLog: boolean) {
    this.#mmu = mmu;
    this.#memslots = memslots;
    this.#modificationLog = modificationLog;
  }

  /** kvm_mmu_slot_apply_flags. */
  loggingChanged(slot: Memslot): void {
    const { tables } = this.#mmu;
    if (tables === undefined) return;
    const end = slot.baseGfn + slot.pages;
    if (!logsDirtyPages(slot)) {
      this.#collapse(tables, slot, end);
      return;
    }
    // All pages count as dirty already: they are protected when user space clears their bits.
    if (this.#memslots.initiallyDirty) return;
    tables.splitLeaves(slot.baseGfn, end);
    tables.changeLeaves(slot.baseGfn, end, this.#forget);
    this.#mmu.flushTranslations();
  }

  /** The reported or cleared `pages` of `slot` (indexes): their next write must be seen. */
  protect(slot: Memslot, pages: readonly number[]): void {
    const { tables } = this.#mmu;
    if (tables === undefined || pages.length === 0) return;
    for (const page of pages) {
      const gfn = slot.baseGfn + page;
      // Large leaves are left where logging began with all bits set; they are split here, and write-protected if they cannot be.
      tables.splitLeaves(gfn, gfn + 1);
      tables.changeLeaves(gfn, gfn + 1, this.#forget);
    }
    this.#mmu.flushTranslations();
  }

  /** Large leaves are protected with a modification log as well: they must be split before a page of them counts. */
  readonly #forget = (entry: bigint, level: number): bigint => {
    if (!isPresent(entry)) return entry;
    return this.#modificationLog && level === 1 ? clearDirty(entry) : forbidWrite(entry);
  };

  /** kvm_mmu_zap_collapsible_sptes: small leaves that a large one may stand for now go; the next fault makes the large one. */
  #collapse(tables: EptTables, slot: Memslot, end: number): void {
    const { mm } = this.#mmu;
    let dropped = false;
    for (const level of [3, 2]) {
      const larger = (gfn: number) => mappingLevel(slot, gfn, mm.mappingLevel(slotHva(slot, gfn))) >= level;
      if (tables.dropTables(slot.baseGfn, end, level, larger)) dropped = true;
    }
    if (dropped) this.#mmu.flushTranslations();
  }
}
