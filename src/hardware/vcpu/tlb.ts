/** The software TLB: from the page of a linear address straight to the host page, apart for reads, writes and fetches. */

/** Entries; the index is the low bits of the page number. */
export const TLB_ENTRIES = 1024;
export const TLB_MASK = TLB_ENTRIES - 1;

/** A second copy of the entries, in a form of its own. `entry` is the index, `page` a linear and `host` a host page address. */
export interface TlbMirror {
  flush(): void;
  flushWrites(): void;
  flushEntry(entry: number): void;
  fillRead(entry: number, page: number, host: number): void;
  fillWrite(entry: number, page: number, host: number): void;
  fillFetch(entry: number, page: number, host: number): void;
}

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
  /** Kept equal to this, once there is one. */
  mirror: TlbMirror | undefined;
  /** How often something was forgotten. */
  flushes = 0;

  flush(): void {
    this.flushes++;
    this.fetchTags.fill(Number.NaN);
    this.readTags.fill(Number.NaN);
    this.writeTags.fill(Number.NaN);
    this.mirror?.flush();
  }

  /** Make every page go through the slow path at its next store. */
  flushWrites(): void {
    this.flushes++;
    this.writeTags.fill(Number.NaN);
    this.mirror?.flushWrites();
  }

  flushPage(page: number): void {
    this.flushes++;
    const entry = (page >>> 12) & TLB_MASK;
    this.readTags[entry] = Number.NaN;
    this.writeTags[entry] = Number.NaN;
    this.fetchTags[entry] = Number.NaN;
    this.mirror?.flushEntry(entry);
  }

  fillRead(page: number, host: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.readTags[entry] = page;
    this.readHosts[entry] = host;
    this.mirror?.fillRead(entry, page, host);
  }

  fillFetch(page: number, host: number): void {
    const entry = (page >>> 12) & TLB_MASK;
    this.fetchTags[entry] = page;
    this.fetchHosts[entry] = host;
    this.mirror?.fillFetch(entry, page, host);
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
    this.mirror?.fillWrite(entry, page, host);
  }
}
