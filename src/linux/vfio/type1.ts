/**
 * The type1 IOMMU backend of a container: drivers/vfio/vfio_iommu_type1.c of Linux 6.1. MAP_DMA records which process
 * memory an I/O address stands for. Groups here have an emulated IOMMU (mdev): no hardware translates for them, so
 * nothing is pinned at MAP_DMA, and a bad vaddr is found only when a driver reads through it (dma.ts).
 */

import { hva } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyToUser } from '../core/uaccess.ts';
import { EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, ENOTTY } from '../uapi/errno.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
  vfio_info_cap_header,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
} from '../uapi/vfio.ts';
import { getSized, offsetOfEnd, putSized } from './argsz.ts';
import { DmaList, type DmaMapping } from './dma-list.ts';
import { vfioDmaMap, vfioDmaUnmap } from './events.ts';

/** Page sizes a container without hardware domains takes: any power of two from 4096 up (PAGE_MASK). */
const PAGE_SIZES = 0xffff_ffff_ffff_f000n;
const SMALLEST_PAGE = 4096n;
const END = 1n << 64n;
/** Module parameter dma_entry_limit of vfio_iommu_type1. */
export const DMA_ENTRY_LIMIT = 65535;
const MAX_DIRTY_BITMAP = 256n * 1024n * 1024n;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const range = (start: bigint, size: bigint): string => `[${hex(start)}, ${hex(start + size)})`;

/** The types that SET_IOMMU may choose; -EINVAL at open for the other extensions. */
const OPENABLE: readonly number[] = [VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_TYPE1v2_IOMMU];

/** CHECK_EXTENSION of the backend; `iommu` is undefined while the asking container has not chosen it. */
export function checkType1Extension(extension: number, iommu: Type1 | undefined): number {
  switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_TYPE1_NESTING_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_UPDATE_VADDR:
      return iommu !== undefined && iommu.groups.size === 0 ? 1 : 0;
    case VFIO_DMA_CC_IOMMU:
      // "All domains enforce coherency" holds when there is none, as in a container of mdevs.
      return iommu === undefined ? 0 : 1;
    default:
      return 0;
  }
}

/** One container's type1 state: `struct vfio_iommu`. */
export class Type1 {
  readonly #kernel: Kernel;
  /** Type1v2: an unmap may not cut a mapping. */
  readonly v2: boolean;
  readonly mappings = new DmaList();
  /** Attached groups, all with emulated IOMMUs. */
  readonly groups = new Set<object>();

  private constructor(kernel: Kernel, v2: boolean) {
    this.#kernel = kernel;
    this.v2 = v2;
  }

  /** vfio_iommu_type1_open: a new backend of IOMMU type `type`, or -EINVAL for an extension that is no IOMMU type. */
  static open(kernel: Kernel, type: number): Type1 | number {
    if (!OPENABLE.includes(type))
      return kernel.refuse(EINVAL, `extension ${type} can be asked for but is no IOMMU type`);
    return new Type1(kernel, type !== VFIO_TYPE1_IOMMU);
  }

  /** vfio_iommu_type1_attach_group: 0, or -EINVAL if the group is here already. */
  attachGroup(group: object): number {
    if (this.groups.has(group)) return this.#kernel.refuse(EINVAL, 'the group is attached to this IOMMU already');
    this.groups.add(group);
    return 0;
  }

  /** vfio_iommu_type1_detach_group. */
  detachGroup(group: object): void {
    this.groups.delete(group);
  }

  /** vfio_iommu_type1_release: every mapping goes. */
  release(): void {
    this.mappings.clear();
    this.groups.clear();
  }

  /** The container's ioctls from MAP_DMA on. -ENOTTY for one that type1 has not. */
  ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_IOMMU_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_IOMMU_MAP_DMA.number:
        return this.#mapDma(argument);
      case VFIO_IOMMU_UNMAP_DMA.number:
        return this.#unmapDma(argument);
      default:
        return this.#kernel.refuse(ENOTTY, `type1 has no ioctl ${hex(request)}`);
    }
  }

  #getInfo(argument: number): number {
    const kernel = this.#kernel;
    const info = getSized(kernel, vfio_iommu_type1_info, 'iova_pgsizes', argument);
    if (typeof info === 'number') return info;
    const room = info.argsz;
    const caps = this.#capabilities();
    const chainAt = vfio_iommu_type1_info.size;
    const fits = room >= chainAt + caps.length;
    if (fits && copyToUser(kernel, hva(argument + chainAt), caps) < 0) {
      return kernel.refuse(EFAULT, `argsz is ${room}, but the memory at ${hex(argument)} is not that long`);
    }
    // An old program knows the structure without cap_offset. One with too little room is told how much to bring.
    const last = room >= offsetOfEnd(vfio_iommu_type1_info, 'cap_offset') ? 'cap_offset' : 'iova_pgsizes';
    return putSized(kernel, vfio_iommu_type1_info, last, argument, {
      ...info,
      argsz: fits ? room : chainAt + caps.length,
      flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
      iova_pgsizes: PAGE_SIZES,
      cap_offset: fits ? chainAt : 0,
    });
  }

  /** The capability chain as it follows the structure: MIGRATION, DMA_AVAIL. No IOVA_RANGE: no domain has an aperture. */
  #capabilities(): Uint8Array {
    const at = vfio_iommu_type1_info.size;
    const migrationSize = vfio_info_cap_header.size + vfio_iommu_type1_info_cap_migration.size;
    const availSize = vfio_info_cap_header.size + vfio_iommu_type1_info_dma_avail.size;
    const chain = new Uint8Array(migrationSize + availSize);
    const view = new DataView(chain.buffer);
    const migration = { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1, next: at + migrationSize };
    vfio_info_cap_header.write(view, migration, 0);
    vfio_iommu_type1_info_cap_migration.write(
      view,
      { flags: 0, pgsize_bitmap: SMALLEST_PAGE, max_dirty_bitmap_size: MAX_DIRTY_BITMAP },
      vfio_info_cap_header.size,
    );
    vfio_info_cap_header.write(view, { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, next: 0 }, migrationSize);
    const avail = DMA_ENTRY_LIMIT - this.mappings.size;
    vfio_iommu_type1_info_dma_avail.write(view, { avail }, migrationSize + vfio_info_cap_header.size);
    return chain;
  }

  /** vfio_iommu_type1_map_dma and vfio_dma_do_map, checks in their order. */
  #mapDma(argument: number): number {
    const kernel = this.#kernel;
    const map = getSized(kernel, vfio_iommu_type1_dma_map, 'size', argument);
    if (typeof map === 'number') return map;
    const { flags, vaddr, iova, size } = map;
    const known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;
    if (flags & ~known) return kernel.refuse(EINVAL, `MAP_DMA has no flag ${hex((flags & ~known) >>> 0)}`);
    const readable = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
    const writable = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
    const renew = (flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if (renew === (readable || writable)) {
      return kernel.refuse(EINVAL, 'a mapping is READ, WRITE or both; VADDR goes alone');
    }
    if (size === 0n || (size | iova | vaddr) % SMALLEST_PAGE !== 0n) {
      return kernel.refuse(EINVAL, `iova, vaddr and a size that is not 0 must be multiples of ${SMALLEST_PAGE}`);
    }
    if (iova + size > END || vaddr + size > END) {
      return kernel.refuse(EINVAL, `${range(iova + size > END ? iova : vaddr, size)} wraps past 2^64`);
    }
    const existing = this.mappings.find(iova, iova + size);
    if (renew) {
      // Only UNMAP_DMA with VADDR makes an address invalid, and that is refused while a group is an mdev's.
      return existing === undefined
        ? kernel.refuse(ENOENT, `nothing is mapped in ${range(iova, size)} that VADDR could renew`)
        : kernel.refuse(EINVAL, `the address of ${range(existing.iova, existing.size)} was not invalidated before`);
    }
    if (existing !== undefined) {
      return kernel.refuse(EEXIST, `${range(iova, size)} overlaps the mapping ${range(existing.iova, existing.size)}`);
    }
    if (this.mappings.size >= DMA_ENTRY_LIMIT) {
      return kernel.refuse(ENOSPC, `the container holds ${DMA_ENTRY_LIMIT} mappings, all that dma_entry_limit allows`);
    }
    const { mm } = kernel.current;
    this.mappings.insert({ iova, vaddr, size, readable, writable, mm });
    if (vfioDmaMap.on) vfioDmaMap(kernel.stream, { iova, vaddr, size, readable, writable });
    return 0;
  }

  #unmapDma(argument: number): number {
    const kernel = this.#kernel;
    const unmap = getSized(kernel, vfio_iommu_type1_dma_unmap, 'size', argument);
    if (typeof unmap === 'number') return unmap;
    const { flags } = unmap;
    const all = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
    const vaddr = (flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0;
    const known = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
    if (flags & ~known) return kernel.refuse(EINVAL, `UNMAP_DMA has no flag ${hex((flags & ~known) >>> 0)}`);
    if (flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
      return all || vaddr
        ? kernel.refuse(EINVAL, 'GET_DIRTY_BITMAP goes with neither ALL nor VADDR')
        : kernel.refuse(EINVAL, 'dirty pages are not being tracked');
    }
    if (vaddr && this.groups.size > 0) {
      return kernel.refuse(EBUSY, 'VADDR cannot be invalidated while a group of the container is an mdev');
    }
    const unmapped = this.unmap(unmap.iova, unmap.size, all);
    if (typeof unmapped === 'number') return unmapped;
    return putSized(kernel, vfio_iommu_type1_dma_unmap, 'size', argument, { ...unmap, size: unmapped });
  }

  /** vfio_dma_do_unmap: bytes unmapped, or -errno. */
  unmap(iova: bigint, size: bigint, all: boolean): bigint | number {
    const kernel = this.#kernel;
    if (iova % SMALLEST_PAGE !== 0n) return kernel.refuse(EINVAL, `iova ${hex(iova)} is not page-aligned`);
    if (all && (iova !== 0n || size !== 0n)) return kernel.refuse(EINVAL, 'UNMAP_DMA of ALL takes iova 0 and size 0');
    if (!all && (size === 0n || size % SMALLEST_PAGE !== 0n)) {
      return kernel.refuse(EINVAL, `size ${hex(size)} is not a positive multiple of ${SMALLEST_PAGE}`);
    }
    if (iova + size > END) return kernel.refuse(EINVAL, `${range(iova, size)} wraps past 2^64`);
    const end = all ? END : iova + size;
    const hit = this.mappings.overlapping(iova, end);
    const cut = all ? undefined : hit.find((mapping) => mapping.iova < iova || mapping.iova + mapping.size > end);
    if (this.v2 && cut !== undefined) {
      return kernel.refuse(EINVAL, `${range(iova, size)} would cut the mapping ${range(cut.iova, cut.size)} in two`);
    }
    let unmapped = 0n;
    for (const mapping of hit) {
      // Type1 v1 unmaps whole mappings from the one that begins in the range on, and none if the first begins before it.
      if (mapping.iova < iova) break;
      this.#remove(mapping);
      unmapped += mapping.size;
    }
    return unmapped;
  }

  #remove(mapping: DmaMapping): void {
    this.mappings.remove(mapping);
    const { iova, size } = mapping;
    if (vfioDmaUnmap.on) vfioDmaUnmap(this.#kernel.stream, { iova, size });
  }
}
