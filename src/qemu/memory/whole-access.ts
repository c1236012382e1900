/**
 * The registers that a guest accesses all the time: where an access led that went, in one piece and at full width, to one callback of
 * one region. What the flat view and the region's rules say of it stands, so that it need not be worked out again.
 */

import type { MemoryRegion, MemoryRegionOps } from './region.ts';

/** Where an access leads. */
export interface WholeAccess {
  readonly region: MemoryRegion;
  readonly ops: MemoryRegionOps;
  /** In the region. */
  readonly offset: number;
  /** There is nothing to it but the callback: no guard, no writes that have to be done before. */
  readonly plain: boolean;
}

/** A power of two: an access is kept at the low bits of its address. */
const PLACES = 32;
const LONGEST = 4;
/** An access in one number. Addresses whose number would not be exact are not kept. */
const question = (address: number, length: number): number => address * 8 + length;
const HIGHEST = 2 ** 48;
/** Offsets beyond this are rare, and no small integers for the engine. */
const FARTHEST = 2 ** 30;

const wholeAccess = (region: MemoryRegion, offset: number): WholeAccess => ({
  region,
  ops: region.ops!,
  offset,
  plain: region.guard === undefined && !region.flushCoalesced,
});

/** Those of one address space, for one flat view of it. */
export class WholeAccesses {
  readonly #asked = new Float64Array(PLACES).fill(-1);
  readonly #answers: WholeAccess[];
  readonly #nowhere: WholeAccess;

  /** `nothing` is the region of no access. */
  constructor(nothing: MemoryRegion) {
    this.#nowhere = wholeAccess(nothing, 0);
    this.#answers = Array.from({ length: PLACES }, () => this.#nowhere);
  }

  /** Where `length` bytes at `address` lead, if that is known. Hot. */
  find(address: number, length: number): WholeAccess | undefined {
    const place = address & (PLACES - 1);
    return this.#asked[place] === question(address, length) ? this.#answers[place] : undefined;
  }

  /** An access led to `offset` of `region` as a whole; kept if its rules will always let it. */
  remember(address: number, length: number, region: MemoryRegion, offset: number): void {
    if (length > LONGEST || address > HIGHEST || offset > FARTHEST) return;
    if (region.unassigned || !region.rules!.whole(offset, length)) return;
    const place = address & (PLACES - 1);
    this.#asked[place] = question(address, length);
    // `| 0`: a small integer from there on, which the engine cannot tell by itself.
    this.#answers[place] = wholeAccess(region, offset | 0);
  }

  /** The flat view has changed. */
  forget(): void {
    this.#asked.fill(-1);
    this.#answers.fill(this.#nowhere);
  }
}
