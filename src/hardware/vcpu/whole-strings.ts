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

/** Whole batches of one vCPU. */
export class WholeStrings {
  readonly #cpu: Processor;
  /** Of each piece that lies in one page of either side: where it goes, where it comes from, its length. */
  readonly #to = new Int32Array(MOST_PIECES);
  readonly #from = new Int32Array(MOST_PIECES);
  readonly #lengths = new Int32Array(MOST_PIECES);

  constructor(cpu: Processor) {
    this.#cpu = cpu;
  }

  /** Move a batch of elements of `bytes` bytes; false, and nothing done, if it has to go element by element. */
  move(bytes: number): boolean {
    const count = this.#count();
    if (count === 0) return false;
    const pieces = this.#divide(count * bytes, true);
    if (pieces === 0) return false;
    const memory = this.#cpu.memory.bytes;
    for (let piece = 0; piece < pieces; piece++) {
      const from = this.#from[piece]!;
      memory.copyWithin(this.#to[piece]!, from, from + this.#lengths[piece]!);
    }
    this.#advance(RSI, count * bytes);
    this.#advance(RDI, count * bytes);
    this.#advance(RCX, -count);
    return true;
  }

  /** Store a batch of elements of `bytes` bytes, all of whose bytes are equal; false, and nothing done, otherwise. */
  store(bytes: number): boolean {
    const count = this.#count();
    if (count === 0) return false;
    const { bytes: state } = this.#cpu.state;
    const value = state[RAX * 8]!;
    for (let byte = 1; byte < bytes; byte++) if (state[RAX * 8 + byte] !== value) return false;
    const pieces = this.#divide(count * bytes, false);
    if (pieces === 0) return false;
    const memory = this.#cpu.memory.bytes;
    for (let piece = 0; piece < pieces; piece++) {
      const to = this.#to[piece]!;
      memory.fill(value, to, to + this.#lengths[piece]!);
    }
    this.#advance(RDI, count * bytes);
    this.#advance(RCX, -count);
    return true;
  }

  /** Elements of the batch; 0 if they go downwards, or one at a time. */
  #count(): number {
    const { words, quads } = this.#cpu.state;
    if (this.#cpu.mmu.oneElement || (words[WORD.FLAG_CONTROL]! & DF) !== 0) return 0;
    const left = quads[RCX]!;
    return left < 0n || left > STRING_BATCH ? STRING_BATCH : Number(left);
  }

  #advance(register: number, by: number): void {
    const { quads } = this.#cpu.state;
    quads[register] = quads[register]! + BigInt(by);
  }

  /** Cut `length` bytes into pieces; their number, 0 if some page is not at hand or a piece overlaps its source's end. */
  #divide(length: number, moves: boolean): number {
    const { words, unsignedWords } = this.#cpu.state;
    const { readTags, readHosts, writeTags, writeHosts } = this.#cpu.mmu.tlb;
    let to = words[2 * RDI + 1]! * 2 ** 32 + unsignedWords[2 * RDI]!;
    let from = words[2 * RSI + 1]! * 2 ** 32 + unsignedWords[2 * RSI]!;
    let pieces = 0;
    for (let left = length; left > 0; pieces++) {
      const toWithin = (to | 0) & (PAGE - 1);
      const toEntry = (to >>> 12) & TLB_MASK;
      if (writeTags[toEntry] !== to - toWithin) return 0;
      const toHost = writeHosts[toEntry]! + toWithin;
      let piece = Math.min(left, PAGE - toWithin);
      if (moves) {
        const fromWithin = (from | 0) & (PAGE - 1);
        const fromEntry = (from >>> 12) & TLB_MASK;
        if (readTags[fromEntry] !== from - fromWithin) return 0;
        const fromHost = readHosts[fromEntry]! + fromWithin;
        piece = Math.min(piece, PAGE - fromWithin);
        if (toHost > fromHost && toHost < fromHost + piece) return 0;
        this.#from[pieces] = fromHost;
      }
      this.#to[pieces] = toHost;
      this.#lengths[pieces] = piece;
      to += piece;
      from += piece;
      left -= piece;
    }
    return pieces;
  }
}
