/** Trace events of iommufd: what was mapped, and which devices took part. The kernel itself has none of its own here. */

import { event } from '../../event.ts';

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** A range of an I/O address space was mapped to memory. */
export const iommufdMap = event(
  'iommufd_map',
  'vfio',
  { iova: 'u64', size: 'u64', readable: 'bool', writable: 'bool' },
  (e) => `iova ${hex(e.iova)} size ${hex(e.size)} ${e.readable ? 'r' : '-'}${e.writable ? 'w' : '-'}`,
  'IOMMU_IOAS_MAP or _COPY mapped a range of I/O addresses.',
);

/** A mapping went. */
export const iommufdUnmap = event(
  'iommufd_unmap',
  'vfio',
  { iova: 'u64', size: 'u64' },
  (e) => `iova ${hex(e.iova)} size ${hex(e.size)}`,
  'IOMMU_IOAS_UNMAP removed a mapping.',
);

/** A device belongs to an iommufd, or no longer. */
export const iommufdBind = event(
  'iommufd_bind',
  'vfio',
  { device: 'string', id: 'u32', bound: 'bool' },
  (e) => `(${e.device}) id ${e.id} ${e.bound ? 'bound' : 'unbound'}`,
  'VFIO_DEVICE_BIND_IOMMUFD gave a device to an iommufd, or its file was closed.',
);

/** A device has an I/O address space, or none. */
export const iommufdAttach = event(
  'iommufd_attach',
  'vfio',
  { device: 'string', id: 'u32', pt: 'u32' },
  (e) => `(${e.device}) id ${e.id} ${e.pt === 0 ? 'detached' : `attached to ${e.pt}`}`,
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT attached a device to a page table or an I/O address space; DETACH undid it.',
);
