import { expect, test } from 'vitest';
import { fdKindOf, findIoctl } from '../../../src/linux/uapi/tables.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';

// Numbers printed by a program compiled against include/uapi/linux/vfio.h of Linux 6.1.
const numbers: readonly (readonly [string, number])[] = [
  ['VFIO_GET_API_VERSION', 0x3b64],
  ['VFIO_CHECK_EXTENSION', 0x3b65],
  ['VFIO_SET_IOMMU', 0x3b66],
  ['VFIO_GROUP_GET_STATUS', 0x3b67],
  ['VFIO_GROUP_SET_CONTAINER', 0x3b68],
  ['VFIO_GROUP_UNSET_CONTAINER', 0x3b69],
  ['VFIO_GROUP_GET_DEVICE_FD', 0x3b6a],
  ['VFIO_DEVICE_GET_INFO', 0x3b6b],
  ['VFIO_DEVICE_GET_REGION_INFO', 0x3b6c],
  ['VFIO_DEVICE_GET_IRQ_INFO', 0x3b6d],
  ['VFIO_DEVICE_SET_IRQS', 0x3b6e],
  ['VFIO_DEVICE_RESET', 0x3b6f],
  ['VFIO_IOMMU_GET_INFO', 0x3b70],
  ['VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', 0x3b70],
  ['VFIO_DEVICE_PCI_HOT_RESET', 0x3b71],
  ['VFIO_IOMMU_MAP_DMA', 0x3b71],
  ['VFIO_IOMMU_UNMAP_DMA', 0x3b72],
  ['VFIO_IOMMU_ENABLE', 0x3b73],
  ['VFIO_IOMMU_DISABLE', 0x3b74],
  ['VFIO_DEVICE_IOEVENTFD', 0x3b74],
  ['VFIO_DEVICE_FEATURE', 0x3b75],
];
test.each(numbers)('%s', (name, number) => {
  expect(new Map<string, unknown>(Object.entries(vfio)).get(name)).toMatchObject({ name, number });
});

test('vfio structures have the sizes and offsets of the header', () => {
  expect(vfio.vfio_group_status.size).toBe(8);
  expect(vfio.vfio_device_info.offsets).toEqual({ argsz: 0, flags: 4, num_regions: 8, num_irqs: 12, cap_offset: 16 });
  expect(vfio.vfio_region_info.size).toBe(32);
  expect(vfio.vfio_region_info.offsets).toMatchObject({ index: 8, cap_offset: 12, size: 16, offset: 24 });
  expect(vfio.vfio_irq_info.size).toBe(16);
  expect(vfio.vfio_irq_set.size).toBe(20);
  expect(vfio.vfio_iommu_type1_info.offsets).toMatchObject({ iova_pgsizes: 8, cap_offset: 16 });
  expect(vfio.vfio_iommu_type1_dma_map.size).toBe(32);
  expect(vfio.vfio_iommu_type1_dma_map.offsets).toMatchObject({ vaddr: 8, iova: 16, size: 24 });
  expect(vfio.vfio_iommu_type1_dma_unmap.size).toBe(24);
});

test('a number that repeats means what the kind of fd says', () => {
  expect(findIoctl(fdKindOf('/dev/vfio/vfio'), 0x3b70)?.name).toBe('VFIO_IOMMU_GET_INFO');
  expect(findIoctl(fdKindOf('anon_inode:[vfio-device]'), 0x3b70)?.name).toBe('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO');
  expect(findIoctl(fdKindOf('/dev/vfio/0'), 0x3b70)).toBeUndefined();
  expect(findIoctl(fdKindOf('anon_inode:kvm-vm'), 0x4010ae67)?.name).toBe('KVM_REGISTER_COALESCED_MMIO');
  expect(findIoctl(fdKindOf('anon_inode:kvm-vm'), 0xc008ae67 | 0)?.name).toBe('KVM_IRQ_LINE_STATUS');
  expect(fdKindOf('anon_inode:kvm-vcpu:0')).toBe('kvm-vcpu');
  expect(fdKindOf('anon_inode:kvm-vfio')).toBe('kvm-device');
  expect(fdKindOf('anon_inode:[eventfd]')).toBe('other');
});
