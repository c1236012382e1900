/**
 * System control port A of the PS/2 (hw/i386/port92.c): bit 1 opens the gate of address line 20, bit 0 resets the machine when it is set.
 * Under KVM the gate changes nothing: the guest's addresses go past it.
 */

import { type MemoryRegion, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';

const PORT = 0x92;
const RESET = 0x01;
const A20 = 0x02;

export class Port92 {
  #value = 0;

  /** `onReset` resets the machine. */
  constructor(topology: MemoryTopology, io: MemoryRegion, onReset: () => void) {
    const ops = {
      read: () => this.#value,
      write: (_offset: number, _size: number, value: number) => {
        const rises = (value & ~this.#value & RESET) !== 0;
        this.#value = value;
        if (rises) onReset();
      },
      valid: sizes(0, 0),
      impl: sizes(1, 1),
    };
    io.addSubregion(PORT, topology.io('port92', 1, ops));
  }

  reset(): void {
    this.#value &= ~RESET;
  }

  /** What firmware has done by the time a kernel looks (SeaBIOS, src/romlayout.S: transition32). */
  openGate(): void {
    this.#value |= A20;
  }
}
