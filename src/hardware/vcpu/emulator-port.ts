/**
 * How a hypervisor completes one instruction that the CPU could not: the instruction's own definition runs once more,
 * and the accesses that left the guest are served through this port instead of exiting.
 */

import type { Gpa } from '../../address.ts';

/** What became of one access: `done`, or `later`: user space must serve it first and the instruction is abandoned unchanged. */
export type Served = 'done' | 'later';

/**
 * Serves accesses that miss RAM during `Vcpu.emulate`, and reads of RAM by an operand that lies in two pages. `data` is exactly as
 * long as the access (1–8 bytes within one page), `linear` a signed double.
 */
export interface EmulatorPort {
  readMemory(linear: number, physical: Gpa, data: Uint8Array): Served;
  /** A write counts as performed for the guest whatever is answered: `later` only means that user space has to see it. */
  writeMemory(linear: number, physical: Gpa, data: Uint8Array): Served;
  /**
   * Host offset of guest RAM at `physical`, -1 where there is none: instructions and page tables are read past the nested tables, in which they
   * may no longer be.
   */
  ramAt(physical: Gpa): number;
  /** The next element of a repeated string instruction begins; nothing of it has happened yet. */
  beginElement(): void;
  readPort(port: number, data: Uint8Array): Served;
  writePort(port: number, data: Uint8Array): Served;
}

/** Outcome of `Vcpu.emulate`: the instruction retired, has done an element of several, waits for user space, raised a guest exception, or cannot be decoded. */
export type Emulated = 'retired' | 'paused' | 'userspace' | 'exception' | 'undecodable';
