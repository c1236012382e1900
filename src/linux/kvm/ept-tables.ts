/**
 * The EPT paging structures of one VM: 4-level tables of 64-bit entries in host memory, with 4 KiB leaves
 * (arch/x86/kvm/mmu/tdp_mmu.c). The CPU's walker reads them; here they are built, changed and dropped.
 */

import { type Hpa, plus } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import type { PageAllocator } from '../core/page-allocator.ts';
import { isPresent, spteAddress, tableSpte } from './spte.ts';
import { kvmTdpMmuSpteChanged } from './trace-mmu.ts';

const ROOT_LEVEL = 4;
const ENTRIES = 512;
const ENTRY_BYTES = 8;
/** Frames that one entry spans, by level. */
const SPAN = [0, 1, 512, 512 ** 2, 512 ** 3] as const;

export class EptTables {
  readonly #memory: PhysicalMemory;
  readonly #pages: PageAllocator;
  readonly #stream: EventStream;
  readonly #tables: Hpa[] = [];
  readonly root: Hpa;

  /** `root` is a zeroed page frame; the tables own it and free it. */
  constructor(memory: PhysicalMemory, pages: PageAllocator, stream: EventStream, root: Hpa) {
    this.#memory = memory;
    this.#pages = pages;
    this.#stream = stream;
    this.root = root;
    this.#tables.push(root);
  }

  get pageCount(): number {
    return this.#tables.length;
  }

  /** Where the leaf entry of frame `gfn` stands; `undefined` while a table on the way is missing. */
  leaf(gfn: number): Hpa | undefined {
    let table = this.root;
    for (let level = ROOT_LEVEL; level > 1; level--) {
      const entry = this.#memory.readEntry(entryAt(table, gfn, level));
      if (!isPresent(entry)) return undefined;
      table = spteAddress(entry);
    }
    return entryAt(table, gfn, 1);
  }

  /** Like {@link leaf}, making the missing tables; `undefined` when the host is out of memory. */
  buildLeaf(gfn: number): Hpa | undefined {
    let table = this.root;
    for (let level = ROOT_LEVEL; level > 1; level--) {
      const at = entryAt(table, gfn, level);
      const entry = this.#memory.readEntry(at);
      if (isPresent(entry)) {
        table = spteAddress(entry);
        continue;
      }
      const made = this.#pages.allocate();
      if (made === undefined) return undefined;
      this.#tables.push(made);
      this.set(at, gfn, level, tableSpte(made));
      table = made;
    }
    return entryAt(table, gfn, 1);
  }

  /** Write the entry at `at`, which maps `gfn` at `level`. */
  set(at: Hpa, gfn: number, level: number, entry: bigint): void {
    if (kvmTdpMmuSpteChanged.on) {
      const oldSpte = this.#memory.readEntry(at);
      kvmTdpMmuSpteChanged(this.#stream, { asId: 0, gfn, level, oldSpte, newSpte: entry });
    }
    this.#memory.writeEntry(at, entry);
  }

  /**
   * Replace every non-zero leaf of frames [start, end) by `change(leaf)`; returns whether one changed. Missing tables
   * are stepped over whole.
   */
  changeLeaves(start: number, end: number, change: (entry: bigint) => bigint): boolean {
    let changed = false;
    for (let gfn = start; gfn < end; ) {
      const level = this.#missingLevel(gfn);
      const next = (Math.floor(gfn / SPAN[level === 0 ? 2 : level]!) + 1) * SPAN[level === 0 ? 2 : level]!;
      if (level === 0 && this.#changeTable(gfn, Math.min(next, end), change)) changed = true;
      gfn = next;
    }
    return changed;
  }

  /** {@link changeLeaves} for frames of one leaf table, which is there. */
  #changeTable(start: number, end: number, change: (entry: bigint) => bigint): boolean {
    let changed = false;
    let at = this.leaf(start)!;
    for (let gfn = start; gfn < end; gfn++, at = plus(at, ENTRY_BYTES)) {
      const entry = this.#memory.readEntry(at);
      if (entry === 0n) continue;
      const next = change(entry);
      if (next === entry) continue;
      this.set(at, gfn, 1, next);
      changed = true;
    }
    return changed;
  }

  /** Give all tables back to the allocator; the object is dead afterwards. */
  free(): void {
    for (const table of this.#tables) this.#pages.free(table);
    this.#tables.length = 0;
  }

  /** Level of the absent entry on the way to `gfn`'s leaf table, 0 if there is none. */
  #missingLevel(gfn: number): number {
    let table = this.root;
    for (let level = ROOT_LEVEL; level > 1; level--) {
      const entry = this.#memory.readEntry(entryAt(table, gfn, level));
      if (!isPresent(entry)) return level;
      table = spteAddress(entry);
    }
    return 0;
  }
}

const entryAt = (table: Hpa, gfn: number, level: number): Hpa =>
  (table + (Math.floor(gfn / SPAN[level]!) % ENTRIES) * ENTRY_BYTES) as Hpa;
