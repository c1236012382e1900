/** QEMU's trace events of devices assigned by their own node (hw/vfio/trace-events of QEMU 9.0, iommufd.c). */

import { event } from '../../../event.ts';

export const iommufdCdevGetfd = event(
  'iommufd_cdev_getfd',
  'qemu',
  { dev: 'string', devfd: 's32' },
  (e) => ` ${e.dev} (fd=${e.devfd})`,
  'The node of an assigned device was opened.',
);
export const iommufdCdevConnectAndBind = event(
  'iommufd_cdev_connect_and_bind',
  'qemu',
  { iommufd: 's32', name: 'string', devfd: 's32', devid: 'u32' },
  (e) => ` [iommufd=${e.iommufd}] Successfully bound device ${e.name} (fd=${e.devfd}): output devid=${e.devid}`,
  'An assigned device was bound to an iommufd.',
);
export const iommufdCdevAllocIoas = event(
  'iommufd_cdev_alloc_ioas',
  'qemu',
  { iommufd: 's32', ioas: 'u32' },
  (e) => ` [iommufd=${e.iommufd}] new IOMMUFD container with ioasid=${e.ioas}`,
  'The first device of an iommufd object: an I/O address space of the guest’s memory is made.',
);
export const iommufdCdevAttachIoasHwpt = event(
  'iommufd_cdev_attach_ioas_hwpt',
  'qemu',
  { iommufd: 's32', name: 'string', devfd: 's32', id: 'u32' },
  (e) => ` [iommufd=${e.iommufd}] Successfully attached device ${e.name} (${e.devfd}) to id=${e.id}`,
  'An assigned device has the I/O address space.',
);
export const iommufdCdevDetachIoasHwpt = event(
  'iommufd_cdev_detach_ioas_hwpt',
  'qemu',
  { iommufd: 's32', name: 'string' },
  (e) => ` [iommufd=${e.iommufd}] Successfully detached ${e.name}`,
  'The I/O address space was taken from an assigned device.',
);
export const iommufdCdevFailAttachExistingContainer = event(
  'iommufd_cdev_fail_attach_existing_container',
  'qemu',
  { msg: 'string' },
  (e) => ` ${e.msg}`,
  'A device cannot share the I/O address space there is.',
);
export const iommufdCdevDeviceInfo = event(
  'iommufd_cdev_device_info',
  'qemu',
  { name: 'string', devfd: 's32', irqs: 'u32', regions: 'u32', flags: 'u32' },
  (e) => ` ${e.name} (${e.devfd}) num_irqs=${e.irqs} num_regions=${e.regions} flags=${e.flags}`,
  'What an assigned device says of itself.',
);
