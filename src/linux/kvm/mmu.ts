/**
 * KVM's MMU: what happens between an EPT violation and the entry that ends it (arch/x86/kvm/mmu/mmu.c of Linux 6.1,
 * direct_page_fault, handle_mmio_page_fault, kvm_mmu_zap_all_fast, the mmu notifier).
 *
 * A frame with a memory slot behind it gets the page of the VM's process that stands there; one without gets an MMIO
 * entry stamped with the generation of the slots, so that any change of the slots makes it stale.
 */

import { type Gpa, type Hpa, type Hva, PAGE_SIZE, pageNumber, pageStart } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import { EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { EptTables, FRAMES } from './ept-tables.ts';
import { mappingLevel } from './huge-pages.ts';
import { isReadonly, logsDirtyPages, type Memslot, type Memslots, slotHva } from './memslots.ts';
import {
  allowWrite,
  eptPointer,
  isAccessed,
  isAccessTracked,
  isExecutable,
  isLeaf,
  isMmioSpte,
  isMmuWritable,
  isPresent,
  isReadable,
  isWritable,
  leafSpte,
  MMIO_GENERATION_MASK,
  makeOld,
  mmioSpte,
  mmioSpteGeneration,
  restoreAccess,
  spteAddress,
} from './spte.ts';
import {
  checkMmioSpte,
  fastPageFault,
  handleMmioPageFault,
  kernelPointer,
  kvmAgeHva,
  kvmMmuSetSpte,
  kvmMmuSpteRequested,
  kvmMmuZapAllFast,
  kvmUnmapHvaRange,
  markMmioSpte,
} from './trace-mmu.ts';
import type { VcpuStats } from './vcpu-stats.ts';

/** Outcomes of a page fault; a negative number is an errno that ends KVM_RUN. */
export const RET_PF_RETRY = 1;
export const RET_PF_EMULATE = 2;
export const RET_PF_INVALID = 3;
export const RET_PF_FIXED = 4;
export const RET_PF_SPURIOUS = 5;

/** Host physical address width: what an EPT entry can hold. */
const PHYSICAL_BITS = 46;
/** kvm_mmu_max_gfn. */
export const MAX_GFN = 2 ** (PHYSICAL_BITS - 12) - 1;
const KVM_PFN_NOSLOT = 1n << 63n;
const NO_PAGE = -1;

/** What a page fault is about; the vCPU keeps one and fills it at each exit. */
export interface PageFault {
  readonly vcpu: number;
  readonly stats: VcpuStats;
  gpa: Gpa;
  /** Bits of PFERR. */
  errorCode: number;
}
/** The bits of a page fault's error code. Under EPT a read counts as the user's, and a misconfiguration as a reserved bit. */
export const PFERR = { PRESENT: 1, WRITE: 2, USER: 4, RSVD: 8, FETCH: 16 } as const;

/** A vCPU's memory of the last MMIO page it touched (vcpu_cache_mmio_info): later exits need no walk. */
export class MmioCache {
  /** Where it begins. */
  #page = NO_PAGE;
  #generation = 0;

  /** Hot. */
  holds(gpa: Gpa, generation: number): boolean {
    return this.#generation === generation && this.#page === pageStart(gpa);
  }

  remember(gpa: Gpa, generation: number): void {
    // Frame 0 stands for none (vcpu_match_mmio_gpa).
    this.#page = pageStart(gpa) || NO_PAGE;
    this.#generation = generation;
  }
}

export class Mmu {
  readonly mm: AddressSpace;
  readonly #kernel: Kernel;
  readonly #memslots: Memslots;
  readonly #accessedDirty: boolean;
  readonly #flush: () => void;
  readonly #unload: () => void;
  readonly #markDirty: (slot: Memslot, gfn: number) => void;
  #tables: EptTables | undefined;
  /** EPTP of {@link #tables}, which every entry asks for; 0 without them. */
  #pointer = 0;
  #validGeneration = 0;

  constructor(options: {
    kernel: Kernel;
    mm: AddressSpace;
    memslots: Memslots;
    /** The CPU keeps accessed and dirty bits in EPT. */
    accessedDirty: boolean;
    /** Make every vCPU of the VM forget its translations (kvm_flush_remote_tlbs). */
    flush: () => void;
    /** The root is gone: no vCPU may look there until it is entered again (kvm_mmu_unload). */
    unload: () => void;
    /** mark_page_dirty_in_slot. */
    markDirty: (slot: Memslot, gfn: number) => void;
  }) {
    this.#kernel = options.kernel;
    this.mm = options.mm;
    this.#memslots = options.memslots;
    this.#accessedDirty = options.accessedDirty;
    this.#flush = options.flush;
    this.#unload = options.unload;
    this.#markDirty = options.markDirty;
  }

  /** kvm_mmu_reload: the EPTP to enter the guest with, making a root if there is none; -ENOMEM. */
  eptPointer(): number {
    return this.#pointer !== 0 ? this.#pointer : this.#makeTables();
  }

  #makeTables(): number {
    const { memory, pages, stream } = this.#kernel;
    const root = pages.allocate();
    if (root === undefined) return -ENOMEM;
    this.#tables = new EptTables({
      memory,
      pages,
      stream,
      root,
      accessedDirty: this.#accessedDirty,
      flush: this.#flush,
    });
    this.#pointer = eptPointer(root, this.#accessedDirty);
    return this.#pointer;
  }

  /** The tables are no longer in use; they are still to be freed. */
  #dropTables(): void {
    this.#kernel.attention.call();
    this.#tables = undefined;
    this.#pointer = 0;
  }

  /** The tables now in use, for walks and reports; `undefined` before the first entry and after a zap. */
  get tables(): EptTables | undefined {
    return this.#tables;
  }

  /** kvm_flush_remote_tlbs. */
  flushTranslations(): void {
    this.#flush();
  }

  /** direct_page_fault: RET_PF_* or -errno. */
  pageFault(cache: MmioCache, fault: PageFault): number {
    const { gpa } = fault;
    const gfn = pageNumber(gpa);
    const slot = this.#memslots.find(gfn);
    const write = (fault.errorCode & PFERR.WRITE) !== 0;
    // page_fault_handle_page_track: a write that somebody has to see.
    const present = (fault.errorCode & PFERR.PRESENT) !== 0;
    if (write && present && slot !== undefined && slot.tracked.size > 0 && slot.tracked.has(gfn)) return RET_PF_EMULATE;
    const fast = this.#canBeFast(fault) ? this.#fastPageFault(fault, slot, gfn) : RET_PF_INVALID;
    if (fast !== RET_PF_INVALID) return fast;
    if (slot === undefined) return this.#mapMmio(cache, fault, gfn);
    if (write && isReadonly(slot)) return RET_PF_EMULATE;
    return this.#mapMemory(slot, gfn, write);
  }

  /** A misconfiguration at `gpa`: RET_PF_EMULATE for a valid MMIO entry, RET_PF_INVALID for a stale one, RET_PF_RETRY. */
  mmioPageFault(cache: MmioCache, gpa: Gpa): number {
    const generation = this.#memslots.generation();
    if (cache.holds(gpa, generation)) return RET_PF_EMULATE;
    const gfn = pageNumber(gpa);
    const spte = this.#tables?.smallEntry(gfn) ?? 0n;
    if (!isMmioSpte(spte)) return isWritable(spte) && !isReadable(spte) ? -EINVAL : RET_PF_RETRY;
    const { stream } = this.#kernel;
    const spteGeneration = mmioSpteGeneration(spte);
    const kvmGeneration = generation % (MMIO_GENERATION_MASK + 1);
    const valid = spteGeneration === kvmGeneration;
    if (checkMmioSpte.on) checkMmioSpte(stream, { spte, kvmGeneration, spteGeneration, valid });
    if (!valid) return RET_PF_INVALID;
    if (handleMmioPageFault.on) handleMmioPageFault(stream, { address: 0, gfn, access: 0 });
    cache.remember(gpa, generation);
    return RET_PF_EMULATE;
  }

  /** kvm_mmu_invalidate_mmio_sptes: when the 19 bits in the MMIO entries wrap, old entries would look valid again. */
  memslotsUpdated(generation: number): void {
    if (generation % (MMIO_GENERATION_MASK + 1) <= 1) this.zapAll();
  }

  /** kvm_mmu_zap_all_fast: the next entry starts from an empty root. The pages that it tells of are shadow pages, of which there are none. */
  zapAll(): void {
    const tables = this.#tables;
    if (kvmMmuZapAllFast.on) kvmMmuZapAllFast(this.#kernel.stream, { generation: this.#validGeneration, usedPages: 0 });
    this.#validGeneration ^= 1;
    if (tables === undefined) return;
    this.#dropTables();
    this.#unload();
    tables.zap();
  }

  /** The mmu notifier: user pages [start, start + length) are about to go. */
  invalidateRange(start: Hva, length: number): void {
    const end = start + length;
    if (kvmUnmapHvaRange.on) kvmUnmapHvaRange(this.#kernel.stream, { start, end });
    // What maps nothing goes by the generation of the slots.
    const changed = this.#changeUserRange(start, end, (entry) => (isPresent(entry) ? 0n : entry));
    if (changed) this.#flush();
  }

  /**
   * The mmu notifier clear_flush_young: has the guest used the user pages [start, start + length) since the last time?
   * Afterwards they count as unused.
   */
  ageRange(start: Hva, length: number): boolean {
    const end = start + length;
    if (kvmAgeHva.on) kvmAgeHva(this.#kernel.stream, { start, end });
    let young = false;
    this.#changeUserRange(start, end, (entry) => {
      if (!isPresent(entry) || !isAccessed(entry)) return entry;
      young = true;
      return makeOld(entry);
    });
    if (young) this.#flush();
    return young;
  }

  /** Change the leaves made from the user addresses [start, end); whether one changed. */
  #changeUserRange(start: number, end: number, change: (entry: bigint) => bigint): boolean {
    let changed = false;
    for (const slot of this.#memslots.all()) {
      const from = Math.max(start, slot.userspaceAddress);
      const to = Math.min(end, slot.userspaceAddress + slot.pages * PAGE_SIZE);
      if (from >= to) continue;
      const first = slot.baseGfn + Math.floor((from - slot.userspaceAddress) / PAGE_SIZE);
      const last = slot.baseGfn + Math.ceil((to - slot.userspaceAddress) / PAGE_SIZE);
      if (this.#tables?.changeLeaves(first, last, change)) changed = true;
    }
    return changed;
  }

  /** The VM is gone. */
  destroy(): void {
    this.#tables?.free();
    this.#dropTables();
  }

  /** page_fault_can_be_fast: an entry without permissions may be access-tracked where the CPU keeps no accessed bits. */
  #canBeFast({ errorCode }: PageFault): boolean {
    if (errorCode & PFERR.RSVD) return false;
    return errorCode & PFERR.PRESENT ? (errorCode & PFERR.WRITE) !== 0 : !this.#accessedDirty;
  }

  /** fast_page_fault: an entry that only lacks a permission which nobody has to be asked for. RET_PF_INVALID: it is not. */
  #fastPageFault(fault: PageFault, slot: Memslot | undefined, gfn: number): number {
    const tables = this.#tables;
    if (tables === undefined) return RET_PF_INVALID;
    const { memory, stream } = this.#kernel;
    const at = tables.find(gfn);
    const old = memory.readEntry(at);
    const fixed = this.#fixed(fault, slot, old, tables.foundLevel);
    const result = isAllowed(fault, old) ? RET_PF_SPURIOUS : fixed === old ? RET_PF_INVALID : RET_PF_FIXED;
    if (result === RET_PF_FIXED) {
      memory.writeEntry(at, fixed);
      if (isWritable(fixed) && !isWritable(old)) this.#markDirty(slot!, gfn);
    }
    if (fastPageFault.on)
      fastPageFault(stream, {
        vcpu: fault.vcpu,
        address: fault.gpa,
        errorCode: fault.errorCode,
        sptep: kernelPointer(at),
        old,
        new: memory.readEntry(at),
        result,
      });
    if (result !== RET_PF_INVALID) fault.stats.pf_fast++;
    return result;
  }

  /** The entry `old` with the permission that the fault asks for, if it may be given back; else as it is. */
  #fixed(fault: PageFault, slot: Memslot | undefined, old: bigint, level: number): bigint {
    if (!isPresent(old)) return old;
    let spte = !this.#accessedDirty && isAccessTracked(old) ? restoreAccess(old) : old;
    if (fault.errorCode & PFERR.WRITE && isMmuWritable(spte)) {
      spte = allowWrite(spte);
      // The page must be split first, so that one small page is dirty and not all of them.
      if (level > 1 && slot !== undefined && logsDirtyPages(slot)) return old;
    }
    return isAllowed(fault, spte) ? spte : old;
  }

  #mapMmio(cache: MmioCache, { gpa, stats }: PageFault, gfn: number): number {
    const generation = this.#memslots.generation();
    cache.remember(gpa, generation);
    if (gfn > MAX_GFN) return RET_PF_EMULATE;
    if (kvmMmuSpteRequested.on) kvmMmuSpteRequested(this.#kernel.stream, { gfn, pfn: KVM_PFN_NOSLOT, level: 1 });
    const at = this.#build(gfn, 1);
    if (at === undefined) return -ENOMEM;
    const spte = mmioSpte(gpa, generation);
    this.#tables!.set(at, gfn, 1, spte);
    stats.pf_mmio_spte_created++;
    if (markMmioSpte.on)
      markMmioSpte(this.#kernel.stream, {
        sptep: kernelPointer(at),
        gfn,
        access: Number(spte & 7n),
        generation: mmioSpteGeneration(spte),
      });
    return RET_PF_EMULATE;
  }

  /** kvm_faultin_pfn and kvm_tdp_mmu_map. */
  #mapMemory(slot: Memslot, gfn: number, write: boolean): number {
    const hva = slotHva(slot, gfn);
    const page = this.mm.frame(hva, write);
    if (page < 0)
      return this.#kernel.refuse(EFAULT, `the memory of slot ${slot.id} at 0x${hva.toString(16)} is not there`);
    // A read fault maps writable too where the user mapping allows it: hva_to_pfn_slow tries.
    const hostWritable = !isReadonly(slot) && (write || this.mm.frame(hva, true) === page);
    const level = mappingLevel(slot, gfn, this.mm.mappingLevel(hva));
    const frames = FRAMES[level]!;
    const first = (page - (gfn % frames) * PAGE_SIZE) as Hpa;
    if (kvmMmuSpteRequested.on) kvmMmuSpteRequested(this.#kernel.stream, { gfn, pfn: BigInt(pageNumber(page)), level });
    const at = this.#build(gfn, level);
    if (at === undefined) return -ENOMEM;
    const old = this.#kernel.memory.readEntry(at);
    const writeTracked = slot.tracked.size > 0 && slot.tracked.has(gfn);
    const device = !this.#kernel.memory.contains(page as Hpa);
    const spte = leafSpte(first, level, { hostWritable, writeTracked, accessedDirty: this.#accessedDirty, device });
    if (hostWritable && !writeTracked) this.#markDirty(slot, gfn);
    if (old !== spte) {
      this.#tables!.set(at, gfn - (gfn % frames), level, spte);
      // A table that was here had translations of its own.
      if (isPresent(old) && (!isLeaf(old, level) || spteAddress(old) !== first)) this.#flush();
    }
    if (kvmMmuSetSpte.on)
      kvmMmuSetSpte(this.#kernel.stream, {
        gfn: gfn - (gfn % frames),
        spte,
        read: true,
        write: isWritable(spte),
        execute: isExecutable(spte),
        level,
        sptep: at,
      });
    if (write && writeTracked) return RET_PF_EMULATE;
    return old === spte ? RET_PF_SPURIOUS : RET_PF_FIXED;
  }

  #build(gfn: number, level: number): Hpa | undefined {
    return this.eptPointer() < 0 ? undefined : this.#tables!.build(gfn, level);
  }
}

/** is_access_allowed. */
const isAllowed = ({ errorCode }: PageFault, spte: bigint): boolean => {
  if (!isPresent(spte)) return false;
  if (errorCode & PFERR.FETCH) return isExecutable(spte);
  return errorCode & PFERR.WRITE ? isWritable(spte) : isReadable(spte);
};
