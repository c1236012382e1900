/** Guest physical to host physical: the EPT walk behind a small cache, and the exits it can end in. */

import { type Gpa, hpa, pageStart } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import { EPT_OUTCOME, EPTP, EptWalker, walkEpt } from '../ept.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import type { EmulatorPort } from './emulator-port.ts';
import { eptEntries, eptWalk } from './events.ts';
import { EPT_QUALIFICATION, EXIT_REASON } from './exit.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import { KnownMisconfigurations } from './known-misconfigurations.ts';
import { ModificationLog } from './modification-log.ts';
import type { Access } from './paging.ts';
import type { PendingEvent } from './pending-event.ts';

const ENTRIES = 1024;
const RIGHT: Readonly<Record<Access, number>> = { read: 1, write: 2, fetch: 4 };
const QUALIFICATION: Readonly<Record<Access, number>> = {
  read: EPT_QUALIFICATION.READ,
  write: EPT_QUALIFICATION.WRITE,
  fetch: EPT_QUALIFICATION.FETCH,
};

/** The nested half of a vCPU's address translation. */
export class NestedPaging {
  readonly #memory: PhysicalMemory;
  readonly #event: PendingEvent;
  readonly #stream: EventStream;
  readonly #walker: EptWalker;
  readonly #misconfigured: KnownMisconfigurations;
  readonly modificationLog: ModificationLog;
  /** Set while the hypervisor completes an instruction: what the EPT does not map is served by it. */
  emulator: EmulatorPort | null = null;
  /** The emulator has led past the EPT, which the processor may not do on its own. */
  borrowed = false;
  /** Counts how often everything was forgotten: what was found before an {@link invalidate} says nothing behind it. */
  generation = 0;
  #eptp = 0;
  readonly #tags = new Float64Array(ENTRIES).fill(Number.NaN);
  readonly #hosts = new Int32Array(ENTRIES);
  /** Rights that have been exercised, so that accessed and dirty bits stand; others walk again. */
  readonly #rights = new Uint8Array(ENTRIES);
  /** Frames of devices, which lie beyond RAM and beyond what `#hosts` holds: there the entry is OUTCOME.DEVICE. */
  readonly #deviceFrames = new Float64Array(ENTRIES);
  /** Host physical address of the last translation that ended in OUTCOME.DEVICE. */
  deviceAddress = 0;

  constructor(memory: PhysicalMemory, event: PendingEvent, stream: EventStream) {
    this.#stream = stream;
    this.#memory = memory;
    this.#event = event;
    this.#walker = new EptWalker(memory);
    this.#misconfigured = new KnownMisconfigurations(memory);
    this.modificationLog = new ModificationLog(memory);
  }

  /** Whether a translation leads to something that can be accessed: memory, a device, or what the emulator serves. */
  canServe(outcome: number): boolean {
    return outcome >= 0 || outcome === OUTCOME.DEVICE || (outcome === OUTCOME.EXIT && this.emulator !== null);
  }

  /** 0 runs without EPT: guest physical is host physical. */
  setPointer(eptp: number): void {
    this.#eptp = eptp;
    this.invalidate();
  }

  get pointer(): number {
    return this.#eptp;
  }

  /** The hypervisor is done: what it has led to is not remembered. */
  endEmulation(): void {
    this.emulator = null;
    if (!this.borrowed) return;
    this.borrowed = false;
    this.generation++;
  }

  /** INVEPT. */
  invalidate(): void {
    this.generation++;
    this.#tags.fill(Number.NaN);
    this.#misconfigured.forget();
  }

  /** With accessed and dirty bits enabled, the processor's reads of guest paging structures count as writes. */
  get tableAccess(): Access {
    return (this.#eptp & EPTP.ACCESSED_DIRTY) !== 0 ? 'write' : 'read';
  }

  /**
   * Host offset of guest physical `address`; OUTCOME.DEVICE if a device answers there, at {@link deviceAddress}; or the
   * outcome of an EPT violation or misconfiguration. `final` is false for the processor's own accesses to the guest's paging
   * structures.
   */
  translate(address: number, access: Access, final: boolean, linear: number): number {
    // & of an exact integer of any size keeps its low bits right; % is a loop of FPREM beyond 31 bits.
    const within = address & 4095;
    const page = address - within;
    const entry = (page / 4096) & (ENTRIES - 1);
    const right = RIGHT[access];
    if (this.#tags[entry] === page && (this.#rights[entry]! & right) !== 0) {
      const host = this.#hosts[entry]!;
      if (host >= 0) return host + within;
      this.deviceAddress = this.#deviceFrames[entry]! + within;
      return OUTCOME.DEVICE;
    }
    if (this.#eptp === 0) {
      if (!this.#memory.contains(hpa(page))) return this.#event.leave(EXIT_REASON.INVALID_STATE);
      return address;
    }
    return this.#walk(address, access, final, linear, entry);
  }

  #walk(address: number, access: Access, final: boolean, linear: number, entry: number): number {
    const page = pageStart(address);
    const known = this.#misconfigured.holds(page);
    const outcome = known ? EPT_OUTCOME.MISCONFIGURED : this.#walker.walk(this.#eptp, address);
    if (eptWalk.on) this.#tellWalk(address, access);
    if (outcome === EPT_OUTCOME.MAPPED && (this.#walker.rights & RIGHT[access]) !== 0)
      return this.#reached(address, access, linear, entry);
    if (this.emulator !== null && (access === 'fetch' || !final)) {
      const host = this.emulator.ramAt(address as Gpa);
      if (host >= 0) {
        this.borrowed = true;
        return host;
      }
    }
    if (outcome !== EPT_OUTCOME.MISCONFIGURED) return this.#violation(address, access, final, linear);
    if (!known) this.#misconfigured.keep(page, this.#walker);
    return this.#event.leaveForMemory(EXIT_REASON.EPT_MISCONFIG, 0, address as Gpa, linear);
  }

  #violation(address: number, access: Access, final: boolean, linear: number): number {
    const qualification =
      QUALIFICATION[access] |
      (!final && access === 'write' ? EPT_QUALIFICATION.READ : 0) |
      (this.#walker.rights << 3) |
      EPT_QUALIFICATION.LINEAR_ADDRESS_VALID |
      (final ? EPT_QUALIFICATION.FINAL_TRANSLATION : 0);
    return this.#event.leaveForMemory(EXIT_REASON.EPT_VIOLATION, qualification, address as Gpa, linear);
  }

  /** The walk has ended in a page that may be accessed so. */
  #reached(address: number, access: Access, linear: number, entry: number): number {
    const right = RIGHT[access];
    const walker = this.#walker;
    if ((this.#eptp & EPTP.ACCESSED_DIRTY) !== 0) {
      if (access === 'write' && !walker.dirty && !this.modificationLog.record(address))
        return this.#event.leaveForMemory(EXIT_REASON.PML_FULL, 0, address as Gpa, linear);
      walker.markAccessed(access === 'write');
    }
    const { host } = walker;
    const page = pageStart(address);
    const known = this.#tags[entry] === page ? this.#rights[entry]! : 0;
    const frame = host - (host & 4095);
    const memory = host < this.#memory.size;
    this.#tags[entry] = page;
    this.#hosts[entry] = memory ? frame : OUTCOME.DEVICE;
    this.#deviceFrames[entry] = frame;
    this.#rights[entry] = known | right;
    if (memory) return host;
    this.deviceAddress = host;
    return OUTCOME.DEVICE;
  }

  #tellWalk(address: number, access: Access): void {
    const walk = walkEpt(this.#memory, this.#eptp, address as Gpa);
    const host = walk.outcome === 'mapped' ? walk.host : 0;
    const { outcome, steps } = walk;
    this.#stream.ahead(() => eptWalk(this.#stream, { gpa: address, access, ...eptEntries(steps), outcome, hpa: host }));
  }
}
