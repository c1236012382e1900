/** A mapping of a user's device as its `mmap` sees it: pages that it inserts, or that come by `vm_ops.fault` when they are touched. */

import { PAGE_SIZE } from '../../address.ts';
import { shown } from '../../foreign-value.ts';
import type { Kernel } from '../core/kernel.ts';
import type { Vma } from '../core/vma.ts';
import { EFAULT } from '../uapi/errno.ts';
import type * as api from './driver-api.ts';
import { UserPage } from './user-page.ts';

export class UserVmArea implements api.VmArea {
  readonly length: number;
  readonly offset: number;
  vm_ops?: api.VmOperations;
  readonly #kernel: Kernel;
  readonly #vma: Vma;

  constructor(kernel: Kernel, vma: Vma) {
    this.length = vma.length;
    this.offset = vma.offset;
    this.#kernel = kernel;
    this.#vma = vma;
    // insert_page takes a reference, and so does a fault: a page that the driver frees stays while it can be seen.
    vma.held = true;
  }

  /** insert_page: false if page `index` has one already. */
  insert(index: number, page: UserPage): boolean {
    if (this.#vma.pages[index] !== undefined) return false;
    this.#kernel.pages.get(page.frame);
    this.#vma.pages[index] = page.frame;
    return true;
  }

  /** What `mmap` left in vm_ops is what a touch asks; `guarded` calls into the user's file. */
  arm(guarded: <R>(call: () => R) => R): void {
    const fault = this.vm_ops?.fault;
    if (fault === undefined) return;
    const first = this.offset / PAGE_SIZE;
    this.#vma.fault = (number) => {
      const page = guarded(() => {
        const answer: unknown = fault.call(this.vm_ops, this, (number - first) * PAGE_SIZE);
        if (answer === undefined || answer instanceof UserPage) return answer;
        throw new TypeError(`it gave ${shown(answer)}, neither a page nor undefined`);
      });
      if (page === undefined) return -EFAULT;
      this.#kernel.pages.get(page.frame);
      return page.frame;
    };
  }
}
