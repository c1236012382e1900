/** MAP_DMA and UNMAP_DMA, with their checks in Linux's order (vfio_dma_do_map, vfio_dma_do_unmap of vfio_iommu_type1.c, 6.1). */

import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC } from '../uapi/errno.ts';
import type { StructOf } from '../uapi/struct.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../uapi/vfio.ts';
import { getSized, putSized } from './argsz.ts';
import { bitmapOfUnmap, type DirtyBitmap, putDirtyBits } from './dirty-pages.ts';
import { DmaMapping } from './dma-mapping.ts';
import type { DmaSpace } from './dma-space.ts';
import { isUsable } from './iova-ranges.ts';

/** Module parameter dma_entry_limit of vfio_iommu_type1. */
export const DMA_ENTRY_LIMIT = 65535;
const END = 1n << 64n;
const MAP_FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;
const UNMAP_FLAGS = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;

type MapRequest = StructOf<typeof vfio_iommu_type1_dma_map>;
type UnmapRequest = StructOf<typeof vfio_iommu_type1_dma_unmap>;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const range = (start: bigint, size: bigint): string => `[${hex(start)}, ${hex(start + size)})`;

/** VFIO_IOMMU_MAP_DMA of the structure at user address `argument`: 0 or -errno. */
export function mapDma(space: DmaSpace, argument: number): number {
  const { kernel } = space;
  const map = getSized(kernel, vfio_iommu_type1_dma_map, 'size', argument);
  if (typeof map === 'number') return map;
  const { flags, vaddr, iova, size } = map;
  if (flags & ~MAP_FLAGS) return kernel.refuse(EINVAL, `MAP_DMA has no flag ${hex((flags & ~MAP_FLAGS) >>> 0)}`);
  const readable = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
  const writable = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
  const renew = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  if (renew === (readable || writable)) {
    return kernel.refuse(EINVAL, 'a mapping is READ, WRITE or both; VADDR goes alone');
  }
  const page = space.smallestPage;
  if (size === 0n || (size | iova | vaddr) % page !== 0n) {
    return kernel.refuse(EINVAL, `iova, vaddr and a size that is not 0 must be multiples of ${page}`);
  }
  if (iova + size > END || vaddr + size > END) {
    return kernel.refuse(EINVAL, `${range(iova + size > END ? iova : vaddr, size)} wraps past 2^64`);
  }
  if (renew) return renewAddress(space, map);
  const existing = space.mappings.find(iova, iova + size);
  if (existing !== undefined) {
    return kernel.refuse(EEXIST, `${range(iova, size)} overlaps the mapping ${range(existing.iova, existing.size)}`);
  }
  if (space.mappings.size >= DMA_ENTRY_LIMIT) {
    return kernel.refuse(ENOSPC, `the container holds ${DMA_ENTRY_LIMIT} mappings, all that dma_entry_limit allows`);
  }
  if (!isUsable(space.ranges, iova, size)) {
    const ranges = space.ranges.map(({ start, end }) => `${hex(start)}-${hex(end)}`).join(', ');
    return kernel.refuse(EINVAL, `${range(iova, size)} is outside of what the IOMMU can map: ${ranges}`);
  }
  if (!kernel.kmalloc('struct vfio_dma')) return -ENOMEM;
  return space.add(new DmaMapping({ iova, vaddr, size, readable, writable }, kernel.current));
}

/** MAP_DMA with VADDR: the memory of a mapping is at another address now, as after an exec of the VMM. */
function renewAddress(space: DmaSpace, { iova, vaddr, size }: MapRequest): number {
  const { kernel } = space;
  const mapping = space.mappings.find(iova, iova + size);
  if (mapping === undefined) {
    return kernel.refuse(ENOENT, `nothing is mapped in ${range(iova, size)} that VADDR could renew`);
  }
  if (!mapping.vaddrInvalid || mapping.iova !== iova || mapping.size !== size) {
    const which = range(mapping.iova, mapping.size);
    return kernel.refuse(EINVAL, `the address of ${which} was not invalidated before, or is not all of it`);
  }
  mapping.vaddr = vaddr;
  mapping.vaddrInvalid = false;
  return 0;
}

/** VFIO_IOMMU_UNMAP_DMA of the structure at user address `argument`; `mediated`: a group without an IOMMU is attached. */
export function unmapDma(space: DmaSpace, argument: number, mediated: boolean): number {
  const { kernel } = space;
  const unmap = getSized(kernel, vfio_iommu_type1_dma_unmap, 'size', argument);
  if (typeof unmap === 'number') return unmap;
  const { flags } = unmap;
  if (flags & ~UNMAP_FLAGS) return kernel.refuse(EINVAL, `UNMAP_DMA has no flag ${hex((flags & ~UNMAP_FLAGS) >>> 0)}`);
  let bitmap: DirtyBitmap | undefined;
  if (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
    if (flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR)) {
      return kernel.refuse(EINVAL, 'GET_DIRTY_BITMAP goes with neither ALL nor VADDR');
    }
    const taken = bitmapOfUnmap(kernel, unmap, argument);
    if (typeof taken === 'number') return taken;
    bitmap = taken;
  }
  if (flags & VFIO_DMA_UNMAP_FLAG_VADDR && mediated) {
    return kernel.refuse(EBUSY, 'VADDR cannot be invalidated while a group of the container is an mdev');
  }
  const unmapped = removeRange(space, unmap, bitmap);
  if (typeof unmapped === 'number') return unmapped;
  return putSized(kernel, vfio_iommu_type1_dma_unmap, 'size', argument, { ...unmap, size: unmapped });
}

/** vfio_dma_do_unmap: bytes unmapped, or -errno. */
function removeRange(space: DmaSpace, request: UnmapRequest, bitmap: DirtyBitmap | undefined): bigint | number {
  const { kernel } = space;
  const { flags, iova, size } = request;
  const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const page = space.smallestPage;
  if (iova % page !== 0n) return kernel.refuse(EINVAL, `iova ${hex(iova)} is not page-aligned`);
  if (all && (iova !== 0n || size !== 0n)) return kernel.refuse(EINVAL, 'UNMAP_DMA of ALL takes iova 0 and size 0');
  if (!all && (size === 0n || size % page !== 0n)) {
    return kernel.refuse(EINVAL, `size ${hex(size)} is not a positive multiple of ${page}`);
  }
  if (iova + size > END) return kernel.refuse(EINVAL, `${range(iova, size)} wraps past 2^64`);
  if (bitmap !== undefined && (!space.logging || bitmap.pgsize !== page)) {
    return space.logging
      ? kernel.refuse(EINVAL, `the log has a bit for each page of ${page} bytes`)
      : kernel.refuse(EINVAL, 'dirty pages are not being logged');
  }
  const end = all ? END : iova + size;
  const hit = space.mappings.overlapping(iova, end);
  const cut = all ? undefined : hit.find((mapping) => mapping.iova < iova || mapping.iova + mapping.size > end);
  if (space.v2 && cut !== undefined) {
    return kernel.refuse(EINVAL, `${range(iova, size)} would cut the mapping ${range(cut.iova, cut.size)} in two`);
  }
  // Type1 v1 unmaps whole mappings from the one that begins in the range on, and none if the first begins before it.
  const doomed = hit[0] !== undefined && hit[0].iova < iova ? [] : hit;
  if (flags & VFIO_DMA_UNMAP_FLAG_VADDR) return invalidateAddresses(space, doomed);
  let unmapped = 0n;
  for (const mapping of doomed) {
    space.askToUnpin(mapping);
    const error = bitmap === undefined ? 0 : putDirtyBits(space, mapping, iova, bitmap);
    if (error < 0) return error;
    unmapped += mapping.size;
    space.remove(mapping);
  }
  return unmapped;
}

/** UNMAP_DMA with VADDR: the mappings stay, their addresses do not. All or none. */
function invalidateAddresses(space: DmaSpace, mappings: readonly DmaMapping[]): bigint | number {
  const twice = mappings.find(({ vaddrInvalid }) => vaddrInvalid);
  if (twice !== undefined) {
    return space.kernel.refuse(EINVAL, `the address of ${range(twice.iova, twice.size)} is invalid already`);
  }
  for (const mapping of mappings) mapping.vaddrInvalid = true;
  return mappings.reduce((sum, { size }) => sum + size, 0n);
}
