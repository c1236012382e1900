/**
 * VFIO's user API: structures and ioctls of container, group and device fds (include/uapi/linux/vfio.h of Linux 6.1, and what a
 * device's own node brought in 6.6).
 * Every number is `_IO(';', 100 + n)`: the size travels in `argsz`, and numbers repeat between the kinds of fd.
 */

import { _IO, type Ioctl, type IoctlArgument, ioctl } from './ioctl.ts';
import { nested, type Struct, s32, struct, u8, u16, u32, u64 } from './struct.ts';

export const VFIO_API_VERSION = 0;
export const VFIO_TYPE = 0x3b;
export const VFIO_BASE = 100;

// --- IOMMU types, as VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU take them --------------------------------------------

export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_SPAPR_TCE_IOMMU = 2;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_EEH = 5;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

// --- group ------------------------------------------------------------------------------------------------------

export const VFIO_GROUP_FLAGS_VIABLE = 1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 2;
export const vfio_group_status = struct('vfio_group_status', { argsz: u32, flags: u32 });
const intPointee = struct('int', { value: s32 });

// --- device -----------------------------------------------------------------------------------------------------

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_DEVICE_FLAGS_PLATFORM = 4;
export const VFIO_DEVICE_FLAGS_AMBA = 8;
export const VFIO_DEVICE_FLAGS_CCW = 16;
export const VFIO_DEVICE_FLAGS_AP = 32;
export const VFIO_DEVICE_FLAGS_FSL_MC = 64;
export const VFIO_DEVICE_FLAGS_CAPS = 128;
export const vfio_device_info = struct('vfio_device_info', {
  argsz: u32,
  flags: u32,
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
});
export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;
export const vfio_region_info = struct('vfio_region_info', {
  argsz: u32,
  flags: u32,
  index: u32,
  cap_offset: u32,
  size: u64,
  offset: u64,
});
export const vfio_info_cap_header = struct('vfio_info_cap_header', { id: u16, version: u16, next: u32 });
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;
/** Capability SPARSE_MMAP, after its vfio_info_cap_header; `nr_areas` of {@link vfio_region_sparse_mmap_area} follow. */
export const vfio_region_info_cap_sparse_mmap = struct('vfio_region_info_cap_sparse_mmap', {
  nr_areas: u32,
  reserved: u32,
});
export const vfio_region_sparse_mmap_area = struct('vfio_region_sparse_mmap_area', { offset: u64, size: u64 });
export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;
export const vfio_irq_info = struct('vfio_irq_info', { argsz: u32, flags: u32, index: u32, count: u32 });
export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 16;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 32;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 56;
/** Header of VFIO_DEVICE_SET_IRQS; the data (nothing, bytes, or s32 eventfds) follows it. */
export const vfio_irq_set = struct('vfio_irq_set', { argsz: u32, flags: u32, index: u32, start: u32, count: u32 });
/** Header of VFIO_DEVICE_GET_PCI_HOT_RESET_INFO. */
export const vfio_pci_hot_reset_info = struct('vfio_pci_hot_reset_info', { argsz: u32, flags: u32, count: u32 });
/** Linux 6.6, for a device opened by its own node: each device's number in the iommufd stands where its group's would. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1;
/** And all of them are this iommufd's: the bus can be reset. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 2;
/** In the place of a number: nobody has bound the device, but it shares the group of one that is; or it is none of the iommufd's. */
export const VFIO_PCI_DEVID_OWNED = 0;
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;
/** One device that a hot reset hits; {@link vfio_pci_hot_reset_info} is followed by `count` of them. */
export const vfio_pci_dependent_device = struct('vfio_pci_dependent_device', {
  group_id: u32,
  segment: u16,
  bus: u8,
  devfn: u8,
});
/** Header of VFIO_DEVICE_PCI_HOT_RESET; `count` group descriptors (s32) follow it. */
export const vfio_pci_hot_reset = struct('vfio_pci_hot_reset', { argsz: u32, flags: u32, count: u32 });
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;
/** VFIO_DEVICE_IOEVENTFD: write `data` to `offset` of the device file whenever `fd` is signalled. Flags are the width: 1, 2, 4, 8. */
export const vfio_device_ioeventfd = struct('vfio_device_ioeventfd', {
  argsz: u32,
  flags: u32,
  offset: u64,
  data: u64,
  fd: s32,
  reserved: u32,
});
export const vfio_device_feature = struct('vfio_device_feature', { argsz: u32, flags: u32 });
export const vfio_device_low_power_entry_with_wakeup = struct('vfio_device_low_power_entry_with_wakeup', {
  wakeup_eventfd: s32,
  reserved: u32,
});
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;

/** Linux 6.6: the device fd is one of /dev/vfio/devices. `out_devid` is the device's number in the iommufd. */
export const vfio_device_bind_iommufd = struct('vfio_device_bind_iommufd', {
  argsz: u32,
  flags: u32,
  iommufd: s32,
  out_devid: u32,
});
/** `pt_id`: an IOAS, or a page table; in the answer the page table, where there is one. */
export const vfio_device_attach_iommufd_pt = struct('vfio_device_attach_iommufd_pt', {
  argsz: u32,
  flags: u32,
  pt_id: u32,
});
export const vfio_device_detach_iommufd_pt = struct('vfio_device_detach_iommufd_pt', { argsz: u32, flags: u32 });

/** The region index lives in the file offset's upper bits: `index << 40`. As a factor, since offsets are numbers. */
export const VFIO_PCI_OFFSET_SHIFT = 40;
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR1_REGION_INDEX = 1;
export const VFIO_PCI_BAR2_REGION_INDEX = 2;
export const VFIO_PCI_BAR3_REGION_INDEX = 3;
export const VFIO_PCI_BAR4_REGION_INDEX = 4;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;
export const VFIO_PCI_NUM_BARS = 6;

// --- type1 IOMMU (container fd) ---------------------------------------------------------------------------------

export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;
export const vfio_iommu_type1_info = struct('vfio_iommu_type1_info', {
  argsz: u32,
  flags: u32,
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: u32,
});
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;
/** Capability MIGRATION, after its vfio_info_cap_header. */
export const vfio_iommu_type1_info_cap_migration = struct('vfio_iommu_type1_info_cap_migration', {
  flags: u32,
  pgsize_bitmap: u64,
  max_dirty_bitmap_size: u64,
});
/** Capability DMA_AVAIL, after its vfio_info_cap_header. */
export const vfio_iommu_type1_info_dma_avail = struct('vfio_iommu_type1_info_dma_avail', { avail: u32 });
/** One range of capability IOVA_RANGE; both ends belong to it. */
export const vfio_iova_range = struct('vfio_iova_range', { start: u64, end: u64 });
/** Capability IOVA_RANGE, after its vfio_info_cap_header; the ranges follow. */
export const vfio_iommu_type1_info_cap_iova_range = struct('vfio_iommu_type1_info_cap_iova_range', {
  nr_iovas: u32,
  reserved: u32,
});
export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_MAP_FLAG_VADDR = 4;
export const vfio_iommu_type1_dma_map = struct('vfio_iommu_type1_dma_map', {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  iova: u64,
  size: u64,
});
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 4;
/** `size` is written back: the bytes unmapped. */
export const vfio_iommu_type1_dma_unmap = struct('vfio_iommu_type1_dma_unmap', {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
});

/** Where dirty bits go: a bit for each page of `pgsize`, `size` bytes at `data`. Follows UNMAP_DMA's structure too. */
export const vfio_bitmap = struct('vfio_bitmap', { pgsize: u64, size: u64, data: u64 });
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4;
/** Header of VFIO_IOMMU_DIRTY_PAGES; GET_BITMAP has a vfio_iommu_type1_dirty_bitmap_get behind it. */
export const vfio_iommu_type1_dirty_bitmap = struct('vfio_iommu_type1_dirty_bitmap', { argsz: u32, flags: u32 });
export const vfio_iommu_type1_dirty_bitmap_get = struct('vfio_iommu_type1_dirty_bitmap_get', {
  iova: u64,
  size: u64,
  bitmap: nested(vfio_bitmap),
});

// --- ioctls -----------------------------------------------------------------------------------------------------

const none: IoctlArgument = { kind: 'none' };
const row = (name: string, nr: number, argument: IoctlArgument, doc: string): Ioctl =>
  ioctl(name, _IO(VFIO_TYPE, VFIO_BASE + nr), argument, doc);
const takes = (passed: Struct): IoctlArgument => ({ kind: 'in', struct: passed });
const both = (passed: Struct): IoctlArgument => ({ kind: 'inout', struct: passed });

// container
export const VFIO_GET_API_VERSION = row('VFIO_GET_API_VERSION', 0, none, 'Returns 0.');
export const VFIO_CHECK_EXTENSION = row('VFIO_CHECK_EXTENSION', 1, { kind: 'int' }, 'Whether an IOMMU type is there.');
export const VFIO_SET_IOMMU = row('VFIO_SET_IOMMU', 2, { kind: 'int' }, 'Chooses the IOMMU type of the container.');
export const VFIO_IOMMU_GET_INFO = row('VFIO_IOMMU_GET_INFO', 12, both(vfio_iommu_type1_info), 'Page sizes, limits.');
export const VFIO_IOMMU_MAP_DMA = row(
  'VFIO_IOMMU_MAP_DMA',
  13,
  takes(vfio_iommu_type1_dma_map),
  'Maps IOVA to memory.',
);
export const VFIO_IOMMU_UNMAP_DMA = row('VFIO_IOMMU_UNMAP_DMA', 14, both(vfio_iommu_type1_dma_unmap), 'Unmaps IOVA.');
export const VFIO_IOMMU_DIRTY_PAGES = row(
  'VFIO_IOMMU_DIRTY_PAGES',
  17,
  both(vfio_iommu_type1_dirty_bitmap),
  'Starts, stops, reads the log of dirty pages.',
);
export const VFIO_IOMMU_ENABLE = row('VFIO_IOMMU_ENABLE', 15, none, 'sPAPR: switches translation on.');
export const VFIO_IOMMU_DISABLE = row('VFIO_IOMMU_DISABLE', 16, none, 'sPAPR: switches translation off.');

// group
export const VFIO_GROUP_GET_STATUS = row(
  'VFIO_GROUP_GET_STATUS',
  3,
  both(vfio_group_status),
  'Viable? In a container?',
);
export const VFIO_GROUP_SET_CONTAINER = row('VFIO_GROUP_SET_CONTAINER', 4, takes(intPointee), 'Joins a container.');
export const VFIO_GROUP_UNSET_CONTAINER = row('VFIO_GROUP_UNSET_CONTAINER', 5, none, 'Leaves the container.');
export const VFIO_GROUP_GET_DEVICE_FD = row(
  'VFIO_GROUP_GET_DEVICE_FD',
  6,
  { kind: 'string' },
  'Opens a device by name.',
);

// device
export const VFIO_DEVICE_GET_INFO = row('VFIO_DEVICE_GET_INFO', 7, both(vfio_device_info), 'Bus, regions, interrupts.');
export const VFIO_DEVICE_GET_REGION_INFO = row(
  'VFIO_DEVICE_GET_REGION_INFO',
  8,
  both(vfio_region_info),
  'Size, offset and flags of a region.',
);
export const VFIO_DEVICE_GET_IRQ_INFO = row(
  'VFIO_DEVICE_GET_IRQ_INFO',
  9,
  both(vfio_irq_info),
  'Count, flags of an IRQ.',
);
export const VFIO_DEVICE_SET_IRQS = row(
  'VFIO_DEVICE_SET_IRQS',
  10,
  takes(vfio_irq_set),
  'Masks, unmasks, triggers, wires.',
);
export const VFIO_DEVICE_RESET = row('VFIO_DEVICE_RESET', 11, none, 'Resets the function.');
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = row(
  'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
  12,
  both(vfio_pci_hot_reset_info),
  'Which devices a bus reset would hit.',
);
export const VFIO_DEVICE_PCI_HOT_RESET = row(
  'VFIO_DEVICE_PCI_HOT_RESET',
  13,
  takes(vfio_pci_hot_reset),
  'Resets the bus, and all devices on it.',
);
export const VFIO_DEVICE_IOEVENTFD = row(
  'VFIO_DEVICE_IOEVENTFD',
  16,
  takes(vfio_device_ioeventfd),
  'An eventfd that writes to a register.',
);
export const VFIO_DEVICE_FEATURE = row(
  'VFIO_DEVICE_FEATURE',
  17,
  both(vfio_device_feature),
  'Gets, sets, probes a feature.',
);
export const VFIO_DEVICE_BIND_IOMMUFD = row(
  'VFIO_DEVICE_BIND_IOMMUFD',
  18,
  both(vfio_device_bind_iommufd),
  'Opens a device of /dev/vfio/devices: its DMA is an iommufd’s.',
);
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = row(
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  19,
  both(vfio_device_attach_iommufd_pt),
  'Gives a bound device an I/O address space.',
);
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = row(
  'VFIO_DEVICE_DETACH_IOMMUFD_PT',
  20,
  takes(vfio_device_detach_iommufd_pt),
  'Takes the I/O address space from a device.',
);
