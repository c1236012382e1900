/**
 * The regions last entered, by where the guest stood: after an exit it mostly goes on where it went on before, and is then
 * taken there without a look at pages and blocks.
 */

import type { Tlb } from '../tlb.ts';
import type { Translated } from './region-cache.ts';

const PLACES = 64;
const TWO_TO_32 = 2 ** 32;
/** In the place of a region, where there is none: no address is its own. */
const NONE: Translated = {
  address: Number.NaN,
  host: -1,
  index: -1,
  code: [],
  steps: [],
  instructions: 0,
  bytes: 0,
  entries: 0,
  retired: 0,
};
const placeOf = (low: number): number => (low ^ (low >>> 6)) & (PLACES - 1);

/** A region a place, chosen by its address. */
export class RecentRegions {
  readonly #tlb: Tlb;
  readonly #regions: Translated[] = new Array(PLACES).fill(NONE);

  constructor(tlb: Tlb) {
    this.#tlb = tlb;
  }

  /** The region that begins at the linear address of these halves, if its code is still what is fetched from there. */
  find(low: number, high: number): Translated | undefined {
    const region = this.#regions[placeOf(low)]!;
    const address = high * TWO_TO_32 + (low >>> 0);
    return region.address === address && this.#tlb.fetchHost(address) === region.host ? region : undefined;
  }

  keep(region: Translated): void {
    this.#regions[placeOf(region.address | 0)] = region;
  }

  forget(region: Translated): void {
    const place = placeOf(region.address | 0);
    if (this.#regions[place] === region) this.#regions[place] = NONE;
  }
}
