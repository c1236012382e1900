/** IOMMU_GET_INFO: page sizes, and the capability chain MIGRATION, DMA_AVAIL, IOVA_RANGE (vfio_iommu_type1_get_info, 6.1). */

import { hva } from '../../address.ts';
import { copyToUser } from '../core/uaccess.ts';
import { EFAULT } from '../uapi/errno.ts';
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../uapi/vfio.ts';
import { getSized, offsetOfEnd, putSized } from './argsz.ts';
import { type Capability, capabilityChain } from './capability-chain.ts';
import { LARGEST_DIRTY_BITMAP } from './dirty-pages.ts';
import type { DmaSpace } from './dma-space.ts';
import { DMA_ENTRY_LIMIT } from './type1-map.ts';

/** VFIO_IOMMU_GET_INFO of the structure at user address `argument`: 0 or -errno. */
export function getIommuInfo(space: DmaSpace, argument: number): number {
  const { kernel } = space;
  const info = getSized(kernel, vfio_iommu_type1_info, 'iova_pgsizes', argument);
  if (typeof info === 'number') return info;
  const room = info.argsz;
  const chainAt = vfio_iommu_type1_info.size;
  const chain = capabilityChain(kernel, capabilities(space), chainAt);
  if (typeof chain === 'number') return chain;
  const fits = room >= chainAt + chain.length;
  if (fits && copyToUser(kernel, hva(argument + chainAt), chain) < 0) {
    return kernel.refuse(EFAULT, `argsz is ${room}, but the memory at 0x${argument.toString(16)} is not that long`);
  }
  // An old program knows the structure without cap_offset. One with too little room is told how much to bring.
  const last = room >= offsetOfEnd(vfio_iommu_type1_info, 'cap_offset') ? 'cap_offset' : 'iova_pgsizes';
  return putSized(kernel, vfio_iommu_type1_info, last, argument, {
    ...info,
    argsz: fits ? room : chainAt + chain.length,
    flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: space.pageSizes,
    cap_offset: fits ? chainAt : 0,
  });
}

function capabilities(space: DmaSpace): readonly Capability[] {
  const migration = vfio_iommu_type1_info_cap_migration.encode({
    flags: 0,
    pgsize_bitmap: space.smallestPage,
    max_dirty_bitmap_size: LARGEST_DIRTY_BITMAP,
  });
  const avail = vfio_iommu_type1_info_dma_avail.encode({ avail: DMA_ENTRY_LIMIT - space.mappings.size });
  const list = [
    { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1, body: migration },
    { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, body: avail },
  ];
  // Without a domain there is no aperture to tell.
  if (space.ranges.length > 0) {
    const head = vfio_iommu_type1_info_cap_iova_range.encode({ nr_iovas: space.ranges.length });
    const ranges = space.ranges.flatMap((range) => [...vfio_iova_range.encode(range)]);
    const whole = Uint8Array.from([...head, ...ranges]);
    list.push({ id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, body: whole });
  }
  return list;
}
