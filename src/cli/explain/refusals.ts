/** Rules whose breach the modeled kernel answers with an errno. The build puts in what stands in the sources (scripts/refusals.js). */

export interface Refusal {
  readonly errno: string;
  /** Part of the kernel: kvm, vfio, core … */
  readonly part: string;
  /** The rule in words; … stands for what the case at hand fills in. */
  readonly rule: string;
}

export const refusals: readonly Refusal[] = [];
