/** What user space does with an I/O address space (drivers/iommu/iommufd/ioas.c of Linux 6.6). Each takes the structure of its ioctl. */

import { PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyToUser, getStruct } from '../core/uaccess.ts';
import { EFAULT, EINVAL, EMSGSIZE, ENOMEM, EOPNOTSUPP, EOVERFLOW } from '../uapi/errno.ts';
import {
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  type iommu_ioas_allow_iovas,
  type iommu_ioas_copy,
  type iommu_ioas_iova_ranges,
  type iommu_ioas_map,
  type iommu_ioas_unmap,
  iommu_iova_range,
} from '../uapi/iommufd.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { IovaSpan } from './allocate-iova.ts';
import { LAST_IOVA, type MapRequest } from './io-pagetable.ts';
import { IoptPages } from './pages.ts';
import type { IommufdState } from './state.ts';

const MAP_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
const PAGE = BigInt(PAGE_SIZE);

type Answer<S> = StructOf<S> | number;

const reserved = (kernel: Kernel): number => kernel.refuse(EOPNOTSUPP, '__reserved is not 0');

/** IOMMU_IOAS_IOVA_RANGES: -EMSGSIZE if there are more ranges than room; their number is told all the same. */
export function iovaRanges(
  state: IommufdState,
  cmd: StructOf<typeof iommu_ioas_iova_ranges>,
): { readonly answer: StructOf<typeof iommu_ioas_iova_ranges>; readonly result: number } | number {
  const { kernel } = state;
  if (cmd.__reserved !== 0) return reserved(kernel);
  const ioas = state.space(cmd.ioas_id);
  if (typeof ioas === 'number') return ioas;
  const ranges = ioas.iopt.ranges();
  const told = ranges.slice(0, cmd.num_iovas);
  const bytes = Uint8Array.from(told.flatMap((range) => [...iommu_iova_range.encode(range)]));
  if (copyToUser(kernel, Number(cmd.allowed_iovas), bytes) < 0) {
    return kernel.refuse(EFAULT, `the ranges at 0x${cmd.allowed_iovas.toString(16)} are not in the process's memory`);
  }
  const answer = { ...cmd, num_iovas: ranges.length, out_iova_alignment: ioas.iopt.alignment };
  const fits = ranges.length <= cmd.num_iovas;
  const result = fits ? 0 : kernel.refuse(EMSGSIZE, `there are ${ranges.length} ranges, and room for ${cmd.num_iovas}`);
  return { answer, result };
}

/** IOMMU_IOAS_ALLOW_IOVAS: -EFAULT; -EINVAL for ranges that are empty or overlap; -EADDRINUSE. */
export function allowIovas(state: IommufdState, cmd: StructOf<typeof iommu_ioas_allow_iovas>): number {
  const { kernel } = state;
  if (cmd.__reserved !== 0) return reserved(kernel);
  const ioas = state.space(cmd.ioas_id);
  if (typeof ioas === 'number') return ioas;
  const allowed: IovaSpan[] = [];
  for (let i = 0; i < cmd.num_iovas; i++) {
    const at = Number(cmd.allowed_iovas) + i * iommu_iova_range.size;
    const range = getStruct(kernel, iommu_iova_range, at);
    if (typeof range === 'number') return range;
    if (range.start >= range.last) return kernel.refuse(EINVAL, `range ${i} ends where it begins, or before`);
    if (allowed.some(({ start, last }) => start <= range.last && range.start <= last)) {
      return kernel.refuse(EINVAL, `range ${i} overlaps one before it`);
    }
    allowed.push(range);
  }
  return ioas.iopt.allow(allowed);
}

/**
 * What MAP and COPY ask for; -EOPNOTSUPP for a flag there is not, -EOVERFLOW if one of `numbers` is the last there is, -EINVAL for a
 * mapping that nobody may use.
 */
function requestOf(kernel: Kernel, flags: number, iova: bigint, ...numbers: readonly bigint[]): MapRequest | number {
  if (flags & ~MAP_FLAGS) {
    return kernel.refuse(EOPNOTSUPP, `a mapping has no flag 0x${((flags & ~MAP_FLAGS) >>> 0).toString(16)}`);
  }
  if ([iova, ...numbers].includes(LAST_IOVA)) {
    return kernel.refuse(EOVERFLOW, 'an address or the length is no address of 64 bits and its successor');
  }
  const readable = (flags & IOMMU_IOAS_MAP_READABLE) !== 0;
  const writable = (flags & IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  if (!readable && !writable) return kernel.refuse(EINVAL, 'a mapping is READABLE, WRITEABLE or both');
  return { iova: flags & IOMMU_IOAS_MAP_FIXED_IOVA ? iova : undefined, readable, writable };
}

/** IOMMU_IOAS_MAP. */
export function map(state: IommufdState, cmd: StructOf<typeof iommu_ioas_map>): Answer<typeof iommu_ioas_map> {
  const { kernel } = state;
  if (cmd.__reserved !== 0) return reserved(kernel);
  const { length, user_va: start } = cmd;
  const request = requestOf(kernel, cmd.flags, cmd.iova, length);
  if (typeof request === 'number') return request;
  const ioas = state.space(cmd.ioas_id);
  if (typeof ioas === 'number') return ioas;
  // iopt_alloc_pages: a length that cannot be rounded up to pages, then an end that cannot be.
  if (length === 0n) return kernel.refuse(EINVAL, 'a mapping of no bytes');
  if (length > LAST_IOVA - PAGE) return kernel.refuse(EINVAL, `0x${length.toString(16)} bytes are not to be had`);
  if (start + length > LAST_IOVA) {
    return kernel.refuse(EOVERFLOW, `0x${length.toString(16)} bytes at 0x${start.toString(16)} wrap past 2^64`);
  }
  if (!kernel.kmallocAll('struct iopt_pages', 'struct iopt_area')) return -ENOMEM;
  const pages = new IoptPages(kernel, start, request.writable, state.account);
  const iova = ioas.iopt.map([{ pages, start: start % PAGE, length }], request);
  return typeof iova === 'number' ? iova : { ...cmd, iova };
}

/** IOMMU_IOAS_COPY: memory that `from` has mapped, in another space as well; pages are pinned and charged once. */
export function copy(state: IommufdState, cmd: StructOf<typeof iommu_ioas_copy>): Answer<typeof iommu_ioas_copy> {
  const { kernel } = state;
  const request = requestOf(kernel, cmd.flags, cmd.dst_iova, cmd.length, cmd.src_iova);
  if (typeof request === 'number') return request;
  const from = state.space(cmd.src_ioas_id);
  if (typeof from === 'number') return from;
  const spans = from.iopt.spansOf(cmd.src_iova, cmd.length);
  if (typeof spans === 'number') return spans;
  const to = state.space(cmd.dst_ioas_id);
  if (typeof to === 'number') return to;
  const iova = to.iopt.map(spans, request);
  return typeof iova === 'number' ? iova : { ...cmd, dst_iova: iova };
}

/** IOMMU_IOAS_UNMAP: all there is, if the range is all there is; that may be nothing. */
export function unmap(state: IommufdState, cmd: StructOf<typeof iommu_ioas_unmap>): Answer<typeof iommu_ioas_unmap> {
  const { kernel } = state;
  const { iova, length } = cmd;
  const ioas = state.space(cmd.ioas_id);
  if (typeof ioas === 'number') return ioas;
  if (iova === 0n && length === LAST_IOVA) {
    const unmapped = ioas.iopt.mappings === 0 ? 0n : ioas.iopt.unmap(0n, LAST_IOVA);
    return typeof unmapped === 'number' ? unmapped : { ...cmd, length: unmapped };
  }
  if (iova >= LAST_IOVA || length >= LAST_IOVA || iova + length - 1n > LAST_IOVA) {
    return kernel.refuse(EOVERFLOW, `0x${length.toString(16)} bytes at iova 0x${iova.toString(16)} wrap past 2^64`);
  }
  if (length === 0n) return kernel.refuse(EINVAL, 'nothing to unmap');
  const unmapped = ioas.iopt.unmap(iova, iova + length - 1n);
  return typeof unmapped === 'number' ? unmapped : { ...cmd, length: unmapped };
}
