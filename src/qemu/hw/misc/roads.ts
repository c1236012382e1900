/**
 * roads: a device of gvm's own, to compare the ways on which a write of four bytes can leave a guest. Each register lies on
 * another one. BAR0 is memory, a road a page; BAR1 is ports, a road four of them:
 *
 * | page | port | road | where a write ends |
 * |---|---|---|---|
 * | 1 | 00 | userspace | this device's callback |
 * | 2 | 04 | coalesced | the same, when the ring that KVM keeps is emptied |
 * | 3 | 08 | eventfd | a signal, whatever is written |
 * | 4 | 0c | datamatch | a signal, if 0x5a is written |
 * | 5 |    | fast | a signal, before the instruction has been decoded (an eventfd for writes of any length) |
 * | 6 | 10 | ioregion | a file, by KVM's hand; experimental, not in Linux |
 * | 7 |    | mapped | memory of the device's own |
 *
 * Page 0 tells how far writes have come: dword 2n of road n counts those that the callback saw, dword 2n + 1 the signals since
 * it was last read (pages count as roads 1 to 7, ports as 8 on).
 */

import { hva, PAGE_SIZE } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import { PCI_BASE_ADDRESS_SPACE_IO, PCI_CLASS_OTHERS } from '../../../linux/uapi/pci.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_CLOEXEC,
  O_CREAT,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from '../../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../../error.ts';
import { type MemoryRegion, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { System } from '../../system.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';

const PORTS_SIZE = 32;
const PORT_BYTES = 4;
const MEMORY_PAGES = 8;
const FIRST_PORT_ROAD = MEMORY_PAGES;
const MATCH = 0x5an;

const memoryRoads = ['userspace', 'coalesced', 'eventfd', 'datamatch', 'fast', 'ioregion', 'mapped'] as const;
const portRoads = ['userspace', 'coalesced', 'eventfd', 'datamatch', 'ioregion'] as const;
type Road = (typeof memoryRoads)[number];

/** What has come to the end of one road. */
interface End {
  calls: number;
  /** -1 for a road without an eventfd. */
  readonly eventfd: number;
}

class Roads extends PciDevice {
  readonly #system: System;
  readonly #topology: MemoryTopology;
  /** By number, from 1. */
  readonly #ends: (End | undefined)[] = [undefined];
  #file = -1;

  constructor({ machine, bus, devfn, id }: PciPlace) {
    super(machine.system.stream, bus, devfn, 'roads', id);
    this.#system = machine.system;
    this.#topology = machine.topology;
    this.identify({ vendor: 0x1234, device: 0x60ad, class: PCI_CLASS_OTHERS });
    const memory = this.#topology.container('roads-mmio', MEMORY_PAGES * PAGE_SIZE);
    memory.addSubregion(0, this.#report());
    memoryRoads.forEach((road, i) => {
      memory.addSubregion((i + 1) * PAGE_SIZE, this.#road(`mmio-${road}`, road, PAGE_SIZE));
    });
    const ports = this.#topology.container('roads-pio', PORTS_SIZE);
    portRoads.forEach((road, i) => {
      ports.addSubregion(i * PORT_BYTES, this.#road(`pio-${road}`, road, PORT_BYTES));
    });
    this.registerBar(0, 0, memory);
    this.registerBar(1, PCI_BASE_ADDRESS_SPACE_IO, ports);
  }

  /** The next road: a region, and what makes writes to it take another way than the usual one. */
  #road(name: string, road: Road, size: number): MemoryRegion {
    const signals = road === 'eventfd' || road === 'datamatch' || road === 'fast';
    const end: End = { calls: 0, eventfd: signals ? this.#system.eventNotifier() : -1 };
    this.#ends.push(end);
    if (road === 'mapped') return this.#topology.ramDevice(name, size, this.#memory(size));
    let value = 0;
    const write = (_offset: number, _size: number, written: number) => {
      end.calls++;
      value = written;
    };
    const words = sizes(4, 4);
    const region = this.#topology.io(name, size, { read: () => value, write, valid: words, impl: words }, this.guard);
    if (road === 'coalesced') region.addCoalescing(0, PORT_BYTES);
    if (road === 'ioregion')
      region.setIoregion({ fd: this.#sharedFile(), offset: (this.#ends.length - 1) * PAGE_SIZE });
    if (signals) {
      const data = road === 'datamatch' ? MATCH : undefined;
      region.addEventfd({ offset: 0, size: road === 'fast' ? 0 : PORT_BYTES, data, fd: end.eventfd });
    }
    return region;
  }

  #report(): MemoryRegion {
    const words = sizes(4, 4);
    const read = (offset: number) => this.#told(offset >> 2);
    return this.#topology.io('roads-report', PAGE_SIZE, { read, write: () => undefined, valid: words, impl: words });
  }

  #told(dword: number): number {
    const end = this.#ends[dword >> 1];
    if (end === undefined) return 0;
    if ((dword & 1) !== 0) return end.eventfd < 0 ? 0 : this.#system.takeSignals(end.eventfd);
    // What KVM has collected has happened before this read.
    this.#topology.flushCoalesced();
    return end.calls;
  }

  /** Memory that the device brings along. */
  #memory(size: number) {
    const at = this.#system.syscalls.mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0) throw new ConfigurationError(`cannot allocate the device's memory: ${strerror(-at)}`);
    return hva(at);
  }

  /** The file behind both ioregions: a page of zeros for each road. */
  #sharedFile(): number {
    if (this.#file >= 0) return this.#file;
    const path = `/tmp/roads.${this.devfn}`;
    this.#file = this.#system.syscalls.open(path, O_RDWR | O_CREAT | O_CLOEXEC);
    if (this.#file < 0) throw new ConfigurationError(`cannot open ${path}: ${strerror(-this.#file)}`);
    this.#system.output(this.#file, new Uint8Array((FIRST_PORT_ROAD + portRoads.length) * PAGE_SIZE));
    return this.#file;
  }
}

export const roads = pciModel({
  name: 'roads',
  category: 'Misc',
  description: 'A register on every road that a write can take: trapped, coalesced, signalled, mapped',
  properties: {},
  make: (place) => new Roads(place),
});
