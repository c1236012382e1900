/**
 * How KVM learns that the guest has written a page of a logged slot: by taking the write permission away, or, where the
 * CPU logs modifications (PML), by clearing the dirty bit (arch/x86/kvm/mmu/mmu.c: kvm_arch_mmu_enable_log_dirty_pt_masked;
 * x86.c: kvm_mmu_slot_apply_flags).
 */

import { BITS_PER_LONG } from './dirty-bitmap.ts';
import { type EptTables, FRAMES } from './ept-tables.ts';
import { mappingLevel } from './huge-pages.ts';
import { isReadonly, logsDirtyPages, type Memslot, type Memslots, slotHva } from './memslots.ts';
import type { Mmu } from './mmu.ts';
import { clearDirty, forbidWrite, forbidWriteForGood, isPresent } from './spte.ts';

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
    if (tables === undefined || isReadonly(slot)) return;
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

  /**
   * kvm_arch_mmu_enable_log_dirty_pt_masked: the reported or cleared `pages` of `slot` (indexes, in their order): their next write must be
   * seen. The caller flushes.
   */
  protect(slot: Memslot, pages: readonly number[]): void {
    const { tables } = this.#mmu;
    if (tables === undefined) return;
    for (let from = 0; from < pages.length; ) {
      const word = Math.floor(pages[from]! / BITS_PER_LONG);
      let to = from;
      while (to < pages.length && Math.floor(pages[to]! / BITS_PER_LONG) === word) to++;
      // Large leaves are left where logging began with all bits set.
      if (this.#memslots.initiallyDirty)
        this.#forgetLarge(tables, slot.baseGfn + pages[from]!, slot.baseGfn + pages[to - 1]!);
      for (; from < to; from++) {
        const gfn = slot.baseGfn + pages[from]!;
        tables.changeLeaves(gfn, gfn + 1, this.#forgetSmall);
      }
    }
  }

  /** The large leaves of one long of the bitmap are split as far as before its last page, and what is large still is write-protected. */
  #forgetLarge(tables: EptTables, first: number, last: number): void {
    tables.splitLeaves(first, last);
    tables.changeLeaves(first, first + 1, protectLarge);
    if (Math.floor(first / FRAMES[2]) !== Math.floor(last / FRAMES[2]))
      tables.changeLeaves(last, last + 1, protectLarge);
  }

  /** kvm_flush_remote_tlbs. */
  flush(): void {
    this.#mmu.flushTranslations();
  }

  /** Large leaves are protected with a modification log as well: they must be split before a page of them counts. */
  readonly #forget = (entry: bigint, level: number): bigint => {
    if (!isPresent(entry)) return entry;
    return this.#modificationLog && level === 1 ? clearDirty(entry) : forbidWrite(entry);
  };

  readonly #forgetSmall = (entry: bigint, level: number): bigint => (level === 1 ? this.#forget(entry, level) : entry);

  /** kvm_mmu_zap_collapsible_sptes: small leaves that a large one may stand for now go; the next fault makes the large one. */
  #collapse(tables: EptTables, slot: Memslot, end: number): void {
    const { mm } = this.#mmu;
    for (const level of [3, 2]) {
      const larger = (gfn: number) => mappingLevel(slot, gfn, mm.mappingLevel(slotHva(slot, gfn))) >= level;
      tables.dropTables(slot.baseGfn, end, level, larger);
    }
  }
}

/** kvm_mmu_slot_gfn_write_protect, from 2 MiB on. */
const protectLarge = (entry: bigint, level: number): bigint =>
  level > 1 && isPresent(entry) ? forbidWriteForGood(entry) : entry;
