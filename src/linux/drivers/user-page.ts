/** A page of the host's memory as a user's file sees it, and whose it is. */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import { GFP_KERNEL } from '../core/gfp.ts';
import type { Kernel } from '../core/kernel.ts';
import type * as api from './driver-api.ts';

export class UserPage implements api.Page {
  readonly pfn: number;
  readonly bytes: Uint8Array;

  constructor(kernel: Kernel, frame: number) {
    this.pfn = frame / PAGE_SIZE;
    this.bytes = kernel.memory.page(frame as Hpa);
    kernel.memory.code.share(frame);
  }

  get frame(): Hpa {
    return (this.pfn * PAGE_SIZE) as Hpa;
  }
}

/** alloc_page and free_page of one module. Pinned pages are the guest's, and cannot be freed. */
export class ModulePages {
  readonly #kernel: Kernel;
  readonly #live = new Set<number>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  allocate(gfp: number = GFP_KERNEL): UserPage | undefined {
    const frame = this.#kernel.pages.allocate(0, gfp);
    if (frame === undefined) return undefined;
    const page = new UserPage(this.#kernel, frame);
    this.#live.add(page.pfn);
    return page;
  }

  free(page: api.Page): void {
    if (!(page instanceof UserPage) || !this.#live.delete(page.pfn))
      throw new TypeError('free_page: this is not from alloc_page, or was freed before');
    this.#kernel.pages.free(page.frame);
  }

  /** The module is gone: what it has not freed is told, and nobody can free it any more. */
  close(): void {
    const count = this.#live.size;
    if (count > 0) this.#kernel.printk(`alloc_page: ${count} page(s) of the module are lost`);
    this.#live.clear();
  }
}
