/**
 * KVM's MMU: what happens between an EPT violation and the entry that ends it (arch/x86/kvm/mmu/mmu.c of Linux 6.1,
 * direct_page_fault, handle_mmio_page_fault, kvm_mmu_zap_all_fast, the mmu notifier).
 *
 * A frame with a memory slot behind it gets the page of the VM's process that stands there; one without gets an MMIO
 * entry stamped with the generation of the slots, so that any change of the slots makes it stale.
 */

import { type Gpa, type Hpa, type Hva, PAGE_SIZE, pageNumber } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import { EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { EptTables } from './ept-tables.ts';
import { isReadonly, type Memslot, type Memslots, slotHva } from './memslots.ts';
import {
  eptPointer,
  isExecutable,
  isMmioSpte,
  isReadable,
  isWritable,
  leafSpte,
  MMIO_GENERATION_MASK,
  mmioSpte,
  mmioSpteGeneration,
  spteAddress,
} from './spte.ts';
import {
  checkMmioSpte,
  handleMmioPageFault,
  kernelPointer,
  kvmMmuSetSpte,
  kvmMmuSpteRequested,
  kvmMmuZapAllFast,
  kvmUnmapHvaRange,
  markMmioSpte,
} from './trace-mmu.ts';

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
const NO_FRAME = -1;

/** A vCPU's memory of the last MMIO page it touched (vcpu_cache_mmio_info): later exits need no walk. */
export class MmioCache {
  gfn = NO_FRAME;
  generation = 0;

  holds(gpa: Gpa, generation: number): boolean {
    return this.generation === generation && this.gfn === pageNumber(gpa);
  }
}

export class Mmu {
  readonly #kernel: Kernel;
  readonly #mm: AddressSpace;
  readonly #memslots: Memslots;
  readonly #flush: () => void;
  #tables: EptTables | undefined;
  #validGeneration = 0;

  /** `flush` makes every vCPU of the VM forget its translations (kvm_flush_remote_tlbs). */
  constructor(kernel: Kernel, mm: AddressSpace, memslots: Memslots, flush: () => void) {
    this.#kernel = kernel;
    this.#mm = mm;
    this.#memslots = memslots;
    this.#flush = flush;
  }

  /** kvm_mmu_reload: the EPTP to enter the guest with, making a root if there is none; -ENOMEM. */
  eptPointer(): number {
    if (this.#tables === undefined) {
      const root = this.#kernel.pages.allocate();
      if (root === undefined) return -ENOMEM;
      this.#tables = new EptTables(this.#kernel.memory, this.#kernel.pages, this.#kernel.stream, root);
    }
    return eptPointer(this.#tables.root);
  }

  /** The tables now in use, for walks and reports; `undefined` before the first entry and after a zap. */
  get tables(): EptTables | undefined {
    return this.#tables;
  }

  /** direct_page_fault for a guest access to `gpa`: RET_PF_* or -errno. */
  pageFault(cache: MmioCache, gpa: Gpa, write: boolean): number {
    const gfn = pageNumber(gpa);
    const slot = this.#memslots.find(gfn);
    if (slot === undefined) return this.#mapMmio(cache, gpa, gfn);
    if (write && isReadonly(slot)) return RET_PF_EMULATE;
    return this.#mapMemory(slot, gfn, write);
  }

  /** A misconfiguration at `gpa`: RET_PF_EMULATE for a valid MMIO entry, RET_PF_INVALID for a stale one, RET_PF_RETRY. */
  mmioPageFault(cache: MmioCache, gpa: Gpa): number {
    const generation = this.#memslots.generation();
    if (cache.holds(gpa, generation)) return RET_PF_EMULATE;
    const gfn = pageNumber(gpa);
    const at = this.#tables?.leaf(gfn);
    const spte = at === undefined ? 0n : this.#kernel.memory.readEntry(at);
    if (!isMmioSpte(spte)) return isWritable(spte) && !isReadable(spte) ? -EINVAL : RET_PF_RETRY;
    const { stream } = this.#kernel;
    const spteGeneration = mmioSpteGeneration(spte);
    const kvmGeneration = generation % (MMIO_GENERATION_MASK + 1);
    const valid = spteGeneration === kvmGeneration;
    if (checkMmioSpte.on) checkMmioSpte(stream, { spte, kvmGeneration, spteGeneration, valid });
    if (!valid) return RET_PF_INVALID;
    if (handleMmioPageFault.on) handleMmioPageFault(stream, { address: 0, gfn, access: 0 });
    cache.gfn = gfn;
    cache.generation = generation;
    return RET_PF_EMULATE;
  }

  /** kvm_mmu_invalidate_mmio_sptes: when the 19 bits in the MMIO entries wrap, old entries would look valid again. */
  memslotsUpdated(generation: number): void {
    if (generation % (MMIO_GENERATION_MASK + 1) <= 1) this.zapAll();
  }

  /** kvm_mmu_zap_all_fast: the next entry starts from an empty root. */
  zapAll(): void {
    const tables = this.#tables;
    if (kvmMmuZapAllFast.on)
      kvmMmuZapAllFast(this.#kernel.stream, { generation: this.#validGeneration, usedPages: tables?.pageCount ?? 0 });
    this.#validGeneration ^= 1;
    if (tables === undefined) return;
    this.#tables = undefined;
    this.#flush();
    tables.free();
  }

  /** The mmu notifier: user pages [start, start + length) are about to go. */
  invalidateRange(start: Hva, length: number): void {
    const end = start + length;
    if (kvmUnmapHvaRange.on) kvmUnmapHvaRange(this.#kernel.stream, { start, end });
    let changed = false;
    for (const slot of this.#memslots.all()) {
      const from = Math.max(start, slot.userspaceAddress);
      const to = Math.min(end, slot.userspaceAddress + slot.pages * PAGE_SIZE);
      if (from >= to) continue;
      const first = slot.baseGfn + Math.floor((from - slot.userspaceAddress) / PAGE_SIZE);
      const last = slot.baseGfn + Math.ceil((to - slot.userspaceAddress) / PAGE_SIZE);
      if (this.#tables?.changeLeaves(first, last, () => 0n)) changed = true;
    }
    if (changed) this.#flush();
  }

  /** The VM is gone. */
  destroy(): void {
    this.#tables?.free();
    this.#tables = undefined;
  }

  #mapMmio(cache: MmioCache, gpa: Gpa, gfn: number): number {
    const generation = this.#memslots.generation();
    cache.gfn = gfn;
    cache.generation = generation;
    if (gfn > MAX_GFN) return RET_PF_EMULATE;
    if (kvmMmuSpteRequested.on) kvmMmuSpteRequested(this.#kernel.stream, { gfn, pfn: KVM_PFN_NOSLOT, level: 1 });
    const at = this.#build(gfn);
    if (at === undefined) return -ENOMEM;
    const spte = mmioSpte(gpa, generation);
    this.#tables!.set(at, gfn, 1, spte);
    if (markMmioSpte.on)
      markMmioSpte(this.#kernel.stream, {
        sptep: kernelPointer(at),
        gfn,
        access: Number(spte & 7n),
        generation: mmioSpteGeneration(spte),
      });
    return RET_PF_EMULATE;
  }

  #mapMemory(slot: Memslot, gfn: number, write: boolean): number {
    const hva = slotHva(slot, gfn);
    const page = this.#mm.frame(hva, write);
    if (page < 0)
      return this.#kernel.refuse(EFAULT, `the memory of slot ${slot.id} at 0x${hva.toString(16)} is not there`);
    // A read fault maps writable too where the user mapping allows it: hva_to_pfn_slow tries.
    const hostWritable = !isReadonly(slot) && (write || this.#mm.frame(hva, true) === page);
    if (kvmMmuSpteRequested.on)
      kvmMmuSpteRequested(this.#kernel.stream, { gfn, pfn: BigInt(pageNumber(page)), level: 1 });
    const at = this.#build(gfn);
    if (at === undefined) return -ENOMEM;
    const old = this.#kernel.memory.readEntry(at);
    const spte = leafSpte(page as Hpa, hostWritable, true);
    if (old === spte) return RET_PF_SPURIOUS;
    this.#tables!.set(at, gfn, 1, spte);
    if (isReadable(old) && spteAddress(old) !== page) this.#flush();
    if (kvmMmuSetSpte.on)
      kvmMmuSetSpte(this.#kernel.stream, {
        gfn,
        spte,
        read: true,
        write: isWritable(spte),
        execute: isExecutable(spte),
        level: 1,
        sptep: at,
      });
    return RET_PF_FIXED;
  }

  #build(gfn: number): Hpa | undefined {
    return this.eptPointer() < 0 ? undefined : this.#tables!.buildLeaf(gfn);
  }
}
