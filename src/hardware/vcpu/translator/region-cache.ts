/** The regions of one vCPU that have been translated: found by address, dropped when their code changes or room is needed. */

import { jumpIndex } from './dispatcher.ts';
import { EMPTY_TAG, JUMP_ENTRIES, JUMP_ENTRY, STORAGE } from './layout.ts';

/** One region, ready to run. */
export interface Translated {
  /** Linear address and host offset of its entry. */
  readonly address: number;
  readonly host: number;
  /** Its place in the table of functions. */
  readonly index: number;
  /** Host offsets of the page frames that its code was read from. */
  readonly frames: ReadonlySet<number>;
  /** Instructions that the interpreter carries out for it: their numbers. */
  readonly steps: readonly number[];
  /** Guest instructions in it. */
  readonly instructions: number;
  readonly bytes: number;
  /** How often it was entered from JavaScript since it was last judged, and what that has retired. */
  entries: number;
  retired: number;
}

/** Bounds: regions, and bytes of their binaries. Beyond them the oldest quarter goes. */
export const MAX_REGIONS = 1024;
export const MAX_BYTES = 16 * 1024 * 1024;

/** All regions of one vCPU. */
export class RegionCache {
  readonly #tags: BigInt64Array;
  readonly #words: Int32Array;
  /** In order of their making. */
  readonly #regions = new Set<Translated>();
  readonly #byHost = new Map<number, Translated[]>();
  readonly #byFrame = new Map<number, Set<Translated>>();
  readonly #onDrop: (region: Translated) => void;
  #bytes = 0;

  constructor(buffer: ArrayBuffer, storage: number, onDrop: (region: Translated) => void) {
    const at = storage + STORAGE.JUMPS;
    this.#tags = new BigInt64Array(buffer, at, JUMP_ENTRIES << (JUMP_ENTRY.SHIFT - 3));
    this.#words = new Int32Array(buffer, at, JUMP_ENTRIES << (JUMP_ENTRY.SHIFT - 2));
    this.#onDrop = onDrop;
    this.#tags.fill(EMPTY_TAG);
  }

  get size(): number {
    return this.#regions.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The region of the code at `host`, made for linear address `address`. */
  find(address: number, host: number): Translated | undefined {
    return this.#byHost.get(host)?.find((region) => region.address === address);
  }

  /** Let the dispatcher find the region too. */
  announce({ address, host, index }: Translated): void {
    const entry = jumpIndex(address | 0);
    this.#tags[entry << (JUMP_ENTRY.SHIFT - 3)] = BigInt(address);
    this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.HOST >> 2)] = host;
    this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.INDEX >> 2)] = index;
  }

  #forget({ address, index }: Translated): void {
    const entry = jumpIndex(address | 0);
    if (this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.INDEX >> 2)] === index)
      this.#tags[entry << (JUMP_ENTRY.SHIFT - 3)] = EMPTY_TAG;
  }

  add(region: Translated): void {
    this.#regions.add(region);
    this.#bytes += region.bytes;
    const here = this.#byHost.get(region.host);
    if (here === undefined) this.#byHost.set(region.host, [region]);
    else here.push(region);
    for (const frame of region.frames) {
      const regions = this.#byFrame.get(frame) ?? new Set();
      regions.add(region);
      this.#byFrame.set(frame, regions);
    }
  }

  drop(region: Translated): void {
    this.#regions.delete(region);
    this.#bytes -= region.bytes;
    this.#byHost.set(
      region.host,
      this.#byHost.get(region.host)!.filter((each) => each !== region),
    );
    if (this.#byHost.get(region.host)!.length === 0) this.#byHost.delete(region.host);
    for (const frame of region.frames) this.#byFrame.get(frame)!.delete(region);
    this.#forget(region);
    this.#onDrop(region);
  }

  /** Drop what was made of code in a frame; how many regions that were. */
  dropFrame(frame: number): number {
    const regions = this.#byFrame.get(frame);
    if (regions === undefined || regions.size === 0) return 0;
    const count = regions.size;
    for (const region of [...regions]) this.drop(region);
    return count;
  }

  /** Make room for one more region of `bytes`; how many had to go. */
  makeRoom(bytes: number): number {
    if (this.#regions.size < MAX_REGIONS && this.#bytes + bytes <= MAX_BYTES) return 0;
    const oldest = [...this.#regions].slice(0, Math.ceil(this.#regions.size / 4));
    for (const region of oldest) this.drop(region);
    return oldest.length;
  }
}
