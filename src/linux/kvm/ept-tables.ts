/**
 * The EPT paging structures of one VM: 4-level tables of 64-bit entries in host memory, with leaves of 4 KiB, 2 MiB and
 * 1 GiB (arch/x86/kvm/mmu/tdp_mmu.c). The CPU's walker reads them; here they are built, changed and dropped.
 */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import type { PageAllocator } from '../core/page-allocator.ts';
import { ENOMEM } from '../uapi/errno.ts';
import {
  isLeaf,
  isPresent,
  partOfHugeSpte,
  REMOVED_SPTE,
  refersToTable,
  spteAddress,
  tableOf,
  tableSpte,
} from './spte.ts';
import { kvmMmuGetPage, kvmMmuPrepareZapPage, kvmMmuSplitHugePage, kvmTdpMmuSpteChanged } from './trace-mmu.ts';

const ROOT_LEVEL = 4;
/** PG_LEVEL_1G. */
const GIGABYTE_LEVEL = 3;
const ACC_ALL = 7;
const ENTRIES = 512;
const ENTRY_BYTES = 8;
/** Frames that one entry spans, by level (KVM_PAGES_PER_HPAGE). */
export const FRAMES = [0, 1, 512, 512 ** 2, 512 ** 3] as const;

/** Replacement of a leaf entry of `level` whose first frame is `gfn`. */
type Change = (entry: bigint, level: number, gfn: number) => bigint;

export class EptTables {
  readonly #memory: PhysicalMemory;
  readonly #pages: PageAllocator;
  readonly #stream: EventStream;
  readonly #accessedDirty: boolean;
  readonly #flush: () => void;
  readonly #tables = new Set<Hpa>();
  readonly root: Hpa;
  /** Level of the entry that the last {@link find} ended at. */
  foundLevel = ROOT_LEVEL;

  /** `root` is a zeroed page frame; the tables own it and free it. */
  constructor(options: {
    memory: PhysicalMemory;
    pages: PageAllocator;
    stream: EventStream;
    root: Hpa;
    accessedDirty: boolean;
    /** Make every vCPU forget its translations. */
    flush: () => void;
  }) {
    this.#memory = options.memory;
    this.#pages = options.pages;
    this.#stream = options.stream;
    this.#accessedDirty = options.accessedDirty;
    this.#flush = options.flush;
    this.root = options.root;
    this.#tables.add(options.root);
    this.#tellPage(0, ROOT_LEVEL);
  }

  /** tdp_mmu_init_sp. */
  #tellPage(gfn: number, level: number): void {
    if (kvmMmuGetPage.on) kvmMmuGetPage(this.#stream, this.#page(gfn, level));
  }

  /** A table whose entries, of `level`, are for the frames from `gfn`. The TDP MMU uses no generation of its own. */
  #page(gfn: number, level: number) {
    return { generation: 0, gfn, level, access: ACC_ALL, accessedDirty: this.#accessedDirty, rootCount: 0 };
  }

  #tellChange(gfn: number, level: number, oldSpte: bigint, newSpte: bigint): void {
    if (kvmTdpMmuSpteChanged.on && oldSpte !== newSpte)
      kvmTdpMmuSpteChanged(this.#stream, { asId: 0, gfn, level, oldSpte, newSpte });
  }

  /** The entry that decides about frame `gfn`: its leaf, or the first absent one on the way; its level is {@link foundLevel}. */
  find(gfn: number): Hpa {
    let table = this.root;
    for (let level = ROOT_LEVEL; ; level--) {
      const at = entryAt(table, gfn, level);
      const low = this.#memory.words[at >> 2]!;
      if (!refersToTable(low, level)) {
        this.foundLevel = level;
        return at;
      }
      table = tableOf(low);
    }
  }

  /** The 4 KiB entry of `gfn` itself; 0n while a table on the way is missing. For walks that look for MMIO entries. */
  smallEntry(gfn: number): bigint {
    const at = this.find(gfn);
    return this.foundLevel === 1 ? this.#memory.readEntry(at) : 0n;
  }

  /**
   * Where the entry of `gfn` at `level` stands, making missing tables on the way, also in the place of larger leaves, whose other frames
   * fault anew (kvm_tdp_mmu_map); `undefined` when the host is out of memory.
   */
  build(gfn: number, level: number): Hpa | undefined {
    let table = this.root;
    for (let at = ROOT_LEVEL; at > level; at--) {
      const place = entryAt(table, gfn, at);
      const low = this.#memory.words[place >> 2]!;
      if (refersToTable(low, at)) {
        table = tableOf(low);
        continue;
      }
      const entry = this.#memory.readEntry(place);
      if (isPresent(entry)) this.#zapLeaf(place, gfn, at, entry);
      const made = this.#link(place, gfn, at);
      if (made === undefined) return undefined;
      table = made;
    }
    return entryAt(table, gfn, level);
  }

  /** Write the entry at `at`, which decides about `gfn` at `level`. A table that it replaces goes, with all below it. */
  set(at: Hpa, gfn: number, level: number, entry: bigint): void {
    const old = this.#memory.words[at >> 2]!;
    if (kvmTdpMmuSpteChanged.on) this.#tellChange(gfn, level, this.#memory.readEntry(at), entry);
    this.#memory.writeEntry(at, entry);
    if (!refersToTable(old, level)) return;
    if (isPresent(entry) && spteAddress(entry) === tableOf(old)) return;
    const base = gfn - (gfn % FRAMES[level]!);
    if (kvmTdpMmuSpteChanged.on || kvmMmuPrepareZapPage.on) this.#tellRemoved(BigInt(old >>> 0), base, level - 1);
    this.#drop(tableOf(old), level - 1);
  }

  /**
   * Replace every non-zero leaf that holds one of the frames [start, end) by `change(leaf)`; returns whether one changed.
   * A large leaf at the edge is asked about as a whole.
   */
  changeLeaves(start: number, end: number, change: Change): boolean {
    return this.#changeTable(this.root, ROOT_LEVEL, 0, start, end, change);
  }

  #changeTable(table: Hpa, level: number, base: number, start: number, end: number, change: Change): boolean {
    const span = FRAMES[level]!;
    const first = Math.max(0, Math.floor((start - base) / span));
    const last = Math.min(ENTRIES - 1, Math.floor((end - 1 - base) / span));
    let changed = false;
    for (let index = first; index <= last; index++) {
      const at = (table + index * ENTRY_BYTES) as Hpa;
      const entry = this.#memory.readEntry(at);
      if (entry === 0n) continue;
      const gfn = base + index * span;
      if (isPresent(entry) && !isLeaf(entry, level)) {
        if (this.#changeTable(spteAddress(entry), level - 1, gfn, start, end, change)) changed = true;
        continue;
      }
      const next = change(entry, level, gfn);
      if (next === entry) continue;
      this.set(at, gfn, level, next);
      changed = true;
    }
    return changed;
  }

  /** kvm_tdp_mmu_try_split_huge_pages: leaves of 4 KiB everywhere in [start, end). 0, or -ENOMEM half-way. */
  splitLeaves(start: number, end: number): number {
    for (let gfn = start; gfn < end; ) {
      const at = this.find(gfn);
      const level = this.foundLevel;
      const entry = this.#memory.readEntry(at);
      if (level > 1 && isPresent(entry)) {
        if (this.#split(at, gfn, level, entry) === undefined) return -ENOMEM;
      } else {
        const span = FRAMES[Math.max(level, 2)]!;
        gfn = (Math.floor(gfn / span) + 1) * span;
      }
    }
    return 0;
  }

  /** zap_collapsible_spte_range: drop the tables below entries of `level` in [start, end) for which `larger(gfn)` holds. */
  dropTables(start: number, end: number, level: number, larger: (gfn: number) => boolean): void {
    const span = FRAMES[level]!;
    for (let gfn = Math.ceil(start / span) * span; gfn + span <= end; gfn += span) {
      this.find(gfn);
      if (this.foundLevel >= level || !larger(gfn)) continue;
      const at = this.build(gfn, level)!;
      this.set(at, gfn, level, REMOVED_SPTE);
      this.#flush();
      this.#memory.writeEntry(at, 0n);
    }
  }

  /**
   * kvm_tdp_mmu_zap_invalidated_roots: everything goes, what is below 1 GiB first, and is told entry by entry. The object is dead
   * afterwards.
   */
  zap(): void {
    if (kvmTdpMmuSpteChanged.on || kvmMmuPrepareZapPage.on) {
      const upper = this.#present(this.root, 0, ROOT_LEVEL);
      for (const { entry, gfn } of upper)
        for (const below of this.#present(spteAddress(entry), gfn, GIGABYTE_LEVEL)) {
          this.#tellChange(below.gfn, GIGABYTE_LEVEL, below.entry, 0n);
          if (!isLeaf(below.entry, GIGABYTE_LEVEL)) this.#tellRemoved(below.entry, below.gfn, GIGABYTE_LEVEL - 1);
        }
      for (const { entry, gfn } of upper) {
        this.#tellChange(gfn, ROOT_LEVEL, entry, 0n);
        this.#tellRemoved(entry, gfn, GIGABYTE_LEVEL, true);
      }
    }
    this.free();
  }

  /** The present entries of the table at `table`, which are of `level`, and the first frame of each. */
  #present(table: Hpa, base: number, level: number): readonly { readonly entry: bigint; readonly gfn: number }[] {
    const all = Array.from({ length: ENTRIES }, (_, index) => ({
      entry: this.#memory.readEntry((table + index * ENTRY_BYTES) as Hpa),
      gfn: base + index * FRAMES[level]!,
    }));
    return all.filter(({ entry }) => isPresent(entry));
  }

  /**
   * handle_removed_pt: the table that `parent` refers to, with entries of `level`, is linked nowhere any more. All of these are told as removed,
   * also those that were none, or are `emptied` by now.
   */
  #tellRemoved(parent: bigint, base: number, level: number, emptied = false): void {
    if (kvmMmuPrepareZapPage.on) kvmMmuPrepareZapPage(this.#stream, this.#page(base, level));
    for (let index = 0; index < ENTRIES; index++) {
      const gfn = base + index * FRAMES[level]!;
      const entry = emptied ? 0n : this.#memory.readEntry((spteAddress(parent) + index * ENTRY_BYTES) as Hpa);
      this.#tellChange(gfn, level, entry, REMOVED_SPTE);
      if (isPresent(entry) && !isLeaf(entry, level)) this.#tellRemoved(entry, gfn, level - 1);
    }
  }

  /** Give all tables back to the allocator; the object is dead afterwards. */
  free(): void {
    for (const table of this.#tables) this.#pages.free(table);
    this.#tables.clear();
  }

  /** tdp_mmu_zap_spte_atomic: the entry at `at`, a large leaf or a table's, goes. */
  #zapLeaf(at: Hpa, gfn: number, level: number, entry: bigint): void {
    this.#tellChange(gfn - (gfn % FRAMES[level]!), level, entry, REMOVED_SPTE);
    this.#flush();
    this.#memory.writeEntry(at, 0n);
  }

  /** tdp_mmu_link_sp: a new empty table below the absent entry at `at`. */
  #link(at: Hpa, gfn: number, level: number): Hpa | undefined {
    const made = this.#pages.allocate();
    if (made === undefined) return undefined;
    this.#tables.add(made);
    const base = gfn - (gfn % FRAMES[level]!);
    this.#tellPage(base, level - 1);
    this.set(at, base, level, tableSpte(made, this.#accessedDirty));
    return made;
  }

  /** tdp_mmu_split_huge_page: the large leaf at `at` becomes a table of leaves that map the same memory. */
  #split(at: Hpa, gfn: number, level: number, huge: bigint): Hpa | undefined {
    const made = this.#pages.allocate();
    if (made === undefined) {
      if (kvmMmuSplitHugePage.on) kvmMmuSplitHugePage(this.#stream, { gfn, spte: huge, level, errno: -ENOMEM });
      return undefined;
    }
    this.#tables.add(made);
    const base = gfn - (gfn % FRAMES[level]!);
    this.#tellPage(base, level - 1);
    // Nobody sees the table yet: its entries are told nowhere.
    for (let index = 0; index < ENTRIES; index++)
      this.#memory.writeEntry((made + index * ENTRY_BYTES) as Hpa, partOfHugeSpte(huge, level - 1, index));
    this.set(at, base, level, tableSpte(made, this.#accessedDirty));
    if (kvmMmuSplitHugePage.on) kvmMmuSplitHugePage(this.#stream, { gfn: base, spte: huge, level, errno: 0 });
    return made;
  }

  /** The table at `table`, whose entries are of `level`, is given back, with all below it. */
  #drop(table: Hpa, level: number): void {
    for (let index = 0; index < ENTRIES; index++) {
      const entry = this.#memory.readEntry((table + index * ENTRY_BYTES) as Hpa);
      if (isPresent(entry) && !isLeaf(entry, level)) this.#drop(spteAddress(entry), level - 1);
    }
    this.#tables.delete(table);
    this.#pages.free(table);
  }
}

const entryAt = (table: Hpa, gfn: number, level: number): Hpa =>
  (table + (Math.floor(gfn / FRAMES[level]!) & (ENTRIES - 1)) * ENTRY_BYTES) as Hpa;
