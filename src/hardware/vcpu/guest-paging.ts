/**
 * Linear to guest physical: the guest's 4-level tables (SDM vol. 3A ch. 4.5), the permissions that they and the control registers
 * give, and the page fault where there is none.
 */

import type { Gpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { CodeFrames } from '../code-frames.ts';
import { levelBytes, tableIndex } from '../ept.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { guestPageWalk } from './events.ts';
import { AC } from './flags.ts';
import { type GuestWalk, GuestWalks } from './guest-walks.ts';
import { GuestView } from './inspect.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { NestedPaging } from './nested-paging.ts';
import {
  type Access,
  CR0_WP,
  CR4_SMAP,
  CR4_SMEP,
  EFER_NXE,
  isCanonical,
  PAGE_FAULT,
  PHYSICAL_ADDRESS_BITS,
  PTE,
  pageOffset,
} from './paging.ts';
import type { PendingEvent } from './pending-event.ts';
import { type CpuState, WORD } from './state.ts';

/** The guest's half of a vCPU's address translation. */
export class GuestPaging {
  cr0 = 0n;
  cr4 = 0n;
  efer = 0n;
  /** CPL. */
  privilege = 0;
  /** The access is the processor's own, to a descriptor table or the TSS: as supervisor, and none of the program's business. */
  implicit = false;
  /** The last walk found a page that only EFLAGS.AC let the supervisor touch, so the TLB must not promise it. */
  guarded = false;
  /** Some page found since {@link forget} is a piece of a larger one, all of which INVLPG has to drop. */
  large = false;
  /** Guest physical address that the last successful walk found. */
  physical = 0;

  #cr3 = 0n;
  /** Where CR3 has the walk begin: a bigint at each walk would be two allocations. */
  #tables = 0;
  readonly #walks: GuestWalks;
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #event: PendingEvent;
  readonly #code: CodeFrames;
  readonly #nested: NestedPaging;
  readonly #stream: EventStream;
  /** Host offsets of the table entries of the walk at hand, by level. */
  readonly #entryHosts = new Int32Array(5);
  /** Where a table entry is put that has to be fetched through the emulator. */
  readonly #tableEntry: number;

  constructor(memory: PhysicalMemory, state: CpuState, event: PendingEvent, nested: NestedPaging, stream: EventStream) {
    this.#memory = memory;
    this.#walks = new GuestWalks(memory);
    this.#state = state;
    this.#event = event;
    this.#code = memory.code;
    this.#nested = nested;
    this.#stream = stream;
    this.#tableEntry = state.bounce + 64;
  }

  get cr3(): bigint {
    return this.#cr3;
  }
  set cr3(value: bigint) {
    this.#cr3 = value;
    this.#walks.forget();
    this.#tables = Number(value & 0x000f_ffff_ffff_f000n);
  }

  /** Forget what was walked. */
  forget(): void {
    this.#walks.forget();
    this.large = false;
  }

  /** Find the guest physical address of `address`, left in {@link physical}. 0 or an outcome. */
  translate(address: number, access: Access): number {
    if (!isCanonical(address)) return this.#event.raiseNonCanonical();
    const outcome = this.#walk(address, access);
    if (guestPageWalk.on) this.#tellWalk(address, access, outcome);
    return outcome;
  }

  /** Sets {@link physical}. 0 or an outcome. */
  #walk(address: number, access: Access): number {
    const page = address - pageOffset(address);
    const known = this.#walks.find(page, this.#nested.generation);
    if (known !== undefined && (known.dirty || access !== 'write')) return this.#walkAgain(address, access, known);
    return this.#walkTables(address, access, page);
  }

  /** The guest's tables, level 4 down to the leaf. */
  #walkTables(address: number, access: Access, page: number): number {
    const hosts = this.#entryHosts;
    const { words } = this.#memory;
    let inRam = true;
    let table = this.#tables;
    let flags = PTE.WRITABLE | PTE.USER;
    let noExecute = false;
    let level = 4;
    for (; ; level--) {
      const host = this.#tableHost(table + tableIndex(address, level) * 8, address);
      if (host < 0) return host;
      hosts[level] = host;
      inRam &&= host !== this.#tableEntry;
      const low = words[host >> 2]!;
      const high = words[(host >> 2) + 1]!;
      if ((low & PTE.PRESENT) === 0) return this.#fault(address, access, 0);
      const large = level > 1 && (low & PTE.LARGE_PAGE) !== 0;
      const reserved = (high < 0 && (this.efer & EFER_NXE) === 0n) || (high & RESERVED_HIGH) !== 0;
      if (reserved || (large && level === 4)) {
        return this.#fault(address, access, PAGE_FAULT.PRESENT | PAGE_FAULT.RESERVED);
      }
      flags &= low;
      noExecute ||= high < 0;
      const target = (high & 0x000f_ffff) * 2 ** 32 + ((low & 0xffff_f000) >>> 0);
      if (level === 1 || large) {
        const pageBytes = levelBytes(level);
        // Bit 12 of a large page's entry is its PAT bit.
        const base = large ? target - (target & 8191) : target;
        if (large && (base & (pageBytes - 1)) !== 0)
          return this.#fault(address, access, PAGE_FAULT.PRESENT | PAGE_FAULT.RESERVED);
        if (!this.#permits(access, flags, noExecute)) return this.#fault(address, access, PAGE_FAULT.PRESENT);
        const within = address & (pageBytes - 1);
        this.physical = base + within;
        if (large) this.large = true;
        break;
      }
      table = target;
    }
    for (let each = 4; each >= level; each--) {
      const mark = each === level && access === 'write' ? PTE.ACCESSED | PTE.DIRTY : PTE.ACCESSED;
      this.#markEntry(hosts[each]!, mark);
    }
    if (inRam) {
      const walk = this.#walks.place(page, hosts, level);
      walk.generation = this.#nested.generation;
      walk.physical = this.physical - pageOffset(address);
      walk.flags = flags;
      walk.noExecute = noExecute;
      walk.large = level > 1;
      walk.dirty = (words[hosts[level]! >> 2]! & PTE.DIRTY) !== 0;
    }
    return 0;
  }

  /** As {@link #walk}, where it would read what it read last time. */
  #walkAgain(address: number, access: Access, { flags, noExecute, large, physical }: GuestWalk): number {
    if (!this.#permits(access, flags, noExecute)) return this.#fault(address, access, PAGE_FAULT.PRESENT);
    this.physical = physical + pageOffset(address);
    if (large) this.large = true;
    return 0;
  }

  /** An exit on the way to a table is no walk yet: it is done again after the exit. */
  #tellWalk(address: number, access: Access, outcome: number): void {
    if (outcome === OUTCOME.EXIT) return;
    const { steps } = new GuestView(this.#memory, this.#nested.pointer, this.cr3).walk(BigInt(address));
    const at = (level: number) => steps.find((step) => step.level === level)?.entry ?? 0n;
    this.#stream.ahead(() =>
      guestPageWalk(this.#stream, {
        address: BigInt.asUintN(64, BigInt(address)),
        access,
        level: steps.at(-1)!.level,
        entry4: at(4),
        entry3: at(3),
        entry2: at(2),
        entry1: at(1),
        physical: outcome < 0 ? 0 : this.physical,
        mapped: outcome >= 0,
      }),
    );
  }

  /** Where the table entry at guest physical `entry` can be read. */
  #tableHost(entry: number, linear: number): number {
    const host = this.#nested.translate(entry, this.#nested.tableAccess, false, linear);
    if (!this.#nested.canServe(host) || host >= 0) return host;
    const data = this.#memory.bytes.subarray(this.#tableEntry, this.#tableEntry + 8);
    if (host === OUTCOME.DEVICE) this.#memory.devices.readBytes(this.#nested.deviceAddress, data);
    else this.#nested.emulator!.readMemory(linear, entry as Gpa, data);
    return this.#tableEntry;
  }

  #markEntry(host: number, mark: number): void {
    const { words } = this.#memory;
    const low = words[host >> 2]!;
    if ((low & mark) === mark) return;
    words[host >> 2] = low | mark;
    this.#code.changed(host, 4);
  }

  #permits(access: Access, flags: number, noExecute: boolean): boolean {
    const userPage = (flags & PTE.USER) !== 0;
    const user = this.privilege === 3;
    if (user && !userPage) return false;
    if (access === 'fetch') return !noExecute && !(userPage && !user && (this.cr4 & CR4_SMEP) !== 0n);
    this.guarded = userPage && !user && (this.cr4 & CR4_SMAP) !== 0n;
    if (this.guarded && (this.implicit || (this.#state.words[WORD.FLAG_CONTROL]! & AC) === 0)) return false;
    if (access === 'write') return (flags & PTE.WRITABLE) !== 0 || (!user && (this.cr0 & CR0_WP) === 0n);
    return true;
  }

  #fault(address: number, access: Access, bits: number): number {
    const fetch = access === 'fetch' && ((this.efer & EFER_NXE) !== 0n || (this.cr4 & CR4_SMEP) !== 0n);
    return this.#event.raisePageFault(
      address,
      bits |
        (access === 'write' ? PAGE_FAULT.WRITE : 0) |
        (this.privilege === 3 ? PAGE_FAULT.USER : 0) |
        (fetch ? PAGE_FAULT.FETCH : 0),
    );
  }
}

/** Address bits beyond MAXPHYADDR, in the upper half of an entry. */
const RESERVED_HIGH = 0x000f_ffff & ~((1 << (PHYSICAL_ADDRESS_BITS - 32)) - 1);
