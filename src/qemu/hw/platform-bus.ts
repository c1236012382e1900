/**
 * The platform bus: a window of memory and a few interrupt lines, out of which devices that sit on no other bus get theirs
 * (hw/core/platform-bus.c). Fidelity: QEMU has one on ARM's `virt` and on e500 machines, where the guest learns of it from the device
 * tree. Here `pc` has one as well, and the guest has to know: the first region of the first device is at the window's start, each
 * further one at the next multiple of its size; the lines are those ISA lines that nothing else on this board uses.
 */

import { MiB } from '../../address.ts';
import { ConfigurationError } from '../error.ts';
import type { MemoryRegion } from '../memory/region.ts';
import type { Machine } from './machine.ts';

export const PLATFORM_BUS_BASE = 0xf000_0000;
const SIZE = MiB(32);
const LINES = [5, 7, 9] as const;

const buses = new WeakMap<Machine, PlatformBus>();

export class PlatformBus {
  readonly #window: MemoryRegion;
  #next = 0;
  #lines = 0;

  private constructor(machine: Machine) {
    this.#window = machine.topology.container('platform bus', SIZE);
    machine.memory.root.addSubregion(PLATFORM_BUS_BASE, this.#window);
  }

  /** The platform bus of `machine`, which appears with its first device. */
  static of(machine: Machine): PlatformBus {
    const known = buses.get(machine) ?? new PlatformBus(machine);
    buses.set(machine, known);
    return known;
  }

  /** platform_bus_map_mmio: the next place where the region fits, aligned to its size. */
  map(region: MemoryRegion): void {
    const at = Math.ceil(this.#next / region.size) * region.size;
    if (at + region.size > SIZE)
      throw new ConfigurationError(`Platform Bus: Can not fit MMIO region of size ${region.size}`);
    this.#next = at + region.size;
    this.#window.addSubregion(at, region);
  }

  /** platform_bus_map_irq: the next free line. */
  line(): number {
    const line = LINES[this.#lines++];
    if (line === undefined) throw new ConfigurationError('Platform Bus: Can not fit IRQ line');
    return line;
  }
}
