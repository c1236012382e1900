/**
 * Model-specific registers that KVM keeps for a guest because the CPU of the model does not (arch/x86/kvm/x86.c:
 * kvm_get_msr_common, kvm_set_msr_common; mtrr.c; vmx/vmx.c: vmx_set_msr).
 *
 * Fidelity: KVM's own MSRs (kvmclock and its like) and those of processors of other makes are not there.
 */

import { MSR } from '../../hardware/vcpu/msr-services.ts';

export const MSR_IA32_TSC = MSR.TSC;
export const MSR_IA32_APIC_BASE = 0x1b;
export const MSR_IA32_TSC_ADJUST = 0x3b;
export const MSR_TSC_AUX = MSR.TSC_AUX;
export const MSR_MISC_FEATURES_ENABLES = 0x140;
export const CPUID_FAULT = 1n;
const MSR_IA32_UCODE_REV = 0x8b;
const MSR_IA32_MISC_ENABLE = 0x1a0;
const MSR_MTRR_DEF_TYPE = 0x2ff;
const MSR_IA32_PAT = 0x277;
const MSR_MTRR_CAP = 0xfe;

/** What a write of `value` over `before` leaves; `undefined`: the guest gets #GP. Its CPUID says how wide its physical addresses are. */
type Write = (value: bigint, before: bigint, physicalBits: number) => bigint | undefined;

export interface KeptMsr {
  /** Value after reset. */
  readonly reset: bigint;
  /** A write of the guest's. User space's goes through as it is, unless `strict`. */
  readonly write: Write;
  readonly strict?: boolean;
  /** KVM knows how to read it, and of no way to write it. */
  readonly readOnly?: true;
}

const any: Write = (value) => value;
const ignored: Write = (_value, before) => before;
const refused: Write = () => undefined;
const bits =
  (mask: bigint): Write =>
  (value) =>
    (value & ~mask) === 0n ? value : undefined;
const constant = (reset: bigint): KeptMsr => ({ reset, write: refused, strict: true, readOnly: true });

const fits = (value: bigint, physicalBits: number) => value >> BigInt(physicalBits) === 0n;
/** Each byte is one of `types`, a set by bits (kvm_pat_valid, valid_mtrr_type). */
const everyByteOf = (types: number, value: bigint): boolean => {
  for (let rest = value; rest > 0n; rest >>= 8n) {
    const type = Number(rest & 0xffn);
    if (type > 7 || ((types >> type) & 1) === 0) return false;
  }
  return true;
};
/** UC, WC, WT, WP, WB; in the PAT UC- too. */
const MTRR_TYPES = 0x73;
const PAT_TYPES = 0xf3;
const typesOf =
  (types: number): Write =>
  (value) =>
    everyByteOf(types, value) ? value : undefined;
/** A base or a mask of an MTRR: the low byte of a base is a type. */
const mtrrBase: Write = (value, _before, physicalBits) =>
  everyByteOf(MTRR_TYPES, value & 0xffn) && (value & 0xf00n) === 0n && fits(value, physicalBits) ? value : undefined;
const mtrrMask: Write = (value, _before, physicalBits) =>
  (value & 0x7ffn) === 0n && fits(value, physicalBits) ? value : undefined;

/** Bits of MISC_ENABLE: performance monitoring is as it is, and BTS and PEBS are said to be absent or not once for all. */
const EMON = 1n << 7n;
const BTS_AND_PEBS_UNAVAILABLE = (1n << 11n) | (1n << 12n);
const miscEnable: Write = (value, before) =>
  (value ^ before) & BTS_AND_PEBS_UNAVAILABLE ? undefined : (value & ~EMON) | (before & EMON);
/** FEATURE_CONTROL without VMX has nothing but its lock. */
const featureControl: Write = (value, before) => (before & 1n || value & ~1n ? undefined : value);
/** Last-branch records and branch steps are asked for in vain, all else of DEBUGCTL is refused. */
const debugControl: Write = (value) => (value & ~3n ? undefined : 0n);

const single: ReadonlyMap<number, KeptMsr> = new Map<number, KeptMsr>([
  // P5_MC_ADDR, P5_MC_TYPE, PLATFORM_ID, EBL_CR_POWERON, LASTBRANCH and LASTINT, PERF_CTL, energy counters: nothing to tell.
  ...[0, 1, 0x17, 0x2a, 0x1db, 0x1dc, 0x1dd, 0x1de, 0x199, 0x606, 0x611, 0x619, 0x639, 0x641].map(
    (index) => [index, constant(0n)] as const,
  ),
  // Counters and their selectors of a processor without performance monitoring; the TSC deadline in another mode.
  ...[0xc1, 0xc2, 0x186, 0x187, 0x6e0].map((index) => [index, { reset: 0n, write: ignored }] as const),
  [MSR_IA32_UCODE_REV, { reset: 0x1_0000_0000n, write: ignored }],
  // EBC_FREQUENCY_ID, FSB_FREQ, PERF_STATUS: 1000 ticks of the counter, multiplied by 4.
  [0x2c, constant(1n << 24n)],
  [0xcd, constant(3n)],
  [0x198, constant((4n << 40n) | 1000n)],
  // SMI_COUNT
  [0x34, { reset: 0n, write: refused }],
  [0x3a, { reset: 0n, write: featureControl }],
  // PLATFORM_INFO: CPUID can be made to fault.
  [0xce, { reset: 1n << 31n, write: refused }],
  // Eight variable ranges, fixed ranges, write-combining.
  [MSR_MTRR_CAP, constant(0x508n)],
  // BBL_CR_CTL3
  [0x11e, { reset: 0xbe70_2111n, write: ignored }],
  [MSR_MISC_FEATURES_ENABLES, { reset: 0n, write: bits(CPUID_FAULT), strict: true }],
  // MCG_CAP: KVM_MAX_MCE_BANKS, and no MCG_CTL. MCG_STATUS.
  [0x179, constant(0x20n)],
  [0x17a, { reset: 0n, write: any }],
  // Fast strings, as QEMU leaves it.
  [MSR_IA32_MISC_ENABLE, { reset: 1n, write: miscEnable }],
  [0x1d9, { reset: 0n, write: debugControl, strict: true }],
  // POWER_CTL
  [0x1fc, { reset: 0n, write: any }],
  [MSR_IA32_PAT, { reset: 0x0007_0406_0007_0406n, write: typesOf(PAT_TYPES), strict: true }],
  [
    MSR_MTRR_DEF_TYPE,
    {
      reset: 0n,
      write: (value) => ((value & ~0xcffn) === 0n && everyByteOf(MTRR_TYPES, value & 0xffn) ? value : undefined),
      strict: true,
    },
  ],
]);

const MTRR_BASE: KeptMsr = { reset: 0n, write: mtrrBase, strict: true };
const MTRR_MASK: KeptMsr = { reset: 0n, write: mtrrMask, strict: true };
const MTRR_FIXED: KeptMsr = { reset: 0n, write: typesOf(MTRR_TYPES), strict: true };
/** A bank of machine checks: what it reports is all or nothing, what it has reported can be cleared. */
const ALL = 0xffff_ffff_ffff_ffffn;
const MC_BANK: readonly KeptMsr[] = [
  { reset: 0n, write: (value) => (value === 0n || (value | (1n << 10n) | 1n) === ALL ? value : undefined) },
  { reset: 0n, write: (value) => (value === 0n ? value : undefined) },
  { reset: 0n, write: any },
  { reset: 0n, write: any },
];

/** The MSR that KVM keeps by the number of `index`. */
export function keptMsr(index: number): KeptMsr | undefined {
  if (index >= 0x200 && index < 0x210) return (index & 1) === 0 ? MTRR_BASE : MTRR_MASK;
  if (index === 0x250 || index === 0x258 || index === 0x259 || (index >= 0x268 && index < 0x270)) return MTRR_FIXED;
  if (index >= 0x400 && index < 0x480) return MC_BANK[index & 3];
  return single.get(index);
}

/**
 * MSRs, first and last, that KVM knows and this guest has not, because they belong to a feature that it was not given: an access is invalid,
 * where any other MSR that is not there is unknown (KVM_MSR_RET_INVALID).
 */
const WITHHELD: readonly (readonly [first: number, last: number])[] = [
  [0x48, 0x48], // SPEC_CTRL
  [0x8c, 0x8f], // SGXLEPUBKEYHASH
  [0x9e, 0x9e], // SMBASE
  [0xe1, 0xe1], // UMWAIT_CONTROL
  [0x10a, 0x10a], // ARCH_CAPABILITIES
  [0x122, 0x122], // TSX_CTRL
  [0x17b, 0x17b], // MCG_CTL
  [0x1c4, 0x1c5], // XFD
  [0x200, 0x2ff], // MTRRs and machine-check controls that there are not
  [0x345, 0x345], // PERF_CAPABILITIES
  [0x3f1, 0x3f2], // PEBS
  [0x480, 0x491], // VMX
  [0x4d0, 0x4d0], // MCG_EXT_CTL
  [0x560, 0x561], // RTIT
  [0x570, 0x572],
  [0x580, 0x587],
  [0x600, 0x600], // DS_AREA
  [0x800, 0x8ff], // x2APIC
  [0xd90, 0xd90], // BNDCFGS
  [0xda0, 0xda0], // XSS
  [0x40000000, 0x4000009f], // Hyper-V
  [0x400000b0, 0x400000b7],
  [0x400000f1, 0x400000f6],
  [0x400000ff, 0x40000108],
  [MSR_TSC_AUX, MSR_TSC_AUX],
];
export const isWithheld = (index: number): boolean => WITHHELD.some(([first, last]) => index >= first && index <= last);

/** vmx_possible_passthrough_msrs: the processor's own that leave the guest neither when read nor when written. */
const PASSED_THROUGH: ReadonlySet<number> = new Set([
  MSR.SYSENTER_CS,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.FS_BASE,
  MSR.GS_BASE,
  MSR.KERNEL_GS_BASE,
]);
export const isPassedThrough = (index: number, write: boolean): boolean =>
  PASSED_THROUGH.has(index) || (index === MSR_IA32_TSC && !write);

/** kvm_set_apic_base: no bits that a local APIC without x2APIC has not, and an address of `physicalBits`. */
export const validApicBase = (value: bigint, physicalBits: number): boolean =>
  (value & 0x6ffn) === 0n && fits(value, physicalBits);

/** MSRs that user space saves and restores, if the CPU has them (msrs_to_save, emulated_msrs). */
const architectural = [
  MSR_IA32_TSC,
  MSR_IA32_APIC_BASE,
  MSR.SYSENTER_CS,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.EFER,
  MSR.STAR,
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.FMASK,
  MSR.FS_BASE,
  MSR.GS_BASE,
  MSR.KERNEL_GS_BASE,
  MSR_IA32_TSC_ADJUST,
  0x34,
  0x3a,
  0xce,
  MSR_MISC_FEATURES_ENABLES,
  0x17a,
  0x1fc,
] as const;
/** KVM_GET_MSR_FEATURE_INDEX_LIST: what CPUs of this host have alike. */
export const featureMsrs: readonly number[] = [MSR_IA32_UCODE_REV];
/** KVM_GET_MSR_INDEX_LIST. */
export const msrIndexList: readonly number[] = [
  ...architectural,
  MSR_IA32_UCODE_REV,
  MSR_MTRR_CAP,
  MSR_IA32_MISC_ENABLE,
  MSR_IA32_PAT,
  MSR_MTRR_DEF_TYPE,
];
