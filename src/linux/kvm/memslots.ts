/**
 * Memory slots: which user-space memory stands behind which guest physical addresses (virt/kvm/kvm_main.c:
 * __kvm_set_memory_region, kvm_set_memslot). Numbers of pages and bytes fit doubles: physical addresses have 52 bits.
 */

import { type Gpa, type Hva, PAGE_SIZE } from '../../address.ts';
import { EEXIST, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from '../uapi/kvm.ts';
import { type BitmapHost, DirtyBitmap } from './dirty-bitmap.ts';

/** Slot numbers user space may use; three more are KVM's own. */
export const KVM_USER_MEM_SLOTS = 32764;
const KVM_MEM_SLOTS_NUM = 32767;
export const TSS_PRIVATE_MEMSLOT = KVM_USER_MEM_SLOTS;
/** x86 has two address spaces: 0 normal, 1 system management mode. */
export const KVM_ADDRESS_SPACES = 2;
const KVM_MEM_MAX_NR_PAGES = 2 ** 31 - 1;
const TWO_TO_64 = 1n << 64n;

export interface Memslot {
  readonly id: number;
  readonly asId: number;
  readonly baseGfn: number;
  readonly pages: number;
  readonly flags: number;
  readonly userspaceAddress: Hva;
  /** Present while the slot logs dirty pages, unless they go into rings. */
  readonly dirty: DirtyBitmap | undefined;
  /** Frames whose writes somebody tracks, with how many do (page_track). */
  readonly tracked: Map<number, number>;
}
/** What KVM_SET_USER_MEMORY_REGION asks for, in its 64-bit numbers. */
export interface MemoryRegion {
  readonly slot: number;
  readonly flags: number;
  readonly guest_phys_addr: bigint;
  readonly memory_size: bigint;
  readonly userspace_addr: bigint;
}

type Change = 'create' | 'delete' | 'move' | 'flags';

/** What the rest of the VM does about a change of the slots. */
export interface MemslotListener {
  /** kvm_arch_flush_shadow_memslot: a slot is being deleted or moved away. */
  flushSlot(slot: Memslot): void;
  /** kvm_arch_memslots_updated: the table with the new generation is in force. */
  updated(generation: number): void;
  /** kvm_mmu_slot_apply_flags: dirty logging of the slot was switched on or off. */
  loggingChanged(slot: Memslot): void;
}

export const isReadonly = (slot: Memslot): boolean => (slot.flags & KVM_MEM_READONLY) !== 0;
export const logsDirtyPages = (slot: Memslot): boolean => (slot.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
/** __gfn_to_hva_memslot. */
export const slotHva = (slot: Memslot, gfn: number): Hva =>
  (slot.userspaceAddress + (gfn - slot.baseGfn) * PAGE_SIZE) as Hva;

/** kvm_alloc_memslot_metadata: for each size of large pages, and for page_track. */
const SLOT_METADATA = ['struct kvm_lpage_info[] of 2 MiB', 'struct kvm_lpage_info[] of 1 GiB', 'gfn_track[]'];

interface SlotHost extends BitmapHost {
  kmalloc(what: string): boolean;
  kmallocAll(...what: readonly string[]): boolean;
}

/** The slots of one address space, found by number or by frame. */
class SlotTable {
  readonly #byId = new Map<number, Memslot>();
  readonly #sorted: Memslot[] = [];
  #last: Memslot | undefined;
  generation: number;
  /** Slots that log dirty pages. */
  logging = 0;

  constructor(asId: number) {
    this.generation = asId;
  }

  get(id: number): Memslot | undefined {
    return this.#byId.get(id);
  }

  /** search_memslots, with the slot of the last hit tried first. */
  find(gfn: number): Memslot | undefined {
    const last = this.#last;
    if (last !== undefined && gfn >= last.baseGfn && gfn < last.baseGfn + last.pages) return last;
    const slot = this.#sorted[this.#behind(gfn) - 1];
    if (slot === undefined || gfn >= slot.baseGfn + slot.pages) return undefined;
    this.#last = slot;
    return slot;
  }

  /** Index of the first slot that begins above `gfn`. */
  #behind(gfn: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]!.baseGfn <= gfn) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The lowest slot but `id` that has a frame of [start, end). */
  overlaps(id: number, start: number, end: number): Memslot | undefined {
    let lowest: Memslot | undefined;
    for (let index = this.#behind(end - 1) - 1; index >= 0; index--) {
      const slot = this.#sorted[index]!;
      if (slot.baseGfn + slot.pages <= start) break;
      if (slot.id !== id) lowest = slot;
    }
    return lowest;
  }

  replace(id: number, slot: Memslot | undefined): void {
    const old = this.#byId.get(id);
    if (old !== undefined) {
      this.#sorted.splice(this.#behind(old.baseGfn) - 1, 1);
      if (logsDirtyPages(old)) this.logging--;
    }
    if (slot === undefined) this.#byId.delete(id);
    else {
      this.#byId.set(id, slot);
      this.#sorted.splice(this.#behind(slot.baseGfn), 0, slot);
      if (logsDirtyPages(slot)) this.logging++;
    }
    this.#last = undefined;
    this.generation += KVM_ADDRESS_SPACES;
  }

  all(): readonly Memslot[] {
    return this.#sorted;
  }
}

/** All memory slots of one VM. */
export class Memslots {
  readonly #tables = [new SlotTable(0), new SlotTable(1)] as const;
  readonly #accessOk: (address: number, length: number) => boolean;
  readonly #host: SlotHost;
  readonly #refuse: (errno: number, because: string) => number;
  readonly #maxGfn: number;
  readonly #listener: MemslotListener;
  /** KVM_DIRTY_LOG_INITIALLY_SET is on: a new bitmap says that every page is dirty. */
  initiallyDirty = false;
  /** Dirty pages are noted in bitmaps of the slots, not in rings of the vCPUs. */
  keepsBitmaps = true;

  constructor(options: {
    /** access_ok of the VM's process. */
    accessOk: (address: number, length: number) => boolean;
    /** Where dirty bitmaps stand, and the slots themselves. */
    host: SlotHost;
    refuse: (errno: number, because: string) => number;
    /** kvm_mmu_max_gfn. */
    maxGfn: number;
    listener: MemslotListener;
  }) {
    this.#accessOk = options.accessOk;
    this.#host = options.host;
    this.#refuse = options.refuse;
    this.#maxGfn = options.maxGfn;
    this.#listener = options.listener;
  }

  /** gfn_to_memslot. */
  find(gfn: number, asId = 0): Memslot | undefined {
    return this.#table(asId).find(gfn);
  }

  /** id_to_memslot. */
  get(id: number, asId = 0): Memslot | undefined {
    return this.#table(asId).get(id);
  }

  /**
   * Counts the changes of one address space: +2 each, so the two spaces never share a number. The kernel's
   * update-in-progress flag (bit 63) has no place here: a change is one step that nothing else runs in between.
   */
  generation(asId = 0): number {
    return this.#table(asId).generation;
  }

  /** Some slot logs dirty pages. */
  get logging(): boolean {
    return this.#tables.some((table) => table.logging > 0);
  }

  /** By address, space 0 first. */
  all(): readonly Memslot[] {
    return this.#tables.flatMap((table) => table.all());
  }

  /** gfn_to_hva_memslot_prot: the user address behind a guest physical address, `undefined` without a slot. */
  hva(gpa: Gpa, asId = 0): Hva | undefined {
    const slot = this.find(Math.floor(gpa / PAGE_SIZE), asId);
    return slot && ((slotHva(slot, Math.floor(gpa / PAGE_SIZE)) + (gpa % PAGE_SIZE)) as Hva);
  }

  /** KVM_SET_USER_MEMORY_REGION: 0, -EINVAL, -EEXIST, or -ENOMEM for a dirty bitmap that the host has no room for. */
  setUserRegion(region: MemoryRegion): number {
    if ((region.slot & 0xffff) >= KVM_USER_MEM_SLOTS)
      return this.#refuse(EINVAL, `slot ${region.slot & 0xffff} is not below ${KVM_USER_MEM_SLOTS}`);
    return this.setRegion(region);
  }

  /** __kvm_set_memory_region, also for KVM's own slots; the checks are in the kernel's order. */
  setRegion(region: MemoryRegion): number {
    const refuse = this.#refuse;
    const id = region.slot & 0xffff;
    const asId = region.slot >>> 16;
    const { flags, guest_phys_addr: gpa, memory_size: size, userspace_addr: user } = region;
    if (flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) return refuse(EINVAL, `unknown slot flags ${flags}`);
    if (size % 4096n || gpa % 4096n) return refuse(EINVAL, 'a slot covers whole pages of guest memory');
    if (user % 4096n || !this.#accessOk(Number(user), Number(size)))
      return refuse(EINVAL, "a slot's memory is whole pages below the end of the user address space");
    if (asId >= KVM_ADDRESS_SPACES || id >= KVM_MEM_SLOTS_NUM)
      return refuse(EINVAL, `address space ${asId}, slot ${id} does not exist`);
    if (gpa + size >= TWO_TO_64) return refuse(EINVAL, 'the slot wraps round the address space');
    const pages = Number(size >> 12n);
    if (pages > KVM_MEM_MAX_NR_PAGES) return refuse(EINVAL, 'a slot has at most 2^31 - 1 pages');

    const table = this.#table(asId);
    const old = table.get(id);
    if (pages === 0) {
      if (old === undefined) return refuse(EINVAL, `slot ${id} does not exist: there is nothing to delete`);
      // Linux keeps the slot's double, which is invalid, while it is being deleted.
      if (!this.#host.kmalloc('struct kvm_memory_slot')) return -ENOMEM;
      this.#invalidate(table, old);
      return this.#apply(table, 'delete', old, undefined);
    }
    const baseGfn = Number(gpa >> 12n);
    const userspaceAddress = Number(user) as Hva;
    let kind: Change = 'create';
    if (old !== undefined) {
      if (old.userspaceAddress !== userspaceAddress || old.pages !== pages)
        return refuse(EINVAL, `slot ${id} exists with other memory or another size: delete it first`);
      if ((old.flags ^ flags) & KVM_MEM_READONLY)
        return refuse(EINVAL, `slot ${id} exists: READONLY changes only by deleting it first`);
      if (old.baseGfn !== baseGfn) kind = 'move';
      else if (old.flags !== flags) kind = 'flags';
      else return 0;
    }
    if (kind !== 'flags') {
      const other = table.overlaps(id, baseGfn, baseGfn + pages);
      if (other !== undefined) return refuse(EEXIST, `slot ${id} would overlap slot ${other.id}`);
    }
    if (!this.#host.kmalloc('struct kvm_memory_slot')) return -ENOMEM;
    if (kind === 'move') {
      if (!this.#host.kmalloc('struct kvm_memory_slot')) return -ENOMEM;
      this.#invalidate(table, old!);
    }
    const logs = this.keepsBitmaps && (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
    const dirty = logs ? (old?.dirty ?? this.#newBitmap(pages)) : undefined;
    const error = logs && dirty === undefined ? this.#noBitmap(pages) : this.#prepare(kind, baseGfn + pages - 1);
    if (error < 0) {
      if (dirty !== old?.dirty) dirty?.free();
      // The slot is where it was; what was mapped of it is not, and two generations have gone by.
      if (kind === 'move') this.#install(table, id, old);
      return error;
    }
    // Moving makes new metadata: what was tracked at the old place is not at the new one. The bitmap moves along.
    const tracked = kind === 'flags' && old !== undefined ? old.tracked : new Map<number, number>();
    return this.#apply(table, kind, old, { id, asId, baseGfn, pages, flags, userspaceAddress, dirty, tracked });
  }

  /** kvm_free_memslots: the VM is gone. */
  destroy(): void {
    for (const { dirty } of this.all()) dirty?.free();
  }

  #newBitmap(pages: number): DirtyBitmap | undefined {
    const bitmap = DirtyBitmap.make(this.#host, pages);
    if (this.initiallyDirty) bitmap?.markAll();
    return bitmap;
  }

  #noBitmap(pages: number): number {
    return this.#refuse(ENOMEM, `the host has too little memory left for the dirty bitmap of ${pages} pages`);
  }

  /** kvm_arch_prepare_memory_region. */
  #prepare(kind: Change, lastGfn: number): number {
    if (kind === 'flags') return 0;
    if (lastGfn > this.#maxGfn) return this.#refuse(EINVAL, 'the slot ends above the highest guest physical address');
    return this.#host.kmallocAll(...SLOT_METADATA) ? 0 : -ENOMEM;
  }

  /** kvm_invalidate_memslot: an invalid slot stands there first, which is a generation of its own. */
  #invalidate(table: SlotTable, slot: Memslot): void {
    this.#install(table, slot.id, undefined);
    this.#listener.flushSlot(slot);
  }

  /** kvm_swap_active_memslots. */
  #install(table: SlotTable, id: number, slot: Memslot | undefined): void {
    table.replace(id, slot);
    this.#listener.updated(table.generation);
  }

  /** The end of kvm_set_memslot. */
  #apply(table: SlotTable, kind: Change, removed: Memslot | undefined, added: Memslot | undefined): number {
    this.#install(table, (added ?? removed!).id, added);
    if (removed?.dirty !== added?.dirty) removed?.dirty?.free();
    if (kind === 'flags' && logsDirtyPages(removed!) !== logsDirtyPages(added!)) this.#listener.loggingChanged(added!);
    return 0;
  }

  #table(asId: number): SlotTable {
    return asId === 0 ? this.#tables[0] : this.#tables[1];
  }
}
