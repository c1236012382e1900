/** The tracepoints of KVM's MMU: page faults, EPT entries, MMIO entries (trace.h and mmu/mmutrace.h of Linux 6.1). */

import type { Hpa } from '../../address.ts';
import { event } from '../../event.ts';

const hex = (value: number | bigint) => value.toString(16);

/** Linux's direct map of all RAM: what a kernel pointer to a page-table entry looks like. */
const PAGE_OFFSET = 0xffff888000000000n;
/** `%p` of a kernel pointer to the word at `address`. */
export const kernelPointer = (address: Hpa): bigint => PAGE_OFFSET + BigInt(address);

export const kvmPageFault = event(
  'kvm_page_fault',
  'kvm',
  { vcpu: 'u32', rip: 'u64', address: 'address', errorCode: 'address' },
  (e) =>
    `vcpu ${e.vcpu} rip 0x${hex(e.rip)} address 0x${hex(e.address).padStart(16, '0')} error_code 0x${hex(e.errorCode)}`,
  'An EPT violation; on VMX error_code is the exit qualification.',
);

/** kvm_mmu_trace_pferr_flags. */
const PFERR_FLAGS = ['P', 'W', 'U', 'RSVD', 'F'] as const;
const flagsOf = (code: number): string => PFERR_FLAGS.filter((_, bit) => ((code >> bit) & 1) === 1).join('|');
const pferr = (code: number): string => `pferr ${hex(code)} ${flagsOf(code)}`;

export const kvmMmuPagetableWalk = event(
  'kvm_mmu_pagetable_walk',
  'kvm',
  { address: 'u64', pferr: 'u32' },
  (e) => `addr ${hex(e.address)} ${pferr(e.pferr)}`,
  "KVM itself walks the guest's page tables: to read code for the emulator, or for KVM_TRANSLATE.",
);

export const kvmMmuPagingElement = event(
  'kvm_mmu_paging_element',
  'kvm',
  { pte: 'u64', level: 'u8' },
  (e) => `pte ${hex(e.pte)} level ${e.level}`,
  'An entry that this walk read.',
);

export const kvmMmuWalkerError = event(
  'kvm_mmu_walker_error',
  'kvm',
  { pferr: 'u32' },
  (e) => pferr(e.pferr),
  'This walk ended at an entry that maps nothing.',
);

/** access_str of KVM_MMU_PAGE_PRINTK. */
const PAGE_ACCESS = ['---', '--x', 'w--', 'w-x', '-u-', '-ux', 'wu-', 'wux'] as const;

const PAGE_FIELDS = {
  generation: 'u32',
  gfn: 'address',
  level: 'u8',
  access: 'u8',
  accessedDirty: 'bool',
  rootCount: 'u32',
} as const;
/** KVM_MMU_PAGE_PRINTK. */
const pageText = (e: {
  generation: number;
  gfn: number;
  level: number;
  access: number;
  accessedDirty: boolean;
  rootCount: number;
}) =>
  `sp gen ${e.generation} gfn ${hex(e.gfn)} l${e.level} 8-byte q0 direct ${PAGE_ACCESS[e.access & 7]} ` +
  `nxe ${e.accessedDirty ? '' : '!'}ad root ${e.rootCount} sync`;

export const kvmMmuGetPage = event(
  'kvm_mmu_get_page',
  'kvm',
  PAGE_FIELDS,
  (e) => `${pageText(e)} new`,
  'A page of extended page tables was made.',
);

export const kvmMmuPrepareZapPage = event(
  'kvm_mmu_prepare_zap_page',
  'kvm',
  PAGE_FIELDS,
  pageText,
  'A page of extended page tables is linked nowhere any more; its entries go next.',
);

export const markMmioSpte = event(
  'mark_mmio_spte',
  'kvm',
  { sptep: 'u64', gfn: 'address', access: 'u32', generation: 'u32' },
  (e) => `sptep:${hex(e.sptep)} gfn ${hex(e.gfn)} access ${hex(e.access)} gen ${hex(e.generation)}`,
  'An EPT entry becomes an MMIO entry: later accesses raise a misconfiguration.',
);

export const checkMmioSpte = event(
  'check_mmio_spte',
  'kvm',
  { spte: 'u64', kvmGeneration: 'u32', spteGeneration: 'u32', valid: 'bool' },
  (e) =>
    `spte ${hex(e.spte)} kvm_gen ${hex(e.kvmGeneration)} spte-gen ${hex(e.spteGeneration)} valid ${e.valid ? 1 : 0}`,
  'After a misconfiguration: is the MMIO entry from the present generation of memory slots?',
);

export const handleMmioPageFault = event(
  'handle_mmio_page_fault',
  'kvm',
  { address: 'address', gfn: 'address', access: 'u32' },
  (e) => `addr:${hex(e.address)} gfn ${hex(e.gfn)} access ${hex(e.access)}`,
  'A valid MMIO entry was hit: the access will be emulated.',
);

export const kvmMmuSetSpte = event(
  'kvm_mmu_set_spte',
  'kvm',
  { gfn: 'address', spte: 'u64', read: 'bool', write: 'bool', execute: 'bool', level: 'u8', sptep: 'address' },
  (e) =>
    `gfn ${hex(e.gfn)} spte ${hex(e.spte)} (${e.read ? 'r' : '-'}${e.write ? 'w' : '-'}${e.execute ? 'x' : '-'}` +
    `${e.read ? 'u' : '-'}) level ${e.level} at ${hex(e.sptep)}`,
  'An EPT leaf entry was written.',
);

export const kvmMmuSpteRequested = event(
  'kvm_mmu_spte_requested',
  'kvm',
  { gfn: 'address', pfn: 'u64', level: 'u8' },
  (e) => `gfn ${hex(e.gfn)} pfn ${hex(e.pfn)} level ${e.level}`,
  'A page fault is about to be mapped.',
);

export const kvmTdpMmuSpteChanged = event(
  'kvm_tdp_mmu_spte_changed',
  'kvm',
  { asId: 'u8', gfn: 'address', level: 'u8', oldSpte: 'u64', newSpte: 'u64' },
  (e) => `as id ${e.asId} gfn ${hex(e.gfn)} level ${e.level} old_spte ${hex(e.oldSpte)} new_spte ${hex(e.newSpte)}`,
  'Any EPT entry changed.',
);

export const kvmMmuZapAllFast = event(
  'kvm_mmu_zap_all_fast',
  'kvm',
  { generation: 'u32', usedPages: 'u32' },
  (e) => `kvm-mmu-valid-gen ${e.generation} used_pages ${hex(e.usedPages)}`,
  'All EPT tables were dropped.',
);

export const kvmUnmapHvaRange = event(
  'kvm_unmap_hva_range',
  'kvm',
  { start: 'address', end: 'address' },
  (e) => `mmu notifier unmap range: 0x${hex(e.start).padStart(14, '0')} -- 0x${hex(e.end).padStart(14, '0')}`,
  "The VM's process unmaps memory: KVM drops the EPT entries made from it.",
);

export const kvmMmuSplitHugePage = event(
  'kvm_mmu_split_huge_page',
  'kvm',
  { gfn: 'address', spte: 'u64', level: 'u8', errno: 's32' },
  (e) => `gfn ${hex(e.gfn)} spte ${hex(e.spte)} level ${e.level} errno ${e.errno}`,
  'A large EPT leaf became a table of smaller ones.',
);

export const fastPageFault = event(
  'fast_page_fault',
  'kvm',
  {
    vcpu: 'u32',
    address: 'address',
    errorCode: 'u32',
    sptep: 'u64',
    old: 'u64',
    new: 'u64',
    result: 'u8',
  },
  (e) =>
    `vcpu ${e.vcpu} gva ${hex(e.address)} error_code ${flagsOf(e.errorCode)} sptep ${hex(e.sptep)} ` +
    `old 0x${hex(e.old)} new ${hex(e.new)} spurious ${e.result === 5 ? 1 : 0} fixed ${e.result === 4 ? 1 : 0}`,
  'A fault for which a permission may only have to be given back (dirty logging, access tracking), and whether that was it.',
);

export const kvmAgeHva = event(
  'kvm_age_hva',
  'kvm',
  { start: 'address', end: 'address' },
  (e) => `mmu notifier age hva: 0x${hex(e.start).padStart(14, '0')} -- 0x${hex(e.end).padStart(14, '0')}`,
  "The host asks which pages of the VM's process the guest has used lately.",
);

export const kvmPmlFull = event(
  'kvm_pml_full',
  'kvm',
  { vcpu: 'u32' },
  (e) => `vcpu ${e.vcpu}: PML full`,
  "The CPU's page-modification log has no room: the pages in it are marked dirty.",
);
