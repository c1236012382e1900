/**
 * What one host leaves to the next of the process: its RAM, and the code that its processors have decoded. 256 MiB made and
 * dropped for each host cost more than a small program does, most of it in the collections that V8 starts for memory outside its
 * heap; and most code of a small program is the guest library's, the same each time.
 */

import { GiB } from '../address.ts';
import { PhysicalMemory } from '../hardware/physical-memory.ts';
import { CodeMemory } from '../hardware/vcpu/code-memory.ts';
import type { PageAllocator } from '../linux/core/page-allocator.ts';

const LARGE = GiB(1);

export class Leftovers {
  #code = new CodeMemory();
  #spare: WebAssembly.Memory | undefined;

  /** Code that the processors so far have decoded. */
  get code(): CodeMemory {
    return this.#code;
  }

  /** RAM of `size` bytes, all zeros. */
  take(size: number): PhysicalMemory {
    const memory = new PhysicalMemory(size, this.#spare);
    this.#spare = undefined;
    return memory;
  }

  /** Give back the RAM that `pages` manages; its host must not run any more. Of a large one, to make zeros takes longer. */
  giveBack(memory: PhysicalMemory, pages: Pick<PageAllocator, 'scrub'>): void {
    if (memory.size > LARGE) return;
    pages.scrub();
    this.#spare = memory.wasm;
  }

  /** Leave nothing: the host was broken off half-way, maybe in the middle of a change to what it would leave. */
  abandon(): void {
    this.#code = new CodeMemory();
    this.#spare = undefined;
  }
}
