/** Numbers, sizes and offsets of include/uapi/linux/iommufd.h, and of what Linux 6.6 added to vfio.h. */

import { describe, expect, test } from 'vitest';
import { structText } from '../../../src/linux/uapi/field-text.ts';
import * as iommufd from '../../../src/linux/uapi/iommufd.ts';
import { fdKindOf, findIoctl } from '../../../src/linux/uapi/tables.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';

test.each([
  [iommufd.IOMMU_DESTROY, 0x3b80, 8],
  [iommufd.IOMMU_IOAS_ALLOC, 0x3b81, 12],
  [iommufd.IOMMU_IOAS_ALLOW_IOVAS, 0x3b82, 24],
  [iommufd.IOMMU_IOAS_COPY, 0x3b83, 40],
  [iommufd.IOMMU_IOAS_IOVA_RANGES, 0x3b84, 32],
  [iommufd.IOMMU_IOAS_MAP, 0x3b85, 40],
  [iommufd.IOMMU_IOAS_UNMAP, 0x3b86, 24],
  [iommufd.IOMMU_OPTION, 0x3b87, 24],
  [iommufd.IOMMU_HWPT_ALLOC, 0x3b89, 24],
  [vfio.VFIO_DEVICE_BIND_IOMMUFD, 0x3b76, 16],
  [vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0x3b77, 12],
  [vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, 0x3b78, 8],
])('$name', ({ number, argument }, expected, size) => {
  expect(number).toBe(expected);
  expect('struct' in argument ? argument.struct.size : 0).toBe(size);
});

describe('offsets', () => {
  test.each([
    [iommufd.iommu_ioas_map, { user_va: 16, length: 24, iova: 32 }],
    [iommufd.iommu_ioas_copy, { dst_ioas_id: 8, src_ioas_id: 12, length: 16, dst_iova: 24, src_iova: 32 }],
    [iommufd.iommu_ioas_unmap, { iova: 8, length: 16 }],
    [iommufd.iommu_option, { option_id: 4, op: 8, object_id: 12, val64: 16 }],
    [iommufd.iommu_ioas_iova_ranges, { num_iovas: 8, allowed_iovas: 16, out_iova_alignment: 24 }],
    [iommufd.iommu_hwpt_alloc, { dev_id: 8, pt_id: 12, out_hwpt_id: 16 }],
    [vfio.vfio_device_bind_iommufd, { iommufd: 8, out_devid: 12 }],
    [vfio.vfio_device_attach_iommufd_pt, { pt_id: 8 }],
  ])('$name', ({ offsets }, expected) => {
    expect(offsets).toMatchObject(expected);
  });
});

test('a call is told by the kind of its file', () => {
  expect(fdKindOf('/dev/iommu')).toBe('iommufd');
  expect(fdKindOf('/dev/vfio/devices/vfio0')).toBe('vfio-device');
  expect(findIoctl('iommufd', 0x3b85)).toBe(iommufd.IOMMU_IOAS_MAP);
});

test('and its structure is written as strace would', () => {
  const value = { size: 40, flags: 7, ioas_id: 1, __reserved: 0, user_va: 0x7000n, length: 4096n, iova: 0x1000n };
  expect(structText(iommufd.iommu_ioas_map, value)).toBe(
    '{size=40, flags=IOMMU_IOAS_MAP_FIXED_IOVA|IOMMU_IOAS_MAP_WRITEABLE|IOMMU_IOAS_MAP_READABLE, ioas_id=1, user_va=0x7000, length=4096, iova=0x1000}',
  );
});
