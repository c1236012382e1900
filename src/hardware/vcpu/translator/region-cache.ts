/** The regions of one vCPU that have been translated: found by address, dropped when their code changes or room is needed. */

import type { TranslationStatistics } from '../translation.ts';
import { jumpIndex } from './dispatcher.ts';
import { EMPTY_TAG, ENTERED_BYTES, JUMP_ENTRIES, JUMP_ENTRY, STORAGE } from './layout.ts';

/** One region, ready to run. */
export interface Translated {
  /** Linear address and host offset of its entry. */
  readonly address: number;
  readonly host: number;
  /** Its place in the table of functions. */
  readonly index: number;
  /** Its code: of each block the host offsets of its first byte and of what follows its last, all in one page frame. */
  readonly code: readonly (readonly [from: number, to: number])[];
  /** Instructions that the interpreter carries out for it: their numbers. */
  readonly steps: readonly number[];
  /** Guest instructions in it. */
  readonly instructions: number;
  readonly bytes: number;
  /** How often it was entered from JavaScript since it was last judged, and what that has retired. */
  entries: number;
  retired: number;
}

/** Bounds: regions, and bytes of their binaries. */
export const MAX_REGIONS = 1536;
const MAX_BYTES = 32 * 1024 * 1024;
/** So many instructions a region has to be entered in, when there is no room, or it goes. */
export const SURVEY = 1 << 22;
/** In a place that holds no region: the tag alone would do, but to look at a word is cheaper. */
const NO_INDEX = -1;
const NONE: readonly Translated[] = [];

/** All regions of one vCPU. */
export class RegionCache {
  readonly #statistics: TranslationStatistics;
  readonly #tags: BigInt64Array;
  readonly #words: Int32Array;
  /** In order of their making. */
  readonly #regions = new Set<Translated>();
  readonly #byHost = new Map<number, Translated[]>();
  readonly #byFrame = new Map<number, Set<Translated>>();
  readonly #onDrop: (region: Translated) => void;
  #bytes = 0;
  readonly #entered: Uint8Array;
  /** How many instructions were retired when {@link #entered} was cleared. */
  #surveyed = 0;

  constructor(
    buffer: ArrayBuffer,
    storage: number,
    statistics: TranslationStatistics,
    onDrop: (region: Translated) => void,
  ) {
    this.#statistics = statistics;
    const at = storage + STORAGE.JUMPS;
    this.#tags = new BigInt64Array(buffer, at, JUMP_ENTRIES << (JUMP_ENTRY.SHIFT - 3));
    this.#words = new Int32Array(buffer, at, JUMP_ENTRIES << (JUMP_ENTRY.SHIFT - 2));
    this.#onDrop = onDrop;
    this.#entered = new Uint8Array(buffer, storage + STORAGE.ENTERED, ENTERED_BYTES);
    this.#tags.fill(EMPTY_TAG);
  }

  /** The region of the code at `host`, made for linear address `address`. */
  find(address: number, host: number): Translated | undefined {
    return this.#byHost.get(host)?.find((region) => region.address === address);
  }

  /** Let the dispatcher find the region too. */
  announce({ address, host, index }: Translated): void {
    const entry = jumpIndex(address | 0);
    // Hot: at each entry, of which few find another region in this place.
    if (this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.INDEX >> 2)] === index) return;
    this.#tags[entry << (JUMP_ENTRY.SHIFT - 3)] = BigInt(address);
    this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.HOST >> 2)] = host;
    this.#words[(entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.INDEX >> 2)] = index;
  }

  #forget({ address, index }: Translated): void {
    const entry = jumpIndex(address | 0);
    const at = (entry << (JUMP_ENTRY.SHIFT - 2)) + (JUMP_ENTRY.INDEX >> 2);
    if (this.#words[at] !== index) return;
    this.#words[at] = NO_INDEX;
    this.#tags[entry << (JUMP_ENTRY.SHIFT - 3)] = EMPTY_TAG;
  }

  add(region: Translated): void {
    this.#regions.add(region);
    this.#bytes += region.bytes;
    const here = this.#byHost.get(region.host);
    if (here === undefined) this.#byHost.set(region.host, [region]);
    else here.push(region);
    for (const frame of framesOf(region)) {
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
    for (const frame of framesOf(region)) this.#byFrame.get(frame)!.delete(region);
    this.#forget(region);
    this.#onDrop(region);
  }

  /** What was made of some of the `bytes` bytes of code at `host`, which are in one frame. */
  written(host: number, bytes: number): readonly Translated[] {
    const regions = this.#byFrame.get(frameOf(host));
    if (regions === undefined) return NONE;
    let written: Translated[] | undefined;
    for (const region of regions)
      if (holdsSome(region, host, bytes)) {
        written ??= [];
        written.push(region);
      }
    return written ?? NONE;
  }

  /**
   * Whether there is room for one more region, `retired` instructions after the start. If need be, those go that have not been
   * entered for a while; where all are in use, none does, and what is new is left to the interpreter: code that does not fit
   * would otherwise be translated, and dropped before it is run again, all the time.
   */
  hasRoom(retired: number): boolean {
    if (this.#regions.size < MAX_REGIONS && this.#bytes < MAX_BYTES) return true;
    if (retired < this.#surveyed + SURVEY) return false;
    const idle = [...this.#regions].filter(({ index }) => this.#entered[index] === 0);
    this.#entered.fill(0);
    this.#surveyed = retired;
    for (const region of idle) this.drop(region);
    this.#statistics.evicted += idle.length;
    return idle.length > 0;
  }
}

function holdsSome({ code }: Translated, host: number, bytes: number): boolean {
  for (const [from, to] of code) if (from < host + bytes && to > host) return true;
  return false;
}

const frameOf = (host: number): number => host - (host & 4095);
const framesOf = ({ code }: Translated): ReadonlySet<number> => new Set(code.map(([from]) => frameOf(from)));
