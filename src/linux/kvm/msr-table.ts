/**
 * Model-specific registers that KVM keeps for a guest because the CPU of the model does not (arch/x86/kvm/x86.c:
 * kvm_get_msr_common, kvm_set_msr_common).
 */

export const MSR_IA32_APIC_BASE = 0x1b;
const MSR_IA32_UCODE_REV = 0x8b;
const MSR_MTRR_CAP = 0xfe;
const MSR_IA32_MISC_ENABLE = 0x1a0;
const MSR_MTRR_DEF_TYPE = 0x2ff;
const MSR_IA32_PAT = 0x277;

/** Value after reset, and the bits a guest may change. */
interface KeptMsr {
  readonly reset: bigint;
  readonly writable: bigint;
}
/** MSRs that KVM keeps, by number. */
export const keptMsrs: ReadonlyMap<number, KeptMsr> = new Map([
  [MSR_IA32_UCODE_REV, { reset: 0x1_0000_0000n, writable: 0n }],
  // Eight variable ranges, fixed ranges, write-combining.
  [MSR_MTRR_CAP, { reset: 0x508n, writable: 0n }],
  // Fast strings.
  [MSR_IA32_MISC_ENABLE, { reset: 1n, writable: 0xffff_ffff_ffff_ffffn }],
  [MSR_IA32_PAT, { reset: 0x0007_0406_0007_0406n, writable: 0xffff_ffff_ffff_ffffn }],
  [MSR_MTRR_DEF_TYPE, { reset: 0n, writable: 0xcffn }],
]);

/** The MSRs of a new vCPU, by number. */
export const defaultMsrs = (): Map<number, bigint> =>
  new Map([...keptMsrs].map(([index, { reset }]) => [index, reset]));

/** MSRs of the architecture that user space saves and restores, if the CPU has them. */
const architectural = [
  0x10, // TSC
  MSR_IA32_APIC_BASE,
  0x174, // SYSENTER_CS, _ESP, _EIP
  0x175,
  0x176,
  0xc0000080, // EFER
  0xc0000081, // STAR, LSTAR, CSTAR, SYSCALL_MASK
  0xc0000082,
  0xc0000083,
  0xc0000084,
  0xc0000100, // FS_BASE, GS_BASE, KERNEL_GS_BASE
  0xc0000101,
  0xc0000102,
] as const;
/** KVM_GET_MSR_FEATURE_INDEX_LIST: what CPUs of this host have alike. */
export const featureMsrs: readonly number[] = [MSR_IA32_UCODE_REV];
/** KVM_GET_MSR_INDEX_LIST. */
export const msrIndexList: readonly number[] = [...architectural, ...keptMsrs.keys()];
