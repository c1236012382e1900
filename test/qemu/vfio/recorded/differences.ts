/**
 * Where gvm's calls differ on purpose from those that were recorded of QEMU 7.2.22 on Linux 6.1.192. Each row: what was recorded, what
 * stands there instead (nothing, if undefined), and why.
 */

export interface Difference {
  readonly recorded: readonly string[];
  readonly here: readonly string[];
  readonly reason: string;
}

export const startUp: readonly Difference[] = [
  {
    recorded: [
      'VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x3 iova=0x0 size=0xc0000',
      'VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x1 iova=0xc0000 size=0x20000',
      'VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x1 iova=0xe0000 size=0x20000',
      'VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x3 iova=0x100000 size=0x3f00000',
      'VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x1 iova=0xfffc0000 size=0x40000',
    ],
    here: ['VFIO_IOMMU_MAP_DMA argsz=0x20 flags=0x3 iova=0x0 size=0x4000000'],
    reason: 'without firmware no ROM is mapped at 768 KiB and below 4 GiB: RAM is one range',
  },
];

/** With a guest running, every call is that of the recording. */
export const running: readonly Difference[] = [];
