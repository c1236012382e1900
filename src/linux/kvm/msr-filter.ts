/** Which MSRs a guest may read and write (arch/x86/kvm/x86.c: kvm_msr_allowed). */

import { KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE } from '../uapi/kvm.ts';

/** MSRs of the x2APIC are never filtered. */
const X2APIC_FIRST = 0x800;
const X2APIC_LAST = 0x8ff;

export interface MsrRange {
  readonly flags: number;
  readonly base: number;
  readonly count: number;
  readonly bitmap: Uint8Array;
}

/** The filter of one VM. */
export class MsrFilter {
  readonly #allowByDefault: boolean;
  readonly #ranges: readonly MsrRange[];

  constructor(allowByDefault: boolean, ranges: readonly MsrRange[]) {
    this.#allowByDefault = allowByDefault;
    this.#ranges = ranges;
  }

  /** kvm_msr_allowed. */
  allows(index: number, write: boolean): boolean {
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) return true;
    const kind = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
    for (const { flags, base, count, bitmap } of this.#ranges) {
      const at = index - base;
      if ((flags & kind) !== 0 && at >= 0 && at < count) return (bitmap[at >> 3]! & (1 << (at & 7))) !== 0;
    }
    return this.#allowByDefault;
  }
}
