/**
 * PAM, the i440FX's programmable attribute map (Intel 82441FX data sheet, 3.2.13; hw/pci-host/pam.c): who answers in each piece of
 * the memory from 0xc0000 to 0xfffff, RAM or the PCI bus, two bits a piece. A PC's firmware copies its ROMs into the RAM below
 * them, and write-protects it.
 *
 * As in QEMU, which cannot tell reads from writes here, RAM that takes writes only is RAM. On the bus stand the ROMs: here there are
 * none, so expansion ROMs are zeros, as QEMU's are until one is loaded, and the empty socket of the BIOS reads as ones.
 */

import { type MemoryRegion, type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';

/** The first register, and how many there are. */
export const PAM = 0x59;
export const PAM_REGISTERS = 7;

const PIECES = 13;
const BIOS_START = 0xf_0000;
const BIOS_SIZE = 0x1_0000;
const EXPANSION_START = 0xc_0000;
const EXPANSION_SIZE = 0x4000;
const EXPANSION_ROMS_SIZE = 0x2_0000;
const BIOS_SOCKET_START = 0xe_0000;
const BIOS_SOCKET_SIZE = 0x2_0000;
/** Above RAM, below what else there is. */
const PRIORITY = 1;
const READ_ENABLE = 1;
const WRITE_ENABLE = 2;

/** Where the pieces of memory come from. */
export interface PamMemory {
  readonly topology: MemoryTopology;
  readonly system: MemoryRegion;
  readonly ram: MemoryRegion;
  readonly pci: MemoryRegion;
}

const rom = (value: number): MemoryRegionOps => ({
  read: () => value,
  write: () => undefined,
  valid: sizes(0, 0),
  impl: sizes(1, 1),
});

/** Piece 0 is the BIOS's 64 KiB, 1 to 12 are 16 KiB each. */
class Piece {
  /** By the two bits: the one that is enabled answers. */
  readonly #aliases: readonly MemoryRegion[];
  readonly #shift: number;
  readonly register: number;

  constructor({ topology, system, ram, pci }: PamMemory, index: number) {
    const start = index === 0 ? BIOS_START : EXPANSION_START + (index - 1) * EXPANSION_SIZE;
    const size = index === 0 ? BIOS_SIZE : EXPANSION_SIZE;
    this.register = PAM + Math.ceil(index / 2);
    this.#shift = index % 2 === 0 ? 4 : 0;
    this.#aliases = [
      topology.alias('pam-pci', pci, start, size),
      topology.alias('pam-rom', ram, start, size),
      topology.alias('pam-pci', ram, start, size),
      topology.alias('pam-ram', ram, start, size),
    ];
    this.#aliases[READ_ENABLE]!.setReadonly(true);
    for (const [value, alias] of this.#aliases.entries()) {
      // Until the first reset all is RAM: nobody looks so early, and KVM needs no slots that it loses again.
      alias.setEnabled(value === READ_ENABLE + WRITE_ENABLE);
      system.addSubregion(start, alias, PRIORITY);
    }
  }

  /** pam_update. */
  set(registerValue: number): void {
    const value = (registerValue >> this.#shift) & 3;
    for (const [index, alias] of this.#aliases.entries()) alias.setEnabled(index === value);
  }
}

export class Pam {
  readonly #topology: MemoryTopology;
  readonly #pieces: readonly Piece[];

  constructor(memory: PamMemory) {
    const { topology, pci } = memory;
    this.#topology = topology;
    pci.addSubregion(EXPANSION_START, topology.io('pc.rom', EXPANSION_ROMS_SIZE, rom(0)), 1);
    pci.addSubregion(BIOS_SOCKET_START, topology.io('isa-bios', BIOS_SOCKET_SIZE, rom(0xff)), 1);
    this.#pieces = Array.from({ length: PIECES }, (_, index) => new Piece(memory, index));
  }

  /** i440fx_update_memory_mappings: the registers, in `config`, have other values. */
  update(config: Uint8Array): void {
    this.#topology.transaction(() => {
      for (const piece of this.#pieces) piece.set(config[piece.register]!);
    });
  }
}
