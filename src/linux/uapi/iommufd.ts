/**
 * iommufd's user API: structures and ioctls of /dev/iommu (include/uapi/linux/iommufd.h of Linux 6.6). Numbers are
 * `_IO(';', 0x80 + n)`; every structure begins with its size, as user space knows it, and may grow.
 */

import { _IO, type Ioctl, ioctl } from './ioctl.ts';
import { type Struct, struct, u16, u32, u64 } from './struct.ts';

export const IOMMUFD_TYPE = 0x3b;
export const IOMMUFD_CMD_BASE = 0x80;

export const iommu_destroy = struct('iommu_destroy', { size: u32, id: u32 });
export const iommu_ioas_alloc = struct('iommu_ioas_alloc', { size: u32, flags: u32, out_ioas_id: u32 });
/** Both ends belong to it. */
export const iommu_iova_range = struct('iommu_iova_range', { start: u64, last: u64 });
/** `num_iovas`: room at `allowed_iovas`, and in the answer how many ranges there are. */
export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
  out_iova_alignment: u64,
});
export const iommu_ioas_allow_iovas = struct('iommu_ioas_allow_iovas', {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
});
export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;
/** Without FIXED_IOVA the kernel chooses `iova`. */
export const iommu_ioas_map = struct('iommu_ioas_map', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
export const iommu_ioas_copy = struct('iommu_ioas_copy', {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
/** `length` is written back: the bytes unmapped. */
export const iommu_ioas_unmap = struct('iommu_ioas_unmap', { size: u32, ioas_id: u32, iova: u64, length: u64 });
/** Whose limit counts locked memory: 0 the user's, 1 the process's. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** Whether the mappings of an IOAS may use large pages. */
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;
export const iommu_option = struct('iommu_option', {
  size: u32,
  option_id: u32,
  op: u16,
  __reserved: u16,
  object_id: u32,
  val64: u64,
});
export const iommu_hwpt_alloc = struct('iommu_hwpt_alloc', {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  __reserved: u32,
});

const row = (name: string, nr: number, passed: Struct, doc: string): Ioctl =>
  ioctl(name, _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + nr), { kind: 'inout', struct: passed }, doc);

export const IOMMU_DESTROY = row('IOMMU_DESTROY', 0, iommu_destroy, 'Destroys an object that nothing uses.');
export const IOMMU_IOAS_ALLOC = row('IOMMU_IOAS_ALLOC', 1, iommu_ioas_alloc, 'Makes an I/O address space.');
export const IOMMU_IOAS_ALLOW_IOVAS = row(
  'IOMMU_IOAS_ALLOW_IOVAS',
  2,
  iommu_ioas_allow_iovas,
  'Reserves addresses for the mappings whose address the kernel chooses.',
);
export const IOMMU_IOAS_COPY = row('IOMMU_IOAS_COPY', 3, iommu_ioas_copy, 'Maps what is mapped elsewhere already.');
export const IOMMU_IOAS_IOVA_RANGES = row(
  'IOMMU_IOAS_IOVA_RANGES',
  4,
  iommu_ioas_iova_ranges,
  'Which addresses can be mapped, and to what multiple.',
);
export const IOMMU_IOAS_MAP = row('IOMMU_IOAS_MAP', 5, iommu_ioas_map, 'Maps I/O addresses to memory.');
export const IOMMU_IOAS_UNMAP = row('IOMMU_IOAS_UNMAP', 6, iommu_ioas_unmap, 'Unmaps whole mappings.');
export const IOMMU_OPTION = row('IOMMU_OPTION', 7, iommu_option, 'Gets or sets an option of an object.');
export const IOMMU_HWPT_ALLOC = row(
  'IOMMU_HWPT_ALLOC',
  9,
  iommu_hwpt_alloc,
  'Makes a page table of the IOMMU for an I/O address space.',
);
