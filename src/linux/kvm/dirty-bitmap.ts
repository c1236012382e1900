/**
 * The dirty bitmap of one memory slot: a bit a page, in the byte order that user space gets (kvm_dirty_bitmap_bytes). It stands in
 * pages of the host's RAM, and as many more hold what is being told to user space (kvm_alloc_dirty_bitmap,
 * kvm_second_dirty_bitmap).
 */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import type { PageAllocator } from '../core/page-allocator.ts';

/** Pages of one unsigned long: the unit in which KVM takes and clears bits. */
export const BITS_PER_LONG = 64;
const BYTE_TO_FRAME_SHIFT = 12;

/** The RAM that bitmaps stand in. */
export interface BitmapHost {
  readonly memory: PhysicalMemory;
  readonly pages: PageAllocator;
}

export class DirtyBitmap {
  readonly #host: BitmapHost;
  readonly #pages: number;
  /** Bytes of the bitmap, padded to whole longs. */
  readonly #length: number;
  readonly #frames: readonly Hpa[];
  readonly #copy: readonly Hpa[];

  /** Of `pages` pages, all clean; undefined if the host has too little RAM left. */
  static make(host: BitmapHost, pages: number): DirtyBitmap | undefined {
    const length = Math.ceil(pages / BITS_PER_LONG) * (BITS_PER_LONG / 8);
    const count = Math.ceil(length / PAGE_SIZE);
    if (2 * count > host.pages.available) return undefined;
    const frames: Hpa[] = [];
    while (frames.length < 2 * count) {
      const frame = host.pages.allocate();
      if (frame === undefined) {
        for (const taken of frames) host.pages.free(taken);
        return undefined;
      }
      frames.push(frame);
    }
    return new DirtyBitmap(host, pages, length, frames.slice(0, count), frames.slice(count));
  }

  private constructor(host: BitmapHost, pages: number, length: number, frames: readonly Hpa[], copy: readonly Hpa[]) {
    this.#host = host;
    this.#pages = pages;
    this.#length = length;
    this.#frames = frames;
    this.#copy = copy;
  }

  /** kvm_destroy_dirty_bitmap. */
  free(): void {
    for (const frame of [...this.#frames, ...this.#copy]) this.#host.pages.free(frame);
  }

  mark(page: number): void {
    this.#host.memory.bytes[this.#at(page >> 3)]! |= 1 << (page & 7);
  }

  markAll(): void {
    const { bytes } = this.#host.memory;
    const whole = this.#pages >> 3;
    for (const [index, frame] of this.#frames.entries())
      bytes.fill(0xff, frame, frame + Math.min(PAGE_SIZE, Math.max(0, whole - index * PAGE_SIZE)));
    for (let page = whole * 8; page < this.#pages; page++) this.mark(page);
  }

  /** Clear the bits of `mask` from page `first`, a multiple of 8, on, and tell which pages' bits that cleared. */
  clear(first: number, mask: Uint8Array): number[] {
    const { bytes } = this.#host.memory;
    const cleared: number[] = [];
    for (let at = 0; at < mask.length; at++) {
      if (mask[at] === 0) continue;
      const byte = first / 8 + at;
      const place = this.#at(byte);
      const hit = mask[at]! & bytes[place]!;
      bytes[place]! &= ~hit;
      for (let bit = 0; bit < 8; bit++) if (hit & (1 << bit)) cleared.push(byte * 8 + bit);
    }
    return cleared;
  }

  /** Set what is marked aside; {@link told} is that from now on. */
  copy(): void {
    const { bytes } = this.#host.memory;
    for (const [index, frame] of this.#frames.entries()) bytes.copyWithin(this.#copy[index]!, frame, frame + PAGE_SIZE);
  }

  /** What was set aside, piece by piece: each is the bytes from an offset of the bitmap. */
  told(): { readonly offset: number; readonly bytes: Uint8Array }[] {
    const { bytes } = this.#host.memory;
    return this.#copy.map((frame, index) => {
      const offset = index * PAGE_SIZE;
      return { offset, bytes: bytes.subarray(frame, frame + Math.min(PAGE_SIZE, this.#length - offset)) };
    });
  }

  #at(byte: number): number {
    return this.#frames[byte >> BYTE_TO_FRAME_SHIFT]! + (byte & (PAGE_SIZE - 1));
  }
}
