/** A host with devices before and without an IOMMU, and short words for the calls of iommufd and of the devices' own nodes. */

import { expect } from 'vitest';
import { lockedByUser } from '../../../src/linux/iommufd/pages.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as iommufd from '../../../src/linux/uapi/iommufd.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';
import { bootDmaHost } from '../vfio/dma-host.ts';

export const RW = iommufd.IOMMU_IOAS_MAP_READABLE | iommufd.IOMMU_IOAS_MAP_WRITEABLE;
export const FIXED = iommufd.IOMMU_IOAS_MAP_FIXED_IOVA;
export const PAGE = 0x1000n;

export function bootIommufdHost() {
  const host = bootDmaHost();
  /** An ioctl of the iommufd; `size` is the structure's unless `value` says otherwise. */
  const call = <M extends Members>(fd: number, ioctl: Ioctl, shape: Struct<M>, value: Partial<StructValue<M>> = {}) =>
    host.ioctlStruct(fd, ioctl, shape, { size: shape.size, ...value } as Partial<StructValue<M>>);
  const openIommufd = () => host.open('/dev/iommu');
  const allocate = (fd: number): number => {
    const { result, value } = call(fd, iommufd.IOMMU_IOAS_ALLOC, iommufd.iommu_ioas_alloc);
    expect(result).toBe(0);
    return value.out_ioas_id;
  };
  const map = (fd: number, ioas: number, fields: Partial<StructValue<typeof iommufd.iommu_ioas_map.members>> = {}) =>
    call(fd, iommufd.IOMMU_IOAS_MAP, iommufd.iommu_ioas_map, {
      ioas_id: ioas,
      flags: FIXED | RW,
      user_va: BigInt(host.buffer),
      length: PAGE,
      iova: 0x1_0000n,
      ...fields,
    });
  const unmap = (fd: number, ioas: number, iova: bigint, length: bigint) =>
    call(fd, iommufd.IOMMU_IOAS_UNMAP, iommufd.iommu_ioas_unmap, { ioas_id: ioas, iova, length });
  const copy = (fd: number, fields: Partial<StructValue<typeof iommufd.iommu_ioas_copy.members>>) =>
    call(fd, iommufd.IOMMU_IOAS_COPY, iommufd.iommu_ioas_copy, { flags: FIXED | RW, length: PAGE, ...fields });
  const destroy = (fd: number, id: number) => call(fd, iommufd.IOMMU_DESTROY, iommufd.iommu_destroy, { id }).result;
  /** The ranges that can be mapped, and to what multiple; room for `room` of them. */
  const ranges = (fd: number, ioas: number, room = 8) => {
    const at = host.scratch + 0x1000;
    const { result, value } = call(fd, iommufd.IOMMU_IOAS_IOVA_RANGES, iommufd.iommu_ioas_iova_ranges, {
      ioas_id: ioas,
      num_iovas: room,
      allowed_iovas: BigInt(at),
    });
    const count = Math.min(room, value.num_iovas);
    const bytes = host.memory.read(at as typeof host.scratch, 16 * count);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const list = Array.from({ length: count }, (_, i) => iommufd.iommu_iova_range.read(view, 16 * i));
    return { result, count: value.num_iovas, alignment: value.out_iova_alignment, list };
  };
  const allow = (fd: number, ioas: number, spans: readonly (readonly [bigint, bigint])[]) => {
    const at = host.scratch + 0x1000;
    const bytes = spans.flatMap(([start, last]) => [...iommufd.iommu_iova_range.encode({ start, last })]);
    host.memory.write(at as typeof host.scratch, Uint8Array.from(bytes));
    return call(fd, iommufd.IOMMU_IOAS_ALLOW_IOVAS, iommufd.iommu_ioas_allow_iovas, {
      ioas_id: ioas,
      num_iovas: spans.length,
      allowed_iovas: BigInt(at),
    }).result;
  };
  const option = (fd: number, fields: Partial<StructValue<typeof iommufd.iommu_option.members>>) =>
    call(fd, iommufd.IOMMU_OPTION, iommufd.iommu_option, fields);
  const pagetable = (fd: number, fields: Partial<StructValue<typeof iommufd.iommu_hwpt_alloc.members>>) =>
    call(fd, iommufd.IOMMU_HWPT_ALLOC, iommufd.iommu_hwpt_alloc, fields);

  /** Open the n-th device's own node. */
  const openNode = (n: number) => host.open(`/dev/vfio/devices/vfio${n}`);
  const bind = (
    device: number,
    fd: number,
    fields: Partial<StructValue<typeof vfio.vfio_device_bind_iommufd.members>> = {},
  ) =>
    host.ioctlStruct(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, vfio.vfio_device_bind_iommufd, {
      argsz: vfio.vfio_device_bind_iommufd.size,
      iommufd: fd,
      ...fields,
    });
  const attach = (device: number, pt: number, argsz = 12, flags = 0) =>
    host.ioctlStruct(device, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio.vfio_device_attach_iommufd_pt, {
      argsz,
      flags,
      pt_id: pt,
    });
  const detach = (device: number, argsz = 8, flags = 0) =>
    host.ioctlStruct(device, vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio.vfio_device_detach_iommufd_pt, { argsz, flags })
      .result;
  /** The n-th device, bound to `fd`, and attached to `ioas` if one is given. */
  const bound = (n: number, fd: number, ioas?: number) => {
    const device = openNode(n);
    expect(bind(device, fd).result).toBe(0);
    if (ioas !== undefined) expect(attach(device, ioas).result).toBe(0);
    return device;
  };
  return {
    ...host,
    call,
    openIommufd,
    allocate,
    map,
    unmap,
    copy,
    destroy,
    ranges,
    allow,
    option,
    pagetable,
    openNode,
    bind,
    attach,
    detach,
    bound,
  };
}

export type IommufdHost = ReturnType<typeof bootIommufdHost>;

/** Pages that the user of all processes has locked: none, once these are gone. */
export const lockedPages = ({ kernel }: Pick<IommufdHost, 'kernel'>): number => lockedByUser(kernel).lockedPages;
