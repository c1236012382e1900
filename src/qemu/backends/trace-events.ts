/** QEMU's trace events of its iommufd backend (backends/trace-events of QEMU 9.0). */

import { event } from '../../event.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;
const range = (e: { readonly iommufd: number; readonly ioas: number; readonly iova: number; readonly size: number }) =>
  `iommufd=${e.iommufd} ioas=${e.ioas} iova=${hex(e.iova)} size=${hex(e.size)}`;
const ranged = { iommufd: 's32', ioas: 'u32', iova: 'address', size: 'address', ret: 's32' } as const;

export const iommufdBackendConnect = event(
  'iommufd_backend_connect',
  'qemu',
  { fd: 's32', owned: 'bool', users: 'u32' },
  (e) => `fd=${e.fd} owned=${e.owned ? 1 : 0} users=${e.users}`,
  'A device uses an iommufd object; the first has /dev/iommu opened.',
);
export const iommufdBackendDisconnect = event(
  'iommufd_backend_disconnect',
  'qemu',
  { fd: 's32', users: 'u32' },
  (e) => `fd=${e.fd} users=${e.users}`,
  'A device uses an iommufd object no longer; with the last /dev/iommu is closed.',
);
export const iommufdBackendAllocIoas = event(
  'iommufd_backend_alloc_ioas',
  'qemu',
  { iommufd: 's32', ioas: 'u32' },
  (e) => ` iommufd=${e.iommufd} ioas=${e.ioas}`,
  'An I/O address space was made.',
);
export const iommufdBackendFreeId = event(
  'iommufd_backend_free_id',
  'qemu',
  { iommufd: 's32', id: 'u32', ret: 's32' },
  (e) => ` iommufd=${e.iommufd} id=${e.id} (${e.ret})`,
  'An object of the iommufd was destroyed.',
);
export const iommufdBackendMapDma = event(
  'iommufd_backend_map_dma',
  'qemu',
  { iommufd: 's32', ioas: 'u32', iova: 'address', size: 'address', addr: 'address', readonly: 'bool', ret: 's32' },
  (e) => ` ${range(e)} addr=${hex(e.addr)} readonly=${e.readonly ? 1 : 0} (${e.ret})`,
  'Guest RAM was mapped for DMA by IOMMU_IOAS_MAP.',
);
export const iommufdBackendUnmapDma = event(
  'iommufd_backend_unmap_dma',
  'qemu',
  ranged,
  (e) => ` ${range(e)} (${e.ret})`,
  'Guest RAM was unmapped by IOMMU_IOAS_UNMAP.',
);
export const iommufdBackendUnmapDmaNonExist = event(
  'iommufd_backend_unmap_dma_non_exist',
  'qemu',
  ranged,
  (e) => ` Unmap nonexistent mapping: ${range(e)} (${e.ret})`,
  'What was to be unmapped was not mapped, which is as well.',
);
