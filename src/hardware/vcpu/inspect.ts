/** Looking into a stopped guest: its page tables and memory, without marking or changing anything. */

import { type Gpa, hpa } from '../../address.ts';
import { type EptWalk, tableIndex, walkEpt } from '../ept.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { PTE } from './paging.ts';

const ADDRESS = 0x000f_ffff_ffff_f000n;
const LEVELS = 4;

/** One table entry that a walk read. Level 4 is the root's, 1 maps a 4 KiB page. */
export interface PageStep {
  readonly level: number;
  /** Guest physical address of the entry. */
  readonly at: number;
  /** Undefined if nothing is there to read. */
  readonly entry: bigint | undefined;
}

/** A walk of the guest's tables; `physical` where it ends in a page. */
export interface PageWalk {
  readonly steps: readonly PageStep[];
  readonly physical: number | undefined;
}

/** A guest's memory as its tables and the EPT describe it. */
export class GuestView {
  readonly #memory: PhysicalMemory;
  readonly #eptp: number;
  readonly #root: bigint;

  /** `cr3` is the guest's, `eptp` 0 where guest physical is host physical. */
  constructor(memory: PhysicalMemory, eptp: number, cr3: bigint) {
    this.#memory = memory;
    this.#eptp = eptp;
    this.#root = cr3 & ADDRESS;
  }

  /** The EPT's part of the way; undefined without one. */
  nested(physical: number): EptWalk | undefined {
    return this.#eptp === 0 ? undefined : walkEpt(this.#memory, this.#eptp, physical as Gpa);
  }

  #host(physical: number): number | undefined {
    const walk = this.nested(physical);
    if (walk === undefined) return this.#memory.contains(hpa(physical)) ? physical : undefined;
    return walk.outcome === 'mapped' && this.#memory.contains(walk.host) ? walk.host : undefined;
  }

  /** The walk for `address`, a signed or unsigned 64-bit number. */
  walk(address: bigint): PageWalk {
    const linear = Number(BigInt.asIntN(64, address));
    const steps: PageStep[] = [];
    let table = Number(this.#root);
    for (let level = LEVELS; ; level--) {
      const at = table + tableIndex(linear, level) * 8;
      const host = this.#host(at);
      const entry = host === undefined ? undefined : this.#memory.view.getBigUint64(host, true);
      steps.push({ level, at, entry });
      if (entry === undefined || (entry & BigInt(PTE.PRESENT)) === 0n) return { steps, physical: undefined };
      const leaf = level === 1 || (level < LEVELS && (entry & BigInt(PTE.LARGE_PAGE)) !== 0n);
      if (leaf) {
        const within = (1n << BigInt(12 + 9 * (level - 1))) - 1n;
        return { steps, physical: Number((entry & ADDRESS & ~within) | (BigInt.asUintN(64, address) & within)) };
      }
      table = Number(entry & ADDRESS);
    }
  }

  /** Up to `count` bytes at linear `address`: as many as are mapped. */
  read(address: bigint, count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    let done = 0;
    while (done < count) {
      const { physical } = this.walk(address + BigInt(done));
      const host = physical === undefined ? undefined : this.#host(physical);
      if (host === undefined) break;
      const part = Math.min(count - done, 4096 - (host & 4095));
      bytes.set(this.#memory.bytes.subarray(host, host + part), done);
      done += part;
    }
    return bytes.subarray(0, done);
  }
}
