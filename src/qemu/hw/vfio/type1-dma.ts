/** Mappings of a container's type1 IOMMU (hw/vfio/common.c: vfio_dma_map, vfio_dma_unmap). */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../../linux/uapi/vfio.ts';
import type { System } from '../../system.ts';
import type { DmaTarget } from './dma-listener.ts';

/** `container` is its descriptor. */
export const type1Target = (system: System, container: number): DmaTarget => ({
  mapCall: `vfio_dma_map(0x${container.toString(16)}`,
  unmapCall: `vfio_dma_unmap(0x${container.toString(16)}`,
  map(iova, size, vaddr, readonly) {
    const result = system.ioctlStruct(container, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, {
      argsz: vfio_iommu_type1_dma_map.size,
      flags: VFIO_DMA_MAP_FLAG_READ | (readonly ? 0 : VFIO_DMA_MAP_FLAG_WRITE),
      vaddr: BigInt(vaddr),
      iova: BigInt(iova),
      size: BigInt(size),
    });
    if (result < 0) system.error(`VFIO_MAP_DMA failed: ${strerror(-result)}`);
    return result;
  },
  unmap(iova, size) {
    const result = system.ioctlStruct(container, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, {
      argsz: vfio_iommu_type1_dma_unmap.size,
      iova: BigInt(iova),
      size: BigInt(size),
    });
    if (result < 0) system.error(`VFIO_UNMAP_DMA failed: ${strerror(-result)}`);
    return result;
  },
});
