/**
 * A run of a process's memory that areas of I/O address spaces stand for: `struct iopt_pages` (drivers/iommu/iommufd/pages.c of
 * Linux 6.6). However many areas, page tables and drivers use a page, it is pinned once and charged once.
 */

import { strict as assert } from 'node:assert';
import { type Hpa, type Hva, hva, PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import type { Process } from '../core/process.ts';
import { EFAULT, ENOMEM } from '../uapi/errno.ts';

/** IOPT_PAGES_ACCOUNT_*: whose locked memory the pages are. */
export type Account = 'none' | 'user' | 'mm';

/** Frames and pin counts of 512 neighbouring pages, kept while one of them is pinned. */
interface Chunk {
  readonly frames: Float64Array;
  readonly counts: Uint32Array;
  pinned: number;
}
const CHUNK = 512;

/** `user_struct`: every process of the model is root's, so that a kernel has one. */
const users = new WeakMap<Kernel, { lockedPages: number }>();

/** Pages that the user, over all processes, has locked through iommufd. */
export function lockedByUser(kernel: Kernel): { lockedPages: number } {
  const user = users.get(kernel) ?? { lockedPages: 0 };
  users.set(kernel, user);
  return user;
}

export class IoptPages {
  /** The page in which the memory begins. */
  readonly start: Hva;
  /** What of that page comes before. */
  readonly offset: number;
  readonly writable: boolean;
  readonly #kernel: Kernel;
  readonly #process: Process;
  readonly #account: Account;
  readonly #chunks = new Map<number, Chunk>();

  /** Memory of the current process at user address `uptr`; charged by `mode` unless the process may lock what it likes. */
  constructor(kernel: Kernel, uptr: bigint, writable: boolean, mode: Account) {
    this.#kernel = kernel;
    this.#process = kernel.current;
    this.offset = Number(uptr % BigInt(PAGE_SIZE));
    this.start = hva(Number(uptr) - this.offset);
    this.writable = writable;
    this.#account = kernel.current.mayLockMemory ? 'none' : mode;
  }

  get mm(): AddressSpace {
    return this.#process.mm;
  }

  /** Pin page `index`, as often as it is asked: its frame, -EFAULT, or -ENOMEM beyond RLIMIT_MEMLOCK. */
  pin(index: number): Hpa | number {
    const chunk = this.#chunks.get(Math.floor(index / CHUNK));
    const slot = index % CHUNK;
    if (chunk !== undefined && (chunk.counts[slot] as number) > 0) {
      chunk.counts[slot]!++;
      return chunk.frames[slot] as Hpa;
    }
    const frame = this.#pinFirst(index);
    if (frame < 0) return frame;
    const into = chunk ?? { frames: new Float64Array(CHUNK), counts: new Uint32Array(CHUNK), pinned: 0 };
    if (chunk === undefined) this.#chunks.set(Math.floor(index / CHUNK), into);
    into.frames[slot] = frame;
    into.counts[slot] = 1;
    into.pinned++;
    return frame;
  }

  /** Undo one {@link pin}. */
  unpin(index: number): void {
    const chunk = this.#chunks.get(Math.floor(index / CHUNK));
    const slot = index % CHUNK;
    assert(chunk !== undefined && (chunk.counts[slot] as number) > 0, 'a page is unpinned as often as it was pinned');
    if (--chunk.counts[slot]! > 0) return;
    this.mm.unpin(chunk.frames[slot] as Hpa);
    this.#charge(-1);
    if (--chunk.pinned === 0) this.#chunks.delete(Math.floor(index / CHUNK));
  }

  /** pin_user_pages_remote and do_update_pinned, for one page. */
  #pinFirst(index: number): Hpa | number {
    const kernel = this.#kernel;
    const at = this.start + index * PAGE_SIZE;
    const frame = this.mm.pin(at, this.writable);
    if (frame < 0) {
      const right = this.writable ? 'written' : 'read';
      return kernel.refuse(EFAULT, `the memory at 0x${at.toString(16)} is not there, or may not be ${right}`);
    }
    if (!kernel.memory.contains(frame as Hpa)) {
      return kernel.refuse(EFAULT, `at 0x${at.toString(16)} is a device, which has no page to pin`);
    }
    const room = Math.floor(this.#process.lockLimit / PAGE_SIZE);
    if (this.#account !== 'none' && this.#charged.lockedPages >= room) {
      this.mm.unpin(frame as Hpa);
      const limit = this.#process.lockLimit;
      return kernel.refuse(ENOMEM, `${room} pages are locked, all that RLIMIT_MEMLOCK of ${limit} bytes allows`);
    }
    this.#charge(1);
    return frame;
  }

  get #charged(): { lockedPages: number } {
    return this.#account === 'mm' ? this.mm : lockedByUser(this.#kernel);
  }

  #charge(pages: number): void {
    if (this.#account !== 'none') this.#charged.lockedPages += pages;
  }
}
