/**
 * CPUID: what KVM offers, what user space chose of it, and what the guest's instruction finds
 * (arch/x86/kvm/cpuid.c: __do_cpuid_func, cpuid_entry2_find, kvm_cpuid; leaves: SDM vol. 2A).
 */

import { PHYSICAL_ADDRESS_BITS } from '../../hardware/vcpu/paging.ts';
import { VECTOR } from '../../hardware/vcpu/pending-event.ts';
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from '../uapi/kvm.ts';
import { APIC_BASE_ENABLE } from './apic-registers.ts';
import { RAX, RBX, RCX, RDX } from './cpu.ts';
import { CPUID_FAULT, MSR_MISC_FEATURES_ENABLES } from './msr-table.ts';
import { kvmCpuid } from './trace.ts';
import type { CpuidEntry, KvmVcpu } from './vcpu.ts';

/** KVM_MAX_CPUID_ENTRIES. */
export const MAX_CPUID_ENTRIES = 256;

const bits = (...numbers: readonly number[]) => numbers.reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);
const letters = (text: string) =>
  new DataView(new TextEncoder().encode(text.padEnd(4, '\0')).buffer).getUint32(0, true);

/** Leaf 1: CMPXCHG16B, PCID, MOVBE, POPCNT, RDRAND, hypervisor present. No SSE: the model's CPU has general registers only. */
const LEAF_1_ECX = bits(13, 17, 22, 23, 30, 31);
const LEAF_1_EDX_APIC = bits(9);
/** Leaf 1: DE, PSE, TSC, MSR, PAE, CMPXCHG8B, APIC, SYSENTER, MTRR, PGE, CMOV, PAT, PSE-36, CLFLUSH. */
const LEAF_1_EDX = bits(2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 17, 19);
/** Leaf 7: FSGSBASE, BMI1, SMEP, BMI2, INVPCID, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB. */
const LEAF_7_EBX = bits(0, 3, 7, 8, 10, 18, 19, 20, 23, 24);
/** Leaf 7: UMIP, RDPID, CLDEMOTE. */
const LEAF_7_ECX = bits(2, 22, 25);
/** Leaf 7: SERIALIZE. */
const LEAF_7_EDX = bits(14);
/** Leaf 0x80000001: LAHF in 64-bit mode, LZCNT, PREFETCHW. */
const EXTENDED_ECX = bits(0, 5, 8);
/** Leaf 0x80000001: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode. */
const EXTENDED_EDX = bits(11, 20, 26, 27, 29);
/** Leaf 0x80000008: WBNOINVD. */
const EXTENDED_8_EBX = bits(9);

const padding = new Uint8Array(12);
const leaf = (number: number, eax = 0, ebx = 0, ecx = 0, edx = 0, flags = 0): CpuidEntry => ({
  function: number,
  index: 0,
  flags,
  eax,
  ebx,
  ecx,
  edx,
  padding,
});

/** KVM_GET_SUPPORTED_CPUID. */
export const supportedCpuid: readonly CpuidEntry[] = [
  leaf(0, 7, letters('Genu'), letters('ntel'), letters('ineI')),
  leaf(1, 0x000306c3, 8 << 8, LEAF_1_ECX, LEAF_1_EDX),
  leaf(7, 0, LEAF_7_EBX, LEAF_7_ECX, LEAF_7_EDX, KVM_CPUID_FLAG_SIGNIFCANT_INDEX),
  leaf(0x40000000, 0x40000001, letters('KVMK'), letters('VMKV'), letters('M')),
  leaf(0x40000001),
  leaf(0x80000000, 0x80000008),
  leaf(0x80000001, 0, 0, EXTENDED_ECX, EXTENDED_EDX),
  leaf(0x80000002, letters('gvm '), letters('inte'), letters('rpre'), letters('ted ')),
  leaf(0x80000003, letters('x86-'), letters('64 C'), letters('PU'), 0),
  leaf(0x80000004),
  // Physical and linear address bits.
  leaf(0x80000008, PHYSICAL_ADDRESS_BITS | (48 << 8), EXTENDED_8_EBX),
];

/** cpuid_entry2_find: the entry for a leaf, and a subleaf where it matters. */
export const findCpuid = (entries: readonly CpuidEntry[], number: number, index: number): CpuidEntry | undefined =>
  entries.find(
    (entry) =>
      entry.function === number && ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) === 0 || entry.index === index),
  );

/** get_out_of_range_cpuid_entry: Intel answers a leaf beyond the last of its class with the last basic leaf. */
function outOfRange(entries: readonly CpuidEntry[], number: number, index: number): CpuidEntry | undefined {
  const basic = findCpuid(entries, 0, 0);
  if (basic === undefined || basic.ebx !== letters('Genu')) return undefined;
  const hypervisor = number >= 0x40000000 && number <= 0x4fffffff;
  const classBase = hypervisor ? (number & 0xffffff00) >>> 0 : (number & 0x80000000) >>> 0;
  const last = findCpuid(entries, classBase, 0);
  if (last !== undefined && number <= last.eax) return undefined;
  return findCpuid(entries, basic.eax, index);
}

/** kvm_update_cpuid_runtime: leaf 1 tells of a local APIC only while it is switched on. */
const apicEnabled = ({ apicBase, lapic }: KvmVcpu) => lapic !== undefined && (apicBase & APIC_BASE_ENABLE) !== 0n;

/** The CPUID exit: registers from the entries that user space set; zeros where there is none. */
export function emulateCpuid(vcpu: KvmVcpu): number {
  const { cpu, cpuid } = vcpu;
  // cpuid_fault_enabled
  if ((vcpu.msrs.get(MSR_MISC_FEATURES_ENABLES) ?? 0n) & CPUID_FAULT && cpu.segment('ss').dpl !== 0) {
    vcpu.queueException(VECTOR.GP, 0);
    return 1;
  }
  const number = Number(BigInt.asUintN(32, cpu.register(RAX)));
  const index = Number(BigInt.asUintN(32, cpu.register(RCX)));
  const exact = findCpuid(cpuid, number, index);
  const entry = exact ?? outOfRange(cpuid, number, index);
  const { eax, ebx, ecx } = entry ?? { eax: 0, ebx: 0, ecx: 0 };
  const edx = (entry?.edx ?? 0) & ~(number === 1 && !apicEnabled(vcpu) ? LEAF_1_EDX_APIC : 0);
  if (kvmCpuid.on)
    kvmCpuid(vcpu.vm.kernel.stream, {
      function: number,
      index,
      rax: eax,
      rbx: ebx,
      rcx: ecx,
      rdx: edx,
      found: exact !== undefined,
      outOfRange: exact === undefined && entry !== undefined,
    });
  cpu.setRegister(RAX, BigInt(eax));
  cpu.setRegister(RBX, BigInt(ebx));
  cpu.setRegister(RCX, BigInt(ecx));
  cpu.setRegister(RDX, BigInt(edx));
  cpu.skipInstruction();
  return 1;
}

/** Physical addresses of a processor whose CPUID does not tell how wide they are. */
const DEFAULT_PHYSICAL_BITS = 36;
const LARGEST_EXTENDED = 0x80000000;
export const ADDRESS_SIZES = 0x80000008;

/** cpuid_query_maxphyaddr: how many bits the guest's physical addresses have. */
export function maxPhysicalBits({ cpuid }: Pick<KvmVcpu, 'cpuid'>): number {
  const leaf = (wanted: number) => findCpuid(cpuid, wanted, 0);
  if ((leaf(LARGEST_EXTENDED)?.eax ?? 0) < ADDRESS_SIZES) return DEFAULT_PHYSICAL_BITS;
  const sizes = leaf(ADDRESS_SIZES);
  return sizes === undefined ? DEFAULT_PHYSICAL_BITS : sizes.eax & 0xff;
}
