/**
 * The vCPU's memory management unit: linear to guest physical to host physical behind the TLB, with everything that does not fit
 * a single hit there: page crossings, MMIO under emulation, code pages.
 */

import type { Gpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { CodeFrames } from '../code-frames.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import type { DebugRegisters } from './debug-registers.ts';
import type { EmulatorPort } from './emulator-port.ts';
import { eptWalk, guestPageWalk } from './events.ts';
import { EXIT_REASON } from './exit.ts';
import { AC } from './flags.ts';
import { GuestPaging } from './guest-paging.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { NestedPaging } from './nested-paging.ts';
import { type Access, CR0_AM, isCanonical, pageOffset } from './paging.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import { type CpuState, WORD } from './state.ts';
import { TLB_MASK, Tlb } from './tlb.ts';

/** Bytes of the largest access. */
const LARGEST = 8;

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
  readonly guest: GuestPaging;
  readonly nested: NestedPaging;
  /** A repeated string instruction does one element and comes back: under emulation, and while the CPU single-steps. */
  oneElement = false;
  /** A store has gone into a frame that holds code, if perhaps into none of the code. Set back by who wants to know. */
  besideCode = false;

  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  readonly #event: PendingEvent;
  readonly #code: CodeFrames;
  readonly #debug: DebugRegisters;
  /** Privilege 3 with CR0.AM and EFLAGS.AC: misaligned data accesses are #AC. Nothing is in the TLB then. */
  #alignmentChecked = false;
  readonly #parts: [Part, Part] = [
    { host: 0, device: 0, linear: 0, physical: 0, bytes: 0 },
    { host: 0, device: 0, linear: 0, physical: 0, bytes: 0 },
  ];
  #partCount = 0;
  /** The program's access that the CPU has last left for; NaN: that was none of the program's own. */
  readonly #left = { linear: Number.NaN, physical: 0, access: 'read' as Access };
  /** Pieces of the bounce buffer as the emulator is handed them, by where they begin and how long they are: made once, not at each access. */
  readonly #pieces: readonly (readonly Uint8Array[])[];

  constructor(
    memory: PhysicalMemory,
    state: CpuState,
    event: PendingEvent,
    debug: DebugRegisters,
    stream: EventStream,
  ) {
    this.#memory = memory;
    this.#state = state;
    this.#event = event;
    this.#code = memory.code;
    this.#debug = debug;
    this.nested = new NestedPaging(memory, event, stream);
    this.guest = new GuestPaging(memory, state, event, this.nested, stream);
    const { bounce } = state;
    this.#pieces = Array.from({ length: LARGEST }, (_, at) =>
      Array.from({ length: LARGEST - at + 1 }, (_, bytes) => memory.bytes.subarray(bounce + at, bounce + at + bytes)),
    );
  }

  /** Forget all translations: MOV to CR3, changes of paging mode, INVEPT. */
  flush(): void {
    this.tlb.flush();
    this.guest.forget();
  }

  /** INVLPG: the page that `address` lies in, whatever its size. */
  invalidatePage(address: number): void {
    if (this.guest.large) this.flush();
    else this.tlb.flushPage((address | 0) & ~4095);
  }

  /** EFLAGS.AC, CR0.AM or the privilege level has changed: see whether alignment is checked from now on. */
  updateAlignment(): void {
    const checked =
      this.guest.privilege === 3 &&
      (this.guest.cr0 & CR0_AM) !== 0n &&
      (this.#state.words[WORD.FLAG_CONTROL]! & AC) !== 0;
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
    return !this.guest.implicit && !this.guest.guarded && !this.#alignmentChecked && !this.#debug.watches(page);
  }

  /** Whether a data access fails for its alignment, which is looked at before the page tables; #AC(0) is then raised. */
  #isMisaligned(address: number, bytes: number): boolean {
    if (!this.#alignmentChecked || this.guest.implicit || address % bytes === 0 || !isCanonical(address)) return false;
    this.#event.raise(VECTOR.AC, 0);
    return true;
  }

  /** A data access is carried out: watchpoints take note. */
  #accessed(address: number, bytes: number, write: boolean): void {
    if (this.#debug.active && !this.guest.implicit) this.#debug.touches(address, bytes, write);
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
    if (host >= 0 && !this.guest.implicit && !this.nested.borrowed) this.tlb.fillFetch(address - within, host - within);
    return host;
  }

  /** Host offset where `bytes` bytes at `address` can be read, or an outcome. */
  readSlow(address: number, bytes: number): number {
    if (this.#isMisaligned(address, bytes)) return OUTCOME.FAULT;
    const host = this.#probeParts(address, bytes, 'read');
    if (!this.nested.canServe(host)) return host;
    this.#accessed(address, bytes, false);
    if (host >= 0 && this.#partCount === 1) {
      const within = pageOffset(address);
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
    const host = this.#probeParts(address, bytes, 'write');
    if (!this.nested.canServe(host)) return host;
    this.#accessed(address, bytes, true);
    if (host >= 0 && this.#partCount === 1) {
      if (!this.#code.holds(host)) {
        const within = pageOffset(address);
        if (this.#mayCache(address - within)) this.tlb.fillWrite(address - within, host - within);
        return host;
      }
      if (!this.#code.areCode(host, bytes)) {
        this.besideCode = true;
        return host;
      }
    }
    if (update && !this.#fillBounce()) return OUTCOME.LATER;
    return this.#state.bounce;
  }

  /** Translate an access and note where its parts go: what the first has come to, or the second if that cannot be served. */
  #probeParts(address: number, bytes: number, access: Access): number {
    this.#partCount = 0;
    const left = 4096 - pageOffset(address);
    if (left >= bytes) return this.#probe(address, bytes, access);
    const first = this.#probe(address, left, access);
    if (!this.nested.canServe(first)) return first;
    const second = this.#probe(address + left, bytes - left, access);
    return this.nested.canServe(second) ? first : second;
  }

  /** Translate one part of an access and note where it goes. */
  #probe(address: number, bytes: number, access: Access): number {
    const host = this.#translate(address, access);
    const part = this.#parts[this.#partCount++]!;
    part.host = host;
    part.device = this.nested.deviceAddress;
    part.linear = address;
    part.physical = this.guest.physical;
    part.bytes = bytes;
    return host;
  }

  #fillBounce(): boolean {
    const first = this.#parts[0];
    const filled = this.#fill(first, 0);
    // Both parts, and RAM as well: what is there is read once, even if the other part has to be waited for.
    return this.#partCount === 1 ? filled : this.#fill(this.#parts[1], first.bytes) && filled;
  }

  /** The bytes of one part into the bounce buffer, from its byte `at` on; false if they have to be waited for. */
  #fill({ host, device, linear, physical, bytes }: Part, at: number): boolean {
    const { emulator } = this.nested;
    if (host === OUTCOME.EXIT || (host >= 0 && emulator !== null))
      return emulator!.readMemory(linear, physical as Gpa, this.#pieces[at]![bytes]!) === 'done';
    const from = this.#state.bounce + at;
    if (host >= 0) this.#memory.bytes.copyWithin(from, host, host + bytes);
    else this.#memory.devices.readBytes(device, this.#memory.bytes, from, bytes);
    return true;
  }

  /** Carry a store from the bounce buffer to where it belongs. STOP if it changed code, be it by the DMA of a device. */
  commitBounce(): number {
    const { changes } = this.#code;
    const first = this.#parts[0];
    this.#commit(first, 0);
    if (this.#partCount > 1) this.#commit(this.#parts[1], first.bytes);
    return this.#code.changes === changes ? 0 : OUTCOME.STOP;
  }

  #commit({ host, device, linear, physical, bytes }: Part, at: number): void {
    if (host === OUTCOME.EXIT) {
      this.nested.emulator!.writeMemory(linear, physical as Gpa, this.#pieces[at]![bytes]!);
      return;
    }
    const from = this.#state.bounce + at;
    if (host === OUTCOME.DEVICE) this.#memory.devices.writeBytes(device, this.#memory.bytes, from, bytes);
    else {
      this.#memory.bytes.copyWithin(host, from, from + bytes);
      if (this.#code.holds(host)) this.besideCode = true;
      this.#code.changed(host, bytes);
    }
  }

  /** Both walks. The physical address found is left in {@link GuestPaging.physical} even if the EPT does not map it. */
  #translate(address: number, access: Access): number {
    const { guest, nested } = this;
    if (nested.emulator !== null && this.#hasLeftFor(address, access)) return OUTCOME.EXIT;
    const outcome = guest.translate(address, access);
    const host = outcome < 0 ? outcome : nested.translate(guest.physical, access, true, address);
    if (host === OUTCOME.EXIT) {
      const left = this.#left;
      left.linear = outcome < 0 || guest.implicit ? Number.NaN : address;
      left.physical = guest.physical;
      left.access = access;
    }
    return host;
  }

  /**
   * Whether the access is the one that the CPU has left for, so that {@link GuestPaging.physical} is what the exit says of it: also when the
   * instruction is run once more with user space's answer (arch/x86/kvm/x86.c: emulator_read_write_onepage with gpa_available).
   */
  #hasLeftFor(address: number, access: Access): boolean {
    const { linear, physical, access: before } = this.#left;
    if (address !== linear || access !== before || this.guest.implicit) return false;
    // Who listens is told of the emulator's walk as well.
    if (guestPageWalk.on || eptWalk.on) return false;
    this.guest.physical = physical;
    return true;
  }

  /**
   * The hypervisor completes an instruction: `port` serves what the CPU leaves for. `known`: the exit was for memory, and so tells of one of the
   * instruction's accesses.
   */
  beginEmulation(port: EmulatorPort, known: boolean): void {
    if (!known) this.#left.linear = Number.NaN;
    this.nested.emulator = port;
    this.oneElement = true;
  }

  endEmulation(): void {
    this.oneElement = false;
    this.nested.endEmulation();
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
    const { privilege } = this.guest;
    this.guest.privilege = 0;
    this.guest.implicit = true;
    return privilege;
  }

  #leaveSystem(privilege: number): void {
    this.guest.privilege = privilege;
    this.guest.implicit = false;
  }
}
