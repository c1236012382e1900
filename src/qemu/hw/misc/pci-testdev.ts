/**
 * pci-testdev: six ways for a guest's write to arrive, three by memory (BAR0) and three by ports (BAR1): to QEMU, to an
 * eventfd of any value, to an eventfd of one value (docs/specs/pci-testdev.txt, hw/misc/pci-testdev.c).
 *
 * Both BARs read as the header of the test that is chosen: test@0, width@1, offset@4 (32 bits), data@8, count@12 (32 bits),
 * name@16. Writing n to `test` starts test n of that BAR; `count` tells the writes of `data` at `offset` that have come as
 * far as here: those that KVM turned into a signal have not.
 */

import {
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CLASS_OTHERS,
} from '../../../linux/uapi/pci.ts';
import { type MemoryRegion, type MemoryRegionOps, type RegionEventfd, sizes } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';
import { sizeProperty } from '../property.ts';

const KINDS = ['no-eventfd', 'wildcard-eventfd', 'datamatch-eventfd'] as const;
const MEMORY_SIZE = 2048;
const PORTS_SIZE = 128;
const MATCHING_DATA = 0xfa;
const ANY_DATA = 0xce;
const TEST = 0;
const WIDTH = 1;
const OFFSET = 4;
const DATA = 8;
const COUNT = 12;
const NAME = 16;

/** One test: what the guest reads of it, and how a write is matched. */
interface Test {
  readonly header: DataView;
  readonly region: MemoryRegion;
  readonly offset: number;
  /** Only writes of {@link MATCHING_DATA} count; the wildcard takes any. */
  readonly matches: boolean;
  readonly eventfd: RegionEventfd | undefined;
}

class PciTestdev extends PciDevice {
  readonly #system: System;
  readonly #tests: readonly Test[];
  #current: Test | undefined;

  constructor({ machine, bus, devfn, id }: PciPlace, membar: number) {
    super(machine.system.stream, bus, devfn, 'pci-testdev', id);
    this.#system = machine.system;
    this.identify({ vendor: 0x1b36, device: 0x0005, class: PCI_CLASS_OTHERS });
    const { topology } = machine;
    const memory = topology.io('pci-testdev-mmio', 2 * MEMORY_SIZE, this.#ops(0), this.guard);
    const ports = topology.io('pci-testdev-portio', 2 * PORTS_SIZE, this.#ops(KINDS.length), this.guard);
    this.registerBar(0, 0, memory);
    this.registerBar(1, PCI_BASE_ADDRESS_SPACE_IO, ports);
    if (membar > 0) {
      const type = PCI_BASE_ADDRESS_MEM_PREFETCH | PCI_BASE_ADDRESS_MEM_TYPE_64;
      this.registerBar(2, type, topology.container('pci-testdev-membar', membar));
    }
    this.#tests = [
      ...KINDS.map((_, n) => this.#test(n, memory)),
      ...KINDS.map((_, n) => this.#test(n + KINDS.length, ports)),
    ];
  }

  override reset(): void {
    super.reset();
    this.#stop();
  }

  #test(index: number, region: MemoryRegion): Test {
    const inMemory = index < KINDS.length;
    const kind = KINDS[index % KINDS.length]!;
    const matches = kind !== 'wildcard-eventfd';
    const offset = (inMemory ? MEMORY_SIZE : PORTS_SIZE) + index;
    const data = matches ? MATCHING_DATA : ANY_DATA;
    const name = new TextEncoder().encode(`${inMemory ? 'mmio' : 'portio'}-${kind}\0`);
    const header = new DataView(new ArrayBuffer(NAME + name.length));
    header.setUint8(TEST, index);
    header.setUint8(WIDTH, 1);
    header.setUint32(OFFSET, offset, true);
    header.setUint8(DATA, data);
    new Uint8Array(header.buffer).set(name, NAME);
    const eventfd =
      kind === 'no-eventfd'
        ? undefined
        : {
            offset,
            // A write of any width: the form for which KVM has its fast bus.
            size: inMemory && !matches ? 0 : 1,
            data: matches ? BigInt(data) : undefined,
            fd: this.#system.eventNotifier(),
          };
    return { header, region, offset, matches, eventfd };
  }

  /** The callbacks of a BAR whose tests begin at `first`. */
  #ops(first: number): MemoryRegionOps {
    return {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(first, offset, size, value),
      valid: sizes(0, 0),
      impl: sizes(1, 1),
    };
  }

  #start(test: Test): void {
    test.header.setUint32(COUNT, 0, true);
    if (test.eventfd !== undefined) {
      this.#system.testAndClear(test.eventfd.fd);
      test.region.addEventfd(test.eventfd);
    }
    this.#current = test;
  }

  #stop(): void {
    if (this.#current?.eventfd !== undefined) this.#current.region.deleteEventfd(this.#current.eventfd);
    this.#current = undefined;
  }

  #write(first: number, offset: number, size: number, value: number): void {
    if (offset === TEST) {
      this.#stop();
      if (value < KINDS.length) this.#start(this.#tests[first + value]!);
      return;
    }
    const test = this.#current;
    if (test === undefined || offset !== test.offset) return;
    if (test.matches && (size !== 1 || value !== test.header.getUint8(DATA))) return;
    test.header.setUint32(COUNT, test.header.getUint32(COUNT, true) + 1, true);
  }

  #read(offset: number, size: number): number {
    const test = this.#current;
    // As in QEMU the last byte, the name's end, is not read from the header.
    if (test === undefined || offset + size >= test.header.byteLength) return 0;
    if (test.eventfd !== undefined) this.#system.testAndClear(test.eventfd.fd);
    return test.header.getUint8(offset);
  }
}

export const pciTestdev = pciModel({
  name: 'pci-testdev',
  category: 'Misc',
  description: 'PCI Test Device',
  properties: { membar: sizeProperty(0, 'Size of BAR2: 64-bit, prefetchable, with nothing in it') },
  make: (place, { membar }) => new PciTestdev(place, membar),
});
