/**
 * RAM for host after host. A process that runs many programs makes it once: 256 MiB made and dropped for each costs more than a
 * small program does, most of it in the collections that V8 starts for memory outside its heap.
 */

import { PhysicalMemory } from '../hardware/physical-memory.ts';
import type { PageAllocator } from '../linux/core/page-allocator.ts';

export class RamBank {
  #spare: WebAssembly.Memory | undefined;

  /** RAM of `size` bytes, all zeros. */
  take(size: number): PhysicalMemory {
    const memory = new PhysicalMemory(size, this.#spare);
    this.#spare = undefined;
    return memory;
  }

  /** Give back the RAM that `pages` manages; its host must not run any more. */
  giveBack(memory: PhysicalMemory, pages: Pick<PageAllocator, 'scrub'>): void {
    pages.scrub();
    this.#spare = memory.wasm;
  }
}
