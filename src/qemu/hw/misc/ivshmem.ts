/**
 * ivshmem-plain: memory that is somebody else's too, as a PCI function: BAR2 is the memory backend that it names
 * (docs/specs/ivshmem-spec.txt, hw/misc/ivshmem.c). BAR0 has the registers of the kind with interrupts, of which this one
 * keeps two: its position among those who share is 0, and its doorbell rings nowhere.
 */

import {
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_CLASS_MEMORY_RAM,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
} from '../../../linux/uapi/pci.ts';
import type { MemoryBackend } from '../../backends/memory-backend.ts';
import { ConfigurationError } from '../../error.ts';
import { sizes } from '../../memory/region.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';
import { linkProperty } from '../property.ts';

const REGISTERS_SIZE = 0x100;
const INTERRUPT_MASK = 0;
const INTERRUPT_STATUS = 4;

class Ivshmem extends PciDevice {
  #mask = 0;
  #status = 0;

  constructor({ machine, bus, devfn, id }: PciPlace, backend: MemoryBackend) {
    super(machine.system.stream, bus, devfn, 'ivshmem-plain', id);
    this.identify({ vendor: 0x1af4, device: 0x1110, revision: 1, class: PCI_CLASS_MEMORY_RAM });
    this.view.setUint16(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, true);
    const { topology } = machine;
    const registers = {
      read: (offset: number) => this.#read(offset),
      write: (offset: number, _size: number, value: number) => this.#write(offset, value),
      valid: sizes(0, 0),
      impl: sizes(4, 4),
    };
    this.registerBar(0, 0, topology.io('ivshmem-mmio', REGISTERS_SIZE, registers, this.guard));
    const type = PCI_BASE_ADDRESS_MEM_PREFETCH | PCI_BASE_ADDRESS_MEM_TYPE_64;
    this.registerBar(2, type, topology.ram(backend.id, backend.size, backend.at));
  }

  override reset(): void {
    super.reset();
    this.#mask = 0;
    this.#status = 0;
  }

  #read(offset: number): number {
    if (offset === INTERRUPT_MASK) return this.#mask;
    if (offset === INTERRUPT_STATUS) {
      const status = this.#status;
      this.#status = 0;
      return status;
    }
    return 0;
  }

  #write(offset: number, value: number): void {
    if (offset === INTERRUPT_MASK) this.#mask = value;
    else if (offset === INTERRUPT_STATUS) this.#status = value;
  }
}

export const ivshmemPlain = pciModel({
  name: 'ivshmem-plain',
  category: 'Misc',
  description: 'Inter-VM shared memory',
  properties: { memdev: linkProperty('memory-backend', 'What BAR2 shows') },
  make(place, { memdev }) {
    if (memdev === undefined) throw new ConfigurationError("You must specify a 'memdev'");
    return new Ivshmem(place, place.machine.claimMemory('ivshmem-plain', memdev));
  },
});
