/**
 * The EPT paging structures of one VM: 4-level tables of 64-bit entries in host memory, with leaves of 4 KiB, 2 MiB and
 * 1 GiB (arch/x86/kvm/mmu/tdp_mmu.c). The CPU's walker reads them; here they are built, changed and dropped.
 */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import type { PageAllocator } from '../core/page-allocator.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { isLeaf, isPresent, partOfHugeSpte, refersToTable, spteAddress, tableOf, tableSpte } from './spte.ts';
import { kvmMmuGetPage, kvmMmuSplitHugePage, kvmTdpMmuSpteChanged } from './trace-mmu.ts';

const ROOT_LEVEL = 4;
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
  }) {
    this.#memory = options.memory;
    this.#pages = options.pages;
    this.#stream = options.stream;
    this.#accessedDirty = options.accessedDirty;
    this.root = options.root;
    this.#tables.add(options.root);
    this.#tellPage(0, ROOT_LEVEL);
  }

  /** tdp_mmu_init_sp: entries of `level` for the frames from `gfn`. The TDP MMU uses no generation of its own. */
  #tellPage(gfn: number, level: number): void {
    if (kvmMmuGetPage.on)
      kvmMmuGetPage(this.#stream, {
        generation: 0,
        gfn,
        level,
        access: ACC_ALL,
        accessedDirty: this.#accessedDirty,
        rootCount: 0,
      });
  }

  get pageCount(): number {
    return this.#tables.size;
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
   * Where the entry of `gfn` at `level` stands, making missing tables and splitting larger leaves on the way; `undefined`
   * when the host is out of memory.
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
      const made = isPresent(entry) ? this.#split(place, gfn, at, entry) : this.#link(place, gfn, at);
      if (made === undefined) return undefined;
      table = made;
    }
    return entryAt(table, gfn, level);
  }

  /** Write the entry at `at`, which decides about `gfn` at `level`. A table that it replaces goes, with all below it. */
  set(at: Hpa, gfn: number, level: number, entry: bigint): void {
    const old = this.#memory.words[at >> 2]!;
    if (kvmTdpMmuSpteChanged.on)
      kvmTdpMmuSpteChanged(this.#stream, {
        asId: 0,
        gfn,
        level,
        oldSpte: this.#memory.readEntry(at),
        newSpte: entry,
      });
    this.#memory.writeEntry(at, entry);
    if (!refersToTable(old, level)) return;
    if (!isPresent(entry) || spteAddress(entry) !== tableOf(old)) this.#drop(tableOf(old), gfn, level - 1);
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
  dropTables(start: number, end: number, level: number, larger: (gfn: number) => boolean): boolean {
    const span = FRAMES[level]!;
    let dropped = false;
    for (let gfn = Math.ceil(start / span) * span; gfn + span <= end; gfn += span) {
      this.find(gfn);
      if (this.foundLevel >= level || !larger(gfn)) continue;
      this.set(this.build(gfn, level)!, gfn, level, 0n);
      dropped = true;
    }
    return dropped;
  }

  /** Give all tables back to the allocator; the object is dead afterwards. */
  free(): void {
    for (const table of this.#tables) this.#pages.free(table);
    this.#tables.clear();
  }

  /** tdp_mmu_link_sp: a new empty table below the absent entry at `at`. */
  #link(at: Hpa, gfn: number, level: number): Hpa | undefined {
    const made = this.#pages.allocate();
    if (made === undefined) return undefined;
    this.#tables.add(made);
    this.#tellPage(gfn - (gfn % FRAMES[level]!), level - 1);
    this.set(at, gfn, level, tableSpte(made, this.#accessedDirty));
    return made;
  }

  /** tdp_mmu_split_huge_page: the large leaf at `at` becomes a table of leaves that map the same memory. */
  #split(at: Hpa, gfn: number, level: number, huge: bigint): Hpa | undefined {
    const made = this.#pages.allocate();
    const errno = made === undefined ? -ENOMEM : 0;
    if (kvmMmuSplitHugePage.on) kvmMmuSplitHugePage(this.#stream, { gfn, spte: huge, level, errno });
    if (made === undefined) return undefined;
    this.#tables.add(made);
    const base = gfn - (gfn % FRAMES[level]!);
    this.#tellPage(base, level - 1);
    for (let index = 0; index < ENTRIES; index++) {
      const part = (made + index * ENTRY_BYTES) as Hpa;
      this.set(part, base + index * FRAMES[level - 1]!, level - 1, partOfHugeSpte(huge, level - 1, index));
    }
    this.set(at, base, level, tableSpte(made, this.#accessedDirty));
    return made;
  }

  /** handle_removed_pt: `table`, whose entries are of `level`, is linked nowhere any more. */
  #drop(table: Hpa, gfn: number, level: number): void {
    const base = gfn - (gfn % FRAMES[level + 1]!);
    for (let index = 0; index < ENTRIES; index++) {
      const at = (table + index * ENTRY_BYTES) as Hpa;
      if (this.#memory.readEntry(at) !== 0n) this.set(at, base + index * FRAMES[level]!, level, 0n);
    }
    this.#tables.delete(table);
    this.#pages.free(table);
  }
}

const entryAt = (table: Hpa, gfn: number, level: number): Hpa =>
  (table + (Math.floor(gfn / FRAMES[level]!) & (ENTRIES - 1)) * ENTRY_BYTES) as Hpa;
