/** The I/O addresses that a container may map: the IOMMU's aperture less what is reserved (vfio_iommu_type1.c: iova_list). */

import type { IommuDomain, ReservedRegion } from '../core/iommu.ts';

/** Both ends belong to it. */
export interface IovaRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** vfio_iommu_aper_resize and vfio_iommu_resv_exclude: what one domain leaves, in order. */
export function usableRanges(domain: IommuDomain, reserved: readonly ReservedRegion[]): readonly IovaRange[] {
  let ranges: IovaRange[] = [{ start: 0n, end: domain.apertureEnd }];
  for (const hole of reserved) {
    ranges = ranges.flatMap((range) => {
      if (hole.end < range.start || hole.start > range.end) return [range];
      return [
        { start: range.start, end: hole.start - 1n },
        { start: hole.end + 1n, end: range.end },
      ].filter(({ start, end }) => start <= end);
    });
  }
  return ranges;
}

/** vfio_iommu_iova_dma_valid: whether one of the ranges holds `size` bytes at `iova`. Without ranges everything is valid. */
export const isUsable = (ranges: readonly IovaRange[], iova: bigint, size: bigint): boolean =>
  ranges.length === 0 || ranges.some(({ start, end }) => iova >= start && iova + size - 1n <= end);
