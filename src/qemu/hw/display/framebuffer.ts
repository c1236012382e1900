/**
 * framebuffer: memory that a device wants to know the writes to, as QEMU's displays do: a screen is redrawn where the guest has
 * written (memory_region_set_log, memory_region_snapshot_and_clear_dirty). A device of gvm's own, without a picture: it shows
 * what KVM does to the EPT for a slot whose pages are logged, or that becomes read-only.
 *
 * BAR1 is the memory. BAR0 has registers of 32 bits:
 *
 * | at | what |
 * |---|---|
 * | 00 | 1: note which pages are written |
 * | 04 | 1: the guest may only read the memory |
 * | 08 | a write asks KVM which pages were written since the last time; reads how many |
 * | 10… | numbers of the first 16 of them, all ones where there are no more |
 */

import { type Hva, hva, MiB, PAGE_SIZE } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import { PCI_BASE_ADDRESS_MEM_PREFETCH, PCI_CLASS_OTHERS } from '../../../linux/uapi/pci.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../../error.ts';
import type { AddressSpace } from '../../memory/address-space.ts';
import { type MemoryRegion, sizes } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';
import { boolProperty, linkProperty, sizeProperty } from '../property.ts';

const REGISTERS_SIZE = 4096;
const LOG = 0x00;
const READONLY = 0x04;
const SNAPSHOT = 0x08;
const PAGES = 0x10;
const PAGES_TOLD = 16;
const NO_PAGE = 0xffff_ffff;
const SMALLEST = PAGE_SIZE;
const LARGEST = MiB(64);

class Framebuffer extends PciDevice {
  readonly #memory: AddressSpace;
  readonly #vram: MemoryRegion;
  #pages: readonly number[] = [];

  constructor({ machine, bus, devfn, id }: PciPlace, size: number, at: Hva) {
    super(machine.system.stream, bus, devfn, 'framebuffer', id);
    this.#memory = machine.memory;
    this.identify({ vendor: 0x1234, device: 0xfb00, class: PCI_CLASS_OTHERS });
    const words = sizes(4, 4);
    const registers = {
      read: (offset: number) => this.#read(offset),
      write: (offset: number, _size: number, value: number) => this.#write(offset, value),
      valid: words,
      impl: words,
    };
    const { topology } = machine;
    this.registerBar(0, 0, topology.io('framebuffer-registers', REGISTERS_SIZE, registers, this.guard));
    this.#vram = topology.ram('framebuffer-vram', size, at);
    this.registerBar(1, PCI_BASE_ADDRESS_MEM_PREFETCH, this.#vram);
  }

  override reset(): void {
    super.reset();
    this.#vram.setLog(false);
    this.#vram.setReadonly(false);
    this.#pages = [];
  }

  #read(offset: number): number {
    switch (offset) {
      case LOG:
        return Number(this.#vram.logged);
      case READONLY:
        return Number(this.#vram.readonly);
      case SNAPSHOT:
        return this.#pages.length;
    }
    const index = (offset - PAGES) / 4;
    if (index < 0 || index >= PAGES_TOLD) return 0;
    const page = this.#pages[index];
    return page === undefined ? NO_PAGE : page / PAGE_SIZE;
  }

  #write(offset: number, value: number): void {
    if (offset === LOG) this.#vram.setLog((value & 1) !== 0);
    else if (offset === READONLY) this.#vram.setReadonly((value & 1) !== 0);
    else if (offset === SNAPSHOT) this.#pages = this.#memory.takeDirtyPages(this.#vram);
  }
}

function allocate(system: System, size: number, hugepages: boolean) {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | (hugepages ? MAP_HUGETLB : 0);
  const at = system.syscalls.mmap(size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (at < 0) throw new ConfigurationError(`cannot allocate the framebuffer: ${strerror(-at)}`);
  return hva(at);
}

export const framebuffer = pciModel({
  name: 'framebuffer',
  category: 'Display',
  description: 'Memory whose written pages the device can ask for; no picture',
  properties: {
    vram: sizeProperty(MiB(4), 'Bytes of memory, a power of two'),
    hugepages: boolProperty(false, 'The memory is in pages of 2 MiB'),
    memdev: linkProperty('memory-backend', 'What the memory is, instead'),
  },
  make(place, { vram, hugepages, memdev }) {
    if (memdev !== undefined) {
      const { size, at } = place.machine.claimMemory('framebuffer', memdev);
      return new Framebuffer(place, size, at);
    }
    if (vram < SMALLEST || vram > LARGEST || !Number.isInteger(Math.log2(vram))) {
      throw new ConfigurationError("Property 'framebuffer.vram' takes a power of two from 4K to 64M");
    }
    return new Framebuffer(place, vram, allocate(place.machine.system, vram, hugepages));
  },
});
