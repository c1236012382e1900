/**
 * Pinning for DMA: pages are held where they are, and count as locked memory of the process that mapped them
 * (vfio_pin_pages_remote, vfio_pin_page_external, vfio_lock_acct in drivers/vfio/vfio_iommu_type1.c).
 */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { EFAULT, ENOMEM } from '../uapi/errno.ts';
import type { DmaMapping } from './dma-mapping.ts';

/** Pages of a mapping whose frames are neighbours. */
export interface PinnedRun {
  readonly frame: Hpa;
  readonly pages: number;
}

/** Whether a pinned page of the mapping is charged: memory is, once, however many hold it; a device's page is not. */
const isCharged = (kernel: Kernel, mapping: DmaMapping, page: number, frame: Hpa): boolean =>
  kernel.memory.contains(frame) && !mapping.isPinned(page);

/** Pin one page of the mapping, charged if `charge`: its frame, -EFAULT, or -ENOMEM beyond RLIMIT_MEMLOCK, which the log is told as `exceeded`. */
export function pinPage(
  kernel: Kernel,
  mapping: DmaMapping,
  page: number,
  charge: boolean,
  exceeded: (limit: number) => string,
): Hpa | number {
  const { mm, process } = mapping;
  const at = mapping.userPage(page);
  const frame = mm.pin(at, mapping.writable);
  if (frame < 0) {
    const right = mapping.writable ? 'written' : 'read';
    return kernel.refuse(EFAULT, `the memory at 0x${at.toString(16)} is not there, or may not be ${right}`);
  }
  if (!charge || !isCharged(kernel, mapping, page, frame as Hpa)) return frame;
  const limit = process.lockLimit;
  if (!mapping.unlimited && mm.lockedPages + 1 > Math.floor(limit / PAGE_SIZE)) {
    mm.unpin(frame as Hpa);
    kernel.printk(exceeded(limit));
    return kernel.refuse(
      ENOMEM,
      `process ${process.name} has ${mm.lockedPages} pages locked and may lock no more than ${limit} bytes`,
    );
  }
  mm.lockedPages++;
  return frame;
}

/** Undo {@link pinPage}. */
export function unpinPage(kernel: Kernel, mapping: DmaMapping, page: number, frame: Hpa, charged: boolean): void {
  if (charged && isCharged(kernel, mapping, page, frame)) mapping.mm.lockedPages--;
  mapping.mm.unpin(frame);
}

/** vfio_pin_pages_remote: pin from `page` on as far as the frames are neighbours; -EFAULT or -ENOMEM, with nothing pinned. */
export function pinRun(kernel: Kernel, mapping: DmaMapping, page: number): PinnedRun | number {
  const exceeded = (limit: number) => `vfio_pin_pages_remote: RLIMIT_MEMLOCK (${limit - (limit % PAGE_SIZE)}) exceeded`;
  const first = pinPage(kernel, mapping, page, true, exceeded);
  if (first < 0) return first;
  const frame = first as Hpa;
  const isMemory = kernel.memory.contains(frame);
  let pages = 1;
  while (page + pages < mapping.pages) {
    const next = pinPage(kernel, mapping, page + pages, true, exceeded);
    if (next < 0) {
      for (let i = 0; i < pages; i++) unpinPage(kernel, mapping, page + i, plusPages(frame, i), true);
      return next;
    }
    if (next !== frame + pages * PAGE_SIZE || kernel.memory.contains(next as Hpa) !== isMemory) {
      unpinPage(kernel, mapping, page + pages, next as Hpa, true);
      break;
    }
    pages++;
  }
  return { frame, pages };
}

const plusPages = (frame: Hpa, pages: number): Hpa => (frame + pages * PAGE_SIZE) as Hpa;
