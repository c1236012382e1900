/**
 * Accesses of the guest that reach nothing, or not what they were meant for: QEMU answers them silently (it logs some with
 * `-d guest_errors,unimp`); here each is told once on stderr, with the
 * place in the guest that made it.
 */

import type { AddressSpace, OddAccess } from './memory/address-space.ts';
import type { System } from './system.ts';

/** Warnings there may be; a guest that strays through its whole memory is not listed in full. */
const MOST_WARNINGS = 50;

export class GuestErrors {
  readonly #system: System;
  /** `RIP text` of every warning so far. */
  readonly #told = new Set<string>();
  /** Where the guest's access is made; undefined while none is served. */
  rip: (() => bigint | undefined) | undefined;

  constructor(system: System) {
    this.#system = system;
  }

  /** Tell of odd accesses to `space`; `whoWouldBe` says who might have been meant by one to nothing. */
  watch(space: AddressSpace, whoWouldBe: (address: number) => string | undefined = () => undefined): void {
    space.onOddAccess = (access) => {
      const meant = access.why === 'nothing' ? whoWouldBe(access.address) : undefined;
      this.report(meant === undefined ? describe(access) : `${describe(access)}: ${meant}`);
    };
  }

  /** A warning that names the place in the guest; nothing if the same was told before, or if no guest is running. */
  report(text: string): void {
    if (this.#told.size > MOST_WARNINGS) return;
    const rip = this.rip?.();
    if (rip === undefined) return;
    const warning = `${text}, at rip 0x${rip.toString(16)}`;
    if (this.#told.has(warning)) return;
    this.#told.add(warning);
    const last = this.#told.size > MOST_WARNINGS;
    this.#system.error(last ? 'warning: the guest makes more odd accesses, not listed' : `warning: ${warning}`);
  }
}

/** What is accessed, and what comes of it. */
function describe({ space, address, offset, size, write, why, region }: OddAccess): string {
  const where = space === 'I/O' ? `port 0x${address.toString(16)}` : `address 0x${address.toString(16)}`;
  const access = `${write ? 'write' : 'read'} of ${size} ${size === 1 ? 'byte' : 'bytes'} at ${where}`;
  const outcome = write ? 'ignored' : 'reads 0';
  switch (why) {
    case 'nothing':
      return `guest ${access}: nothing is there, ${write ? 'ignored' : space === 'I/O' ? 'reads all ones' : 'reads 0'}`;
    case 'refused':
      return `guest ${access}: '${region}' does not take this width there, ${outcome}`;
    case 'read-only':
      return `guest ${access}: '${region}' is read-only, ignored`;
    case 'nested':
      return `Blocked re-entrant IO on MemoryRegion: ${region} at addr: 0x${offset.toString(16).toUpperCase()}`;
    case 'crossing':
      return `guest ${access}: goes over the end of ${region === undefined ? 'unassigned space' : `'${region}'`}, cut there`;
  }
}
