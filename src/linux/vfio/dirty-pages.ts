/**
 * The log of dirty pages: VFIO_IOMMU_DIRTY_PAGES, and the bitmap that UNMAP_DMA may ask for (vfio_iommu_type1_dirty_pages,
 * vfio_iova_dirty_bitmap, update_user_bitmap). No IOMMU here tells what a device wrote: where one translates, every page counts
 * as dirty unless each group pins what it uses; pages that drivers pin, or write with vfio_dma_rw, are known one by one.
 */

import { hva } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, copyToUser, getStruct } from '../core/uaccess.ts';
import { EACCES, EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { StructOf } from '../uapi/struct.ts';
import {
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
} from '../uapi/vfio.ts';
import { getSized, offsetOfEnd } from './argsz.ts';
import type { DmaMapping } from './dma-mapping.ts';
import type { DmaSpace } from './dma-space.ts';

export type DirtyBitmap = StructOf<typeof vfio_bitmap>;

/** Bits that the bitmap is written by. */
const WORD = 64;
/** DIRTY_BITMAP_SIZE_MAX. */
export const LARGEST_DIRTY_BITMAP = 256n * 1024n * 1024n;

/** VFIO_IOMMU_DIRTY_PAGES: 0 or -errno. */
export function dirtyPages(space: DmaSpace, argument: number): number {
  const { kernel } = space;
  if (!space.v2) return kernel.refuse(EACCES, 'dirty pages are logged in a container of type1 v2 only');
  const header = getSized(kernel, vfio_iommu_type1_dirty_bitmap, 'flags', argument);
  if (typeof header === 'number') return header;
  switch (header.flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      return startLogging(space);
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      stopLogging(space);
      return 0;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
      return getBitmap(space, header.argsz, argument);
    default:
      return kernel.refuse(EINVAL, 'DIRTY_PAGES takes exactly one of START, STOP and GET_BITMAP');
  }
}

/** The bitmap that follows UNMAP_DMA's structure, its size checked; or -errno. */
export function bitmapOfUnmap(
  kernel: Kernel,
  unmap: StructOf<typeof vfio_iommu_type1_dma_unmap>,
  argument: number,
): DirtyBitmap | number {
  const at = offsetOfEnd(vfio_iommu_type1_dma_unmap, 'size');
  if (unmap.argsz < at + vfio_bitmap.size) {
    return kernel.refuse(
      EINVAL,
      `argsz ${unmap.argsz} leaves no room for the vfio_bitmap of ${vfio_bitmap.size} bytes`,
    );
  }
  const bitmap = getStruct(kernel, vfio_bitmap, argument + at);
  if (typeof bitmap === 'number') return bitmap;
  const error = checkBitmap(kernel, bitmap, unmap.size);
  return error < 0 ? error : bitmap;
}

/**
 * update_user_bitmap: the bits of a mapping into a bitmap that begins at I/O address `from`, in words of 64; 0 or -EFAULT. Where the
 * mapping begins in the middle of a word, what the word held stays set; where it ends in one, what is behind reads 0.
 */
export function putDirtyBits(space: DmaSpace, mapping: DmaMapping, from: bigint, bitmap: DirtyBitmap): number {
  const { kernel } = space;
  const first = Number((mapping.iova - from) / bitmap.pgsize);
  const word = Math.floor(first / WORD);
  const shift = first % WORD;
  const bytes = new Uint8Array((Math.ceil((shift + mapping.pages) / WORD) * WORD) / 8);
  const at = hva(Number(bitmap.data) + (word * WORD) / 8);
  if (shift > 0 && copyFromUser(kernel, bytes.subarray(0, WORD / 8), at) < 0) return badBitmap(kernel, bitmap);
  const everything = mapping.iommuMapped && space.unknownWriters;
  for (let page = 0; page < mapping.pages; page++) {
    const bit = shift + page;
    if (everything || mapping.isDirty(page)) bytes[bit >> 3]! |= 1 << (bit & 7);
  }
  return copyToUser(kernel, at, bytes) < 0 ? badBitmap(kernel, bitmap) : 0;
}

function startLogging(space: DmaSpace): number {
  if (space.logging) return 0;
  for (const mapping of space.mappings.all()) {
    if (!space.kernel.kmalloc('the dirty bits of a mapping')) {
      stopLogging(space);
      return -ENOMEM;
    }
    if (mapping.startDirtyLog()) continue;
    stopLogging(space);
    return space.kernel.refuse(EINVAL, `the mapping of ${mapping.size} bytes is too large for a log of dirty pages`);
  }
  space.logging = true;
  return 0;
}

function stopLogging(space: DmaSpace): void {
  space.logging = false;
  for (const mapping of space.mappings.all()) mapping.dirty = undefined;
}

function getBitmap(space: DmaSpace, argsz: number, argument: number): number {
  const { kernel } = space;
  const shape = vfio_iommu_type1_dirty_bitmap_get;
  const at = offsetOfEnd(vfio_iommu_type1_dirty_bitmap, 'flags');
  if (argsz < at + shape.size) return kernel.refuse(EINVAL, `argsz ${argsz} leaves no room for struct ${shape.name}`);
  const request = getStruct(kernel, shape, argument + at);
  if (typeof request === 'number') return request;
  const { iova, size, bitmap } = request;
  if (iova + size >= 1n << 64n) return kernel.refuse(EINVAL, 'the range wraps past 2^64');
  const error = checkBitmap(kernel, bitmap, size);
  if (error < 0) return error;
  const page = space.smallestPage;
  if (bitmap.pgsize !== page || iova % page !== 0n || size === 0n || size % page !== 0n) {
    return kernel.refuse(EINVAL, `pgsize must be ${page}; iova, and a size that is not 0, multiples of it`);
  }
  if (!space.logging) return kernel.refuse(EINVAL, 'dirty pages are not being logged: START first');
  const hit = space.mappings.overlapping(iova, iova + size);
  if (hit.some((mapping) => mapping.iova < iova || mapping.iova + mapping.size > iova + size)) {
    return kernel.refuse(EINVAL, 'the range must hold every mapping that it touches whole');
  }
  for (const mapping of hit) {
    const failed = putDirtyBits(space, mapping, iova, bitmap);
    if (failed < 0) return failed;
    mapping.clearDirtyLog();
  }
  return 0;
}

/** access_ok and verify_bitmap_size, for a range of `size` bytes. */
function checkBitmap(kernel: Kernel, { pgsize, size, data }: DirtyBitmap, range: bigint): number {
  if (data > BigInt(Number.MAX_SAFE_INTEGER) || !kernel.current.mm.accessOk(Number(data), Number(size))) {
    return kernel.refuse(EINVAL, `the ${size} bytes of bitmap at 0x${data.toString(16)} are not user space`);
  }
  // The lowest bit is the size; no bit at all is no size.
  const pages = pgsize === 0n ? 0n : range / (pgsize & -pgsize);
  const needed = ((pages + 63n) / 64n) * 8n;
  if (pages === 0n || size === 0n || size > LARGEST_DIRTY_BITMAP || size < needed) {
    return kernel.refuse(EINVAL, `a bitmap of ${size} bytes does not suit ${pages} pages: ${needed} bytes do`);
  }
  return 0;
}

const badBitmap = (kernel: Kernel, { data }: DirtyBitmap): number =>
  kernel.refuse(EFAULT, `the bitmap at 0x${data.toString(16)} is not in the process's memory`);
