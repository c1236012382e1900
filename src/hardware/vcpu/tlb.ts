/** The software TLB: from the page of a linear address straight to the host page, apart for reads, writes and fetches. */

/** Entries; the index is the low bits of the page number. */
export const TLB_ENTRIES = 1024;
export const TLB_MASK = TLB_ENTRIES - 1;

/**
 * Direct-mapped. A tag is the linear page address as a signed double, NaN when empty; it stands only while an access of that
 * kind is allowed, has set the accessed and dirty bits it must, and (writes) the page holds no decoded code.
 */
export class Tlb {
  readonly readTags = new Float64Array(TLB_ENTRIES).fill(Number.NaN);
  readonly readHosts = new Int32Array(TLB_ENTRIES);
  readonly writeTags = new Float64Array(TLB_ENTRIES).fill(Number.NaN);
  readonly writeHosts = new Int32Array(TLB_ENTRIES);

  readonly fetchTags = new Float64Array(TLB_ENTRIES).fill(Number.NaN);
  readonly fetchHosts = new Int32Array(TLB_ENTRIES);

  flush(): void {
    this.fetchTags.fill(Number.NaN);
    this.readTags.fill(Number.NaN);
    this.writeTags.fill(Number.NaN);
  }

  /** Make every page go through the slow path at its next store. */
  flushWrites(): void {
    this.writeTags.fill(Number.NaN);
  }

  flushPage(page: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.readTags[entry] = Number.NaN;
    this.writeTags[entry] = Number.NaN;
    this.fetchTags[entry] = Number.NaN;
  }

  fillRead(page: number, host: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.readTags[entry] = page;
    this.readHosts[entry] = host;
  }

  fillFetch(page: number, host: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.fetchTags[entry] = page;
    this.fetchHosts[entry] = host;
  }

  /** Host offset of the code byte at `address`, -1 if the TLB does not know its page. */
  fetchHost(address: number): number {
    const within = (address | 0) & 4095;
    const entry = (address >>> 12) & TLB_MASK;
    return this.fetchTags[entry] === address - within ? this.fetchHosts[entry]! + within : -1;
  }

  fillWrite(page: number, host: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.writeTags[entry] = page;
    this.writeHosts[entry] = host;
  }
}
