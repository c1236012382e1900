/**
 * Accesses that reach nothing, or not what they were meant for: QEMU answers them silently (it logs some with `-d guest_errors,unimp`);
 * here each is told once on stderr, the guest's with the place that made it, DMA with its device.
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
      const meant = access.why === 'nothing' ? whoWouldBe(Number(access.address)) : undefined;
      this.report(meant === undefined ? describe(access) : `${describe(access)}: ${meant}`, access.device);
    };
  }

  /**
   * A warning of what the guest did, with the place, or of the DMA of `device`; nothing if the same was told before, or if no guest is
   * running.
   */
  report(text: string, device?: string): void {
    if (this.#told.size > MOST_WARNINGS) return;
    const rip = this.rip?.();
    if (rip === undefined) return;
    const warning = device === undefined ? `${text}, at rip 0x${rip.toString(16)}` : text;
    if (this.#told.has(warning)) return;
    this.#told.add(warning);
    const last = this.#told.size > MOST_WARNINGS;
    this.#system.error(last ? 'warning: the guest makes more odd accesses, not listed' : `warning: ${warning}`);
  }
}

/** Who accesses, as a warning begins. */
export const accessor = (device: string | undefined): string => (device === undefined ? 'guest' : `DMA of ${device}:`);

/** What is accessed, and what comes of it. */
function describe({ space, device, address, offset, size, write, why, region }: OddAccess): string {
  const where = space === 'I/O' ? `port 0x${address.toString(16)}` : `address 0x${address.toString(16)}`;
  const access = `${accessor(device)} ${write ? 'write' : 'read'} of ${size} ${size === 1 ? 'byte' : 'bytes'} at ${where}`;
  const outcome = write ? 'ignored' : 'reads 0';
  switch (why) {
    case 'nothing':
      return `${access}: nothing is there, ${write ? 'ignored' : space === 'I/O' ? 'reads all ones' : 'reads 0'}`;
    case 'refused':
      return `${access}: '${region}' does not take this width there, ${outcome}`;
    case 'read-only':
      return `${access}: '${region}' is read-only, ignored`;
    case 'nested':
      return `Blocked re-entrant IO on MemoryRegion: ${region} at addr: 0x${offset.toString(16).toUpperCase()}`;
    case 'crossing': {
      const rest = device === undefined ? 'cut there' : `the rest ${write ? 'is ignored' : 'reads 0'}`;
      return `${access}: goes over the end of ${region === undefined ? 'unassigned space' : `'${region}'`}, ${rest}`;
    }
    case 'no-master':
      return `${access}: the guest has not made the device a bus master (see pci_set_master), ${outcome}`;
  }
}
