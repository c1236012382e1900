/** The dirty bitmap of one memory slot: a bit a page, in the byte order that user space gets (kvm_dirty_bitmap_bytes). */

/** Pages of one unsigned long: the unit in which KVM takes and clears bits. */
export const BITS_PER_LONG = 64;

export class DirtyBitmap {
  readonly pages: number;
  /** Padded to whole longs. */
  readonly bytes: Uint8Array;

  constructor(pages: number) {
    this.pages = pages;
    this.bytes = new Uint8Array(Math.ceil(pages / BITS_PER_LONG) * (BITS_PER_LONG / 8));
  }

  mark(page: number): void {
    this.bytes[page >> 3]! |= 1 << (page & 7);
  }

  has(page: number): boolean {
    return (this.bytes[page >> 3]! & (1 << (page & 7))) !== 0;
  }

  markAll(): void {
    for (let page = 0; page < this.pages; page++) this.mark(page);
  }

  /** Clear the bits of `mask` from page `first` on, and tell which pages' bits that cleared. */
  clear(first: number, mask: Uint8Array): number[] {
    const cleared: number[] = [];
    for (let at = 0; at < mask.length; at++) {
      const byte = first / 8 + at;
      const hit = mask[at]! & this.bytes[byte]!;
      if (hit === 0) continue;
      this.bytes[byte]! &= ~hit;
      for (let bit = 0; bit < 8; bit++) if (hit & (1 << bit)) cleared.push(byte * 8 + bit);
    }
    return cleared;
  }
}
