/** The local APIC's page of registers, among them three bitmaps of 256 vectors: ISR, TMR and IRR (SDM vol. 3A fig. 11-20). */

import { APIC_STATE_BYTES, STRIDE } from './apic-registers.ts';

export class ApicPage {
  readonly bytes = new Uint8Array(APIC_STATE_BYTES);
  readonly #registers = new DataView(this.bytes.buffer);

  /** A register, signed. */
  get(register: number): number {
    return this.#registers.getInt32(register, true);
  }
  set(register: number, value: number): void {
    this.#registers.setInt32(register, value, true);
  }

  /** Every register; what KVM_SET_LAPIC has put between them stays. */
  clearAll(): void {
    for (let register = 0; register < APIC_STATE_BYTES; register += STRIDE) this.set(register, 0);
  }

  /** Of the bitmaps each register has 32 vectors. */
  mark(bitmap: number, vector: number): void {
    const at = bitmap + (vector >> 5) * STRIDE;
    this.set(at, this.get(at) | (1 << (vector & 31)));
  }
  clear(bitmap: number, vector: number): void {
    const at = bitmap + (vector >> 5) * STRIDE;
    this.set(at, this.get(at) & ~(1 << (vector & 31)));
  }
  has(bitmap: number, vector: number): boolean {
    return (this.get(bitmap + (vector >> 5) * STRIDE) & (1 << (vector & 31))) !== 0;
  }
  /** The highest vector in a bitmap; 0, which is no valid vector, if it is empty. */
  highest(bitmap: number): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.get(bitmap + word * STRIDE);
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return 0;
  }
}
