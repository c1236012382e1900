/**
 * The registers that a guest accesses all the time: where an access led that went, in one piece and at full width, to one callback of
 * one region. What the flat view and the region's rules say of it stands, so that it need not be worked out again.
 */

import type { MemoryRegion } from './region.ts';

/** An access and where it leads. */
export interface WholeAccess {
  address: number;
  /** 1, 2 or 4 bytes. */
  length: number;
  region: MemoryRegion;
  /** In the region. */
  offset: number;
}

/** A power of two: an access is kept at the low bits of its address. */
const PLACES = 32;
const LONGEST = 4;

/** Those of one address space, for one flat view of it. */
export class WholeAccesses {
  readonly #places: WholeAccess[];
  readonly #nothing: MemoryRegion;

  /** `nothing` is the region of no access. */
  constructor(nothing: MemoryRegion) {
    this.#nothing = nothing;
    this.#places = Array.from({ length: PLACES }, () => ({ address: -1, length: 0, region: nothing, offset: 0 }));
  }

  /** Where `length` bytes at `address` lead, if that is known. Hot. */
  find(address: number, length: number): WholeAccess | undefined {
    const place = this.#places[address & (PLACES - 1)]!;
    return place.address === address && place.length === length ? place : undefined;
  }

  /** An access led to `offset` of `region` as a whole; kept if its rules will always let it. */
  remember(address: number, length: number, region: MemoryRegion, offset: number): void {
    if (length > LONGEST || region.unassigned || !region.rules!.whole(offset, length)) return;
    const place = this.#places[address & (PLACES - 1)]!;
    place.address = address;
    place.length = length;
    place.region = region;
    place.offset = offset;
  }

  /** The flat view has changed. */
  forget(): void {
    for (const place of this.#places) {
      place.address = -1;
      place.region = this.#nothing;
    }
  }
}
