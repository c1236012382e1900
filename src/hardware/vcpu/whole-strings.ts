/**
 * REP MOVS and REP STOS a batch at a time, where that comes to the same as element after element: upwards, all pages at hand in
 * the TLB, and no element of the destination read after it was written.
 */

import { DF } from './flags.ts';
import { STRING_BATCH } from './interpreter/string-batch.ts';
import type { Processor } from './processor.ts';
import { WORD } from './state.ts';
import { TLB_MASK } from './tlb.ts';

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const PAGE = 4096;
/** A batch of quads touches so many pages at most, however it lies. */
const MOST_PIECES = 2 * ((STRING_BATCH * 8) / PAGE + 1);

/** The rest of a batch has to go element by element. */
const NEVER = -1;

/** Whole batches of one vCPU. */
export class WholeStrings {
  readonly #cpu: Processor;
  /** Of each piece that lies in one page of either side: where it goes, where it comes from, its length. */
  readonly #to = new Int32Array(MOST_PIECES);
  readonly #from = new Int32Array(MOST_PIECES);
  readonly #lengths = new Int32Array(MOST_PIECES);
  #pieces = 0;

  constructor(cpu: Processor) {
    this.#cpu = cpu;
  }

  /**
   * Move up to `most` elements of `bytes` bytes; how many it was. Fewer where the next page is not at hand: the element after them goes
   * by itself, and brings it. {@link NEVER} if the rest of the batch has to go element by element.
   */
  move(bytes: number, most: number): number {
    const count = this.#count(most);
    if (count === 0) return NEVER;
    const done = this.#divide(count, bytes, true);
    if (done <= 0) return done;
    const memory = this.#cpu.memory.bytes;
    for (let piece = 0; piece < this.#pieces; piece++) {
      const from = this.#from[piece]!;
      memory.copyWithin(this.#to[piece]!, from, from + this.#lengths[piece]!);
    }
    this.#advance(RSI, done * bytes);
    this.#advance(RDI, done * bytes);
    this.#advance(RCX, -done);
    return done;
  }

  /** Store up to `most` elements of `bytes` bytes, all of whose bytes are equal; otherwise as {@link move}. */
  store(bytes: number, most: number): number {
    const count = this.#count(most);
    if (count === 0) return NEVER;
    const { bytes: state } = this.#cpu.state;
    const value = state[RAX * 8]!;
    for (let byte = 1; byte < bytes; byte++) if (state[RAX * 8 + byte] !== value) return NEVER;
    const done = this.#divide(count, bytes, false);
    if (done <= 0) return done;
    const memory = this.#cpu.memory.bytes;
    for (let piece = 0; piece < this.#pieces; piece++) {
      const to = this.#to[piece]!;
      memory.fill(value, to, to + this.#lengths[piece]!);
    }
    this.#advance(RDI, done * bytes);
    this.#advance(RCX, -done);
    return done;
  }

  /** Elements of the batch, of which `most` are left; 0 if they go downwards, or one at a time. */
  #count(most: number): number {
    const { words, quads } = this.#cpu.state;
    if (this.#cpu.mmu.oneElement || (words[WORD.FLAG_CONTROL]! & DF) !== 0) return 0;
    const left = quads[RCX]!;
    return left < 0n || left > most ? most : Number(left);
  }

  #advance(register: number, by: number): void {
    const { quads } = this.#cpu.state;
    quads[register] = quads[register]! + BigInt(by);
  }

  /**
   * Cut `count` elements into pieces; how many elements they hold, fewer than `count` if a page is not at hand, {@link NEVER} if a piece
   * overlaps its source's end.
   */
  #divide(count: number, bytes: number, moves: boolean): number {
    const { words, unsignedWords } = this.#cpu.state;
    const { readTags, readHosts, writeTags, writeHosts } = this.#cpu.mmu.tlb;
    let to = words[2 * RDI + 1]! * 2 ** 32 + unsignedWords[2 * RDI]!;
    let from = words[2 * RSI + 1]! * 2 ** 32 + unsignedWords[2 * RSI]!;
    const length = count * bytes;
    let pieces = 0;
    let done = 0;
    for (; done < length; pieces++) {
      const toWithin = (to | 0) & (PAGE - 1);
      const toEntry = (to >>> 12) & TLB_MASK;
      if (writeTags[toEntry] !== to - toWithin) break;
      const toHost = writeHosts[toEntry]! + toWithin;
      let piece = Math.min(length - done, PAGE - toWithin);
      if (moves) {
        const fromWithin = (from | 0) & (PAGE - 1);
        const fromEntry = (from >>> 12) & TLB_MASK;
        if (readTags[fromEntry] !== from - fromWithin) break;
        const fromHost = readHosts[fromEntry]! + fromWithin;
        piece = Math.min(piece, PAGE - fromWithin);
        if (toHost > fromHost && toHost < fromHost + piece) return NEVER;
        this.#from[pieces] = fromHost;
      }
      this.#to[pieces] = toHost;
      this.#lengths[pieces] = piece;
      to += piece;
      from += piece;
      done += piece;
    }
    return this.#keepElements(pieces, done, bytes);
  }

  /** Leave of the `done` bytes of the pieces those of whole elements: one that crosses into a page that is not at hand goes by itself. */
  #keepElements(pieces: number, done: number, bytes: number): number {
    let over = done % bytes;
    let kept = pieces;
    while (over > 0) {
      const last = this.#lengths[kept - 1]!;
      if (last > over) {
        this.#lengths[kept - 1] = last - over;
        over = 0;
      } else {
        over -= last;
        kept--;
      }
    }
    this.#pieces = kept;
    return Math.floor(done / bytes);
  }
}
