/** The software TLB once more, as translated code probes it: the entries of tlb.ts, in linear memory. */

import type { Tlb, TlbMirror } from '../tlb.ts';
import { EMPTY_TAG, STORAGE, TLB_ENTRY } from './layout.ts';

/** One kind of access. */
class Entries {
  readonly #tags: BigInt64Array;
  readonly #words: Int32Array;

  constructor(buffer: ArrayBuffer, at: number, entries: number) {
    const bytes = entries << TLB_ENTRY.SHIFT;
    this.#tags = new BigInt64Array(buffer, at, bytes >> 3);
    this.#words = new Int32Array(buffer, at, bytes >> 2);
  }

  clear(): void {
    // Addends as well: an entry without a tag is never looked at further.
    this.#tags.fill(EMPTY_TAG);
  }

  clearEntry(entry: number): void {
    this.#tags[entry << (TLB_ENTRY.SHIFT - 3)] = EMPTY_TAG;
  }

  fill(entry: number, page: number, host: number): void {
    if (Number.isNaN(page)) return;
    this.#tags[entry << (TLB_ENTRY.SHIFT - 3)] = BigInt(page);
    this.#words[(entry << (TLB_ENTRY.SHIFT - 2)) + (TLB_ENTRY.ADDEND >> 2)] = (host - (page | 0)) | 0;
  }
}

/** Follows one {@link Tlb} from now on. */
export class LinearTlb implements TlbMirror {
  readonly #reads: Entries;
  readonly #writes: Entries;
  readonly #fetches: Entries;

  constructor(tlb: Tlb, buffer: ArrayBuffer, storage: number) {
    const entries = tlb.readTags.length;
    this.#reads = new Entries(buffer, storage + STORAGE.READ_TLB, entries);
    this.#writes = new Entries(buffer, storage + STORAGE.WRITE_TLB, entries);
    this.#fetches = new Entries(buffer, storage + STORAGE.FETCH_TLB, entries);
    this.flush();
    for (let entry = 0; entry < entries; entry++) {
      this.#reads.fill(entry, tlb.readTags[entry]!, tlb.readHosts[entry]!);
      this.#writes.fill(entry, tlb.writeTags[entry]!, tlb.writeHosts[entry]!);
      this.#fetches.fill(entry, tlb.fetchTags[entry]!, tlb.fetchHosts[entry]!);
    }
    tlb.mirror = this;
  }

  flush(): void {
    this.#reads.clear();
    this.#writes.clear();
    this.#fetches.clear();
  }

  flushWrites(): void {
    this.#writes.clear();
  }

  flushEntry(entry: number): void {
    this.#reads.clearEntry(entry);
    this.#writes.clearEntry(entry);
    this.#fetches.clearEntry(entry);
  }

  fillRead(entry: number, page: number, host: number): void {
    this.#reads.fill(entry, page, host);
  }

  fillWrite(entry: number, page: number, host: number): void {
    this.#writes.fill(entry, page, host);
  }

  fillFetch(entry: number, page: number, host: number): void {
    this.#fetches.fill(entry, page, host);
  }
}
