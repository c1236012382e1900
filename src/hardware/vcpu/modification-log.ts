/**
 * Page-modification logging (SDM vol. 3C ch. 29.3.6): when the CPU sets the dirty bit of an EPT leaf it writes the guest
 * physical address of the page into a log in memory, from the last entry down.
 */

import type { Hpa } from '../../address.ts';
import type { PhysicalMemory } from '../physical-memory.ts';

/** The log is a page of 64-bit addresses. */
export const LOG_ENTRIES = 512;

export class ModificationLog {
  readonly #memory: PhysicalMemory;
  /** The log's page; `undefined` switches logging off. */
  page: Hpa | undefined;
  /** PML index: the entry to be written next. Outside the log: it is full. */
  index = LOG_ENTRIES - 1;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Note that the page of `address` becomes dirty; false if the log is full, and the CPU has to exit first. */
  record(address: number): boolean {
    if (this.page === undefined) return true;
    if (this.index < 0) return false;
    this.#memory.writeEntry((this.page + this.index * 8) as Hpa, BigInt(address - (address % 4096)));
    this.index--;
    return true;
  }
}
