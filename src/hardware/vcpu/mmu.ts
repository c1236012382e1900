/**
 * The vCPU's memory management unit: linear to guest physical by the guest's 4-level tables (SDM vol. 3A ch. 4.5), then to
 * host physical, with everything that does not fit a single TLB hit: page crossings, MMIO under emulation, code pages.
 */

import type { Gpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { CodeFrames } from '../code-frames.ts';
import { levelBytes, tableIndex } from '../ept.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import type { DebugRegisters } from './debug-registers.ts';
import type { EmulatorPort } from './emulator-port.ts';
import { guestPageWalk } from './events.ts';
import { EXIT_REASON } from './exit.ts';
import { AC } from './flags.ts';
import { type GuestWalk, GuestWalks } from './guest-walks.ts';
import { GuestView } from './inspect.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { NestedPaging } from './nested-paging.ts';
import {
  type Access,
  CR0_AM,
  CR0_WP,
  CR4_SMAP,
  CR4_SMEP,
  EFER_NXE,
  isCanonical,
  PAGE_FAULT,
  PHYSICAL_ADDRESS_BITS,
  PTE,
} from './paging.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import { type CpuState, WORD } from './state.ts';
import { TLB_MASK, Tlb } from './tlb.ts';

/**
 * One half of an access that has no single place: its bytes are in RAM at `host`, in a device at `device` (OUTCOME.DEVICE), or
 * (other outcomes) reached through the emulator.
 */
interface Part {
  host: number;
  device: number;
  linear: number;
  physical: number;
  bytes: number;
}

/** Address translation and slow-path accesses of one vCPU. */
export class Mmu {
  readonly tlb = new Tlb();
  readonly nested: NestedPaging;
  /** Set while the hypervisor completes an instruction: misses of the EPT are served by it. */
  emulator: EmulatorPort | null = null;
  /** A repeated string instruction does one element and comes back: under emulation, and while the CPU single-steps. */
  oneElement = false;
  cr0 = 0n;
  cr4 = 0n;
  efer = 0n;
  privilege = 0;

  #cr3 = 0n;
  /** Where CR3 has the walk begin: a bigint at each walk would be two allocations. */
  #tables = 0;
  readonly #walks: GuestWalks;
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #event: PendingEvent;
  readonly #code: CodeFrames;
  readonly #debug: DebugRegisters;
  readonly #stream: EventStream;
  /** The access is the processor's own, to a descriptor table or the TSS: as supervisor, and none of the program's business. */
  #implicit = false;
  /** The last walk found a page that only EFLAGS.AC let the supervisor touch, so the TLB must not promise it. */
  #guarded = false;
  /** Privilege 3 with CR0.AM and EFLAGS.AC: misaligned data accesses are #AC. Nothing is in the TLB then. */
  #alignmentChecked = false;
  /** Some page in the TLB is a piece of a larger one, all of which INVLPG has to drop. */
  #large = false;
  /** Guest physical address that the last successful walk found, and whether the page may be written without more ado. */
  #physical = 0;
  readonly #parts: [Part, Part] = [
    { host: 0, device: 0, linear: 0, physical: 0, bytes: 0 },
    { host: 0, device: 0, linear: 0, physical: 0, bytes: 0 },
  ];
  #partCount = 0;
  /** Host offsets of the table entries of the walk at hand, by level. */
  readonly #entryHosts = new Int32Array(5);
  /** Where a table entry is put that has to be fetched through the emulator. */
  readonly #tableEntry: number;

  constructor(
    memory: PhysicalMemory,
    state: CpuState,
    event: PendingEvent,
    debug: DebugRegisters,
    stream: EventStream,
  ) {
    this.#stream = stream;
    this.#memory = memory;
    this.#walks = new GuestWalks(memory);
    this.#state = state;
    this.#event = event;
    this.#code = memory.code;
    this.#debug = debug;
    this.nested = new NestedPaging(memory, event, stream);
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

  /** Forget all translations: MOV to CR3, changes of paging mode, INVEPT. */
  flush(): void {
    this.tlb.flush();
    this.#walks.forget();
    this.#large = false;
  }

  /** INVLPG: the page that `address` lies in, whatever its size. */
  invalidatePage(address: number): void {
    if (this.#large) this.flush();
    else this.tlb.flushPage((address | 0) & ~4095);
  }

  /** EFLAGS.AC, CR0.AM or the privilege level has changed: see whether alignment is checked from now on. */
  updateAlignment(): void {
    const checked =
      this.privilege === 3 && (this.cr0 & CR0_AM) !== 0n && (this.#state.words[WORD.FLAG_CONTROL]! & AC) !== 0;
    if (checked === this.#alignmentChecked) return;
    this.#alignmentChecked = checked;
    this.flush();
  }

  /** A stack access has faulted: #SS(0) in the place of #GP(0) if its address was not canonical. Always an outcome. */
  stackOutcome(): number {
    if (this.#event.nonCanonical) this.#event.raise(VECTOR.SS, 0);
    return OUTCOME.FAULT;
  }

  /** Whether the TLB may answer for the page of the last walk from now on. */
  #mayCache(page: number): boolean {
    return !this.#implicit && !this.#guarded && !this.#alignmentChecked && !this.#debug.watches(page);
  }

  /** Whether a data access fails for its alignment, which is looked at before the page tables; #AC(0) is then raised. */
  #isMisaligned(address: number, bytes: number): boolean {
    if (!this.#alignmentChecked || this.#implicit || address % bytes === 0 || !isCanonical(address)) return false;
    this.#event.raise(VECTOR.AC, 0);
    return true;
  }

  /** A data access is carried out: watchpoints take note. */
  #accessed(address: number, bytes: number, write: boolean): void {
    if (this.#debug.active && !this.#implicit) this.#debug.touches(address, bytes, write);
  }

  /** Host offset of the code byte at `address`, or an outcome. */
  fetch(address: number): number {
    const within = pageOffset(address);
    const { fetchTags, fetchHosts } = this.tlb;
    const entry = (address >>> 12) & TLB_MASK;
    if (fetchTags[entry] === address - within) return fetchHosts[entry]! + within;
    const host = this.#translate(address, 'fetch');
    // Fidelity: a processor would run what a device answers; nothing sensible does.
    if (host === OUTCOME.DEVICE) return this.#event.leave(EXIT_REASON.INVALID_STATE);
    if (host >= 0 && !this.#implicit) this.tlb.fillFetch(address - within, host - within);
    return host;
  }

  /** Host offset where `bytes` bytes at `address` can be read, or an outcome. */
  readSlow(address: number, bytes: number): number {
    if (this.#isMisaligned(address, bytes)) return OUTCOME.FAULT;
    const within = pageOffset(address);
    const first = Math.min(bytes, 4096 - within);
    this.#partCount = 0;
    const host = this.#probe(address, first, 'read');
    if (!this.#canServe(host)) return host;
    if (first < bytes) {
      const second = this.#probe(address + first, bytes - first, 'read');
      if (!this.#canServe(second)) return second;
    }
    this.#accessed(address, bytes, false);
    if (host >= 0 && first === bytes) {
      if (this.#mayCache(address - within)) this.tlb.fillRead(address - within, host - within);
      return host;
    }
    return this.#fillBounce() ? this.#state.bounce : OUTCOME.LATER;
  }

  /**
   * Host offset where `bytes` bytes may be written, or an outcome. `update` says that the old value is read there first.
   * If it is the bounce buffer, {@link commitBounce} has to follow the store.
   */
  writeSlow(address: number, bytes: number, update: boolean): number {
    if (this.#isMisaligned(address, bytes)) return OUTCOME.FAULT;
    const within = pageOffset(address);
    this.#partCount = 0;
    const first = Math.min(bytes, 4096 - within);
    const host = this.#probe(address, first, 'write');
    if (!this.#canServe(host)) return host;
    if (first < bytes) {
      const second = this.#probe(address + first, bytes - first, 'write');
      if (!this.#canServe(second)) return second;
    }
    this.#accessed(address, bytes, true);
    if (host >= 0 && first === bytes && !this.#code.holds(host)) {
      if (this.#mayCache(address - within)) this.tlb.fillWrite(address - within, host - within);
      return host;
    }
    if (update && !this.#fillBounce()) return OUTCOME.LATER;
    return this.#state.bounce;
  }

  /** Translate one part of an access and note where it goes. */
  #probe(address: number, bytes: number, access: Access): number {
    const host = this.#translate(address, access);
    const part = this.#parts[this.#partCount++]!;
    part.host = host;
    part.device = this.nested.deviceAddress;
    part.linear = address;
    part.physical = this.#physical;
    part.bytes = bytes;
    return host;
  }

  #fillBounce(): boolean {
    let at = 0;
    for (let index = 0; index < this.#partCount; index++) {
      const { host, device, linear, physical, bytes } = this.#parts[index]!;
      const from = this.#state.bounce + at;
      if (host >= 0) this.#memory.bytes.copyWithin(from, host, host + bytes);
      else if (host === OUTCOME.DEVICE) this.#memory.devices.readBytes(device, this.#memory.bytes, from, bytes);
      else {
        const data = this.#memory.bytes.subarray(from, from + bytes);
        if (this.emulator!.readMemory(linear, physical as Gpa, data) === 'later') return false;
      }
      at += bytes;
    }
    return true;
  }

  /** Carry a store from the bounce buffer to where it belongs. STOP if it changed code, be it by the DMA of a device. */
  commitBounce(): number {
    const { changes } = this.#code;
    let at = this.#state.bounce;
    for (let index = 0; index < this.#partCount; index++) {
      const { host, device, linear, physical, bytes } = this.#parts[index]!;
      if (host >= 0) {
        this.#memory.bytes.copyWithin(host, at, at + bytes);
        this.#code.changed(host, bytes);
      } else if (host === OUTCOME.DEVICE) {
        this.#memory.devices.writeBytes(device, this.#memory.bytes, at, bytes);
      } else {
        const data = this.#memory.bytes.subarray(at, at + bytes);
        this.emulator!.writeMemory(linear, physical as Gpa, data);
      }
      at += bytes;
    }
    return this.#code.changes === changes ? 0 : OUTCOME.STOP;
  }

  /** Whether a failed translation is one that the emulator stands in for: an exit whose final address is known. */
  #emulates(outcome: number): boolean {
    return outcome === OUTCOME.EXIT && this.emulator !== null;
  }

  /** Whether a translation leads to something that can be accessed: memory, a device, or what the emulator serves. */
  #canServe(outcome: number): boolean {
    return outcome >= 0 || outcome === OUTCOME.DEVICE || this.#emulates(outcome);
  }

  /**
   * Copy `bytes` bytes at `address` for the processor itself (descriptor tables, stacks of handlers), as supervisor. 0, or
   * an outcome with nothing copied.
   */
  readSystem(address: number, into: number, bytes: number): number {
    const privilege = this.#enterSystem();
    const host = this.readSlow(address, bytes);
    this.#leaveSystem(privilege);
    if (host < 0) return host;
    this.#memory.bytes.copyWithin(into, host, host + bytes);
    return 0;
  }

  /** Store `value` for the processor itself, as supervisor. 0 or an outcome. */
  writeSystem(address: number, value: bigint): number {
    const privilege = this.#enterSystem();
    const host = this.writeSlow(address, 8, false);
    this.#leaveSystem(privilege);
    if (host < 0) return host;
    this.#memory.view.setBigUint64(host, BigInt.asUintN(64, value), true);
    if (host === this.#state.bounce) this.commitBounce();
    return 0;
  }

  #enterSystem(): number {
    const { privilege } = this;
    this.privilege = 0;
    this.#implicit = true;
    return privilege;
  }

  #leaveSystem(privilege: number): void {
    this.privilege = privilege;
    this.#implicit = false;
  }

  /** Both walks. The physical address found is left in #physical even if the EPT does not map it. */
  #translate(address: number, access: Access): number {
    if (!isCanonical(address)) return this.#event.raiseNonCanonical();
    const outcome = this.#walk(address, access);
    if (guestPageWalk.on) this.#tellWalk(address, access, outcome);
    if (outcome < 0) return outcome;
    return this.nested.translate(this.#physical, access, true, address);
  }

  /** The guest's tables, level 4 down to the leaf; sets #physical. 0 or an outcome. */
  #walk(address: number, access: Access): number {
    const page = address - pageOffset(address);
    const known = this.#walks.find(page, this.nested.generation);
    if (known !== undefined && (known.dirty || access !== 'write')) return this.#walkAgain(address, access, known);
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
        this.#physical = base + within;
        if (large) this.#large = true;
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
      walk.generation = this.nested.generation;
      walk.physical = this.#physical - pageOffset(address);
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
    this.#physical = physical + pageOffset(address);
    if (large) this.#large = true;
    return 0;
  }

  /** An exit on the way to a table is no walk yet: it is done again after the exit. */
  #tellWalk(address: number, access: Access, outcome: number): void {
    if (outcome === OUTCOME.EXIT) return;
    const { steps } = new GuestView(this.#memory, this.nested.pointer, this.cr3).walk(BigInt(address));
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
        physical: outcome < 0 ? 0 : this.#physical,
        mapped: outcome >= 0,
      }),
    );
  }

  /** Where the table entry at guest physical `entry` can be read. */
  #tableHost(entry: number, linear: number): number {
    const host = this.nested.translate(entry, this.nested.tableAccess, false, linear);
    if (!this.#canServe(host) || host >= 0) return host;
    const data = this.#memory.bytes.subarray(this.#tableEntry, this.#tableEntry + 8);
    if (host === OUTCOME.DEVICE) this.#memory.devices.readBytes(this.nested.deviceAddress, data);
    else this.emulator!.readMemory(linear, entry as Gpa, data);
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
    this.#guarded = userPage && !user && (this.cr4 & CR4_SMAP) !== 0n;
    if (this.#guarded && (this.#implicit || (this.#state.words[WORD.FLAG_CONTROL]! & AC) === 0)) return false;
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

/** Offset in the page of a signed linear address. */
const pageOffset = (address: number): number => (address | 0) & 4095;
