/**
 * How large a page of EPT may be: what the slot, the host's own mapping, dirty logging and write tracking allow
 * (arch/x86/kvm/mmu/mmu.c: kvm_mmu_max_mapping_level, kvm_mmu_hugepage_adjust; x86.c: kvm_alloc_memslot_metadata).
 */

import { pageNumber } from '../../address.ts';
import { FRAMES } from './ept-tables.ts';
import { logsDirtyPages, type Memslot } from './memslots.ts';

/** 1 GiB (KVM_MAX_HUGEPAGE_LEVEL). */
const LARGEST_LEVEL = 3;

/**
 * Level of the leaf for `gfn`: 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB). `hostLevel` is the level of the host's page-table entry
 * for the slot's memory there.
 */
export function mappingLevel(slot: Memslot, gfn: number, hostLevel: number): number {
  if (logsDirtyPages(slot)) return 1;
  let level = Math.min(hostLevel, LARGEST_LEVEL);
  while (level > 1 && !allowed(slot, gfn, level)) level--;
  return level;
}

/** disallow_lpage: the large page lies inside the slot, is aligned alike on both sides, and holds no tracked frame. */
function allowed(slot: Memslot, gfn: number, level: number): boolean {
  const frames = FRAMES[level]!;
  const first = gfn - (gfn % frames);
  if (first < slot.baseGfn || first + frames > slot.baseGfn + slot.pages) return false;
  if (slot.baseGfn % frames !== pageNumber(slot.userspaceAddress) % frames) return false;
  for (const tracked of slot.tracked.keys()) if (tracked >= first && tracked < first + frames) return false;
  return true;
}
