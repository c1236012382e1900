/**
 * kmalloc and kfree of one module (mm/slub.c with slub_debug=P: memory that was freed, or was not written yet, is full of 0x6b).
 * What a module leaves when it goes nobody can free any more: kmemleak tells it (mm/kmemleak.c).
 */

import { PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { ENOMEM } from '../uapi/errno.ts';

/** POISON_FREE and POISON_END. */
const POISON = 0x6b;
const POISON_END = 0xa5;
/** Bytes at once. */
export const KMALLOC_MAX_SIZE = 2 ** 22;

export class ModuleMemory {
  readonly #kernel: Kernel;
  readonly #live = new Set<Uint8Array>();
  #bytes = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** `size` bytes, up to {@link KMALLOC_MAX_SIZE}, that nobody has written yet; undefined if there is no memory. */
  kmalloc(size: number, gfp: number): Uint8Array | undefined {
    if (!this.#kernel.kmalloc(`${size} bytes`, gfp)) return undefined;
    // Fidelity: the bytes stand outside of the host's RAM, but there are no more of them than RAM is left.
    if (this.#bytes + size > this.#kernel.pages.available * PAGE_SIZE) {
      this.#kernel.refuse(ENOMEM, `no memory for ${size} bytes: the module has ${this.#bytes} already`);
      return undefined;
    }
    const memory = new Uint8Array(size);
    poison(memory);
    this.#live.add(memory);
    this.#bytes += size;
    return memory;
  }

  kzalloc(size: number, gfp: number): Uint8Array | undefined {
    return this.kmalloc(size, gfp)?.fill(0);
  }

  kfree(memory: Uint8Array | undefined): void {
    if (memory === undefined) return;
    if (!this.#live.delete(memory)) throw new TypeError('kfree: this is not from kmalloc, or was freed before');
    this.#bytes -= memory.length;
    poison(memory);
  }

  /** The module is gone: what it has not freed is told, and forgotten. */
  close(): void {
    const count = this.#live.size;
    if (count > 0) this.#kernel.printk(`kmemleak: ${count} new suspected memory leaks (${this.#bytes} bytes)`);
    this.#live.clear();
    this.#bytes = 0;
  }
}

function poison(memory: Uint8Array): void {
  memory.fill(POISON);
  if (memory.length > 0) memory[memory.length - 1] = POISON_END;
}
