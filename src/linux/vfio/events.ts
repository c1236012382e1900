/** Trace events of VFIO: what the container, the group and the device did. The kernel itself has none of its own here. */

import { event } from '../../event.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A process mapped memory for DMA. */
export const vfioDmaMap = event(
  'vfio_dma_map',
  'vfio',
  { iova: 'u64', vaddr: 'u64', size: 'u64', readable: 'bool', writable: 'bool' },
  (e) =>
    `iova ${hex(e.iova)} size ${hex(e.size)} vaddr ${hex(e.vaddr)} ${e.readable ? 'r' : '-'}${e.writable ? 'w' : '-'}`,
  'VFIO_IOMMU_MAP_DMA recorded a range of I/O addresses.',
);

/** A mapping went. */
export const vfioDmaUnmap = event(
  'vfio_dma_unmap',
  'vfio',
  { iova: 'u64', size: 'u64' },
  (e) => `iova ${hex(e.iova)} size ${hex(e.size)}`,
  'VFIO_IOMMU_UNMAP_DMA removed a mapping.',
);

/** A driver reached user memory through I/O addresses. */
export const vfioDmaRw = event(
  'vfio_dma_rw',
  'vfio',
  { device: 'string', write: 'bool', iova: 'u64', length: 'u32', result: 's32' },
  (e) => `(${e.device}) ${e.write ? 'write' : 'read'} iova ${hex(e.iova)} len ${e.length} = ${e.result}`,
  'A driver read or wrote user memory by I/O address.',
);

/** A driver pinned pages by I/O address. */
export const vfioPinPages = event(
  'vfio_pin_pages',
  'vfio',
  { device: 'string', iova: 'u64', count: 'u32', result: 's32' },
  (e) => `(${e.device}) iova ${hex(e.iova)} npage ${e.count} = ${e.result}`,
  'A driver pinned pages of user memory for its DMA.',
);

/** And gave them back. */
export const vfioUnpinPages = event(
  'vfio_unpin_pages',
  'vfio',
  { device: 'string', iova: 'u64', count: 'u32' },
  (e) => `(${e.device}) iova ${hex(e.iova)} npage ${e.count}`,
  'A driver gave pinned pages back.',
);

/** pread on a device fd. */
export const vfioDeviceRead = event(
  'vfio_device_read',
  'vfio',
  { device: 'string', region: 'u8', offset: 'address', count: 'u32' },
  (e) => `(${e.device}:region${e.region}+${hex(e.offset)}, ${e.count})`,
  'User space reads a region of a device; the offset carries the region index in its bits from 40 up.',
);

/** pwrite on a device fd. */
export const vfioDeviceWrite = event(
  'vfio_device_write',
  'vfio',
  { device: 'string', region: 'u8', offset: 'address', count: 'u32' },
  (e) => `(${e.device}:region${e.region}+${hex(e.offset)}, ${e.count})`,
  'User space writes a region of a device; the offset carries the region index in its bits from 40 up.',
);

/** A device was opened or closed. */
export const vfioDeviceOpen = event(
  'vfio_device_open',
  'vfio',
  { device: 'string', group: 'u32', opens: 'u32' },
  (e) => `(${e.device}) group ${e.group} opens ${e.opens}`,
  'VFIO_GROUP_GET_DEVICE_FD made a file for a device; the first open calls the driver.',
);

export const vfioDeviceClose = event(
  'vfio_device_close',
  'vfio',
  { device: 'string', group: 'u32', opens: 'u32' },
  (e) => `(${e.device}) group ${e.group} opens ${e.opens}`,
  'A device file was released; the last one calls the driver.',
);

/** The kvm pointer of a group changed. */
export const vfioGroupSetKvm = event(
  'vfio_group_set_kvm',
  'vfio',
  { group: 'u32', set: 'bool', notified: 'u32' },
  (e) => `group ${e.group} kvm ${e.set ? 'set' : 'cleared'}, ${e.notified} notifier(s) called`,
  'The kvm-vfio device gave a group its VM, or took it away.',
);
