/** A host with an IOMMU and devices that do nothing but DMA, and the calls by which a process maps memory for them. */

import { expect } from 'vitest';
import { Iommu } from '../../../src/hardware/iommu.ts';
import { Device } from '../../../src/linux/core/device.ts';
import type { IommuGroup } from '../../../src/linux/core/iommu-group.ts';
import { IntelIommu } from '../../../src/linux/iommu/intel.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { VfioDevice, type VfioDeviceOps } from '../../../src/linux/vfio/device.ts';
import { vfioOf } from '../../../src/linux/vfio/init.ts';
import { bootHost, cString, int, shown } from '../drivers/host.ts';
import { hostKeepsPages } from '../leaks.ts';

export const PAGE = 0x1000n;
/** A mapping of one page at iova 0, for reading and writing. */
type MapFields = Partial<Record<'flags' | 'argsz', number> & Record<'iova' | 'vaddr' | 'size', bigint>>;

export function bootDmaHost() {
  const host = bootHost();
  const { kernel } = host;
  const unit = new Iommu(kernel.memory, kernel.stream);
  const iommu = new IntelIommu(kernel, unit);
  kernel.devices.addClass('dma');
  hostKeepsPages(kernel);
  /** A device that emits `source`, given to VFIO; alone in its group unless `group` is given. */
  const addDevice = (name: string, source: number, group?: IommuGroup, ops: VfioDeviceOps = {}) => {
    const device = new Device({ name, class: 'dma' });
    kernel.devices.add(device);
    const joined = iommu.probe(device, source, group);
    const vfio = new VfioDevice(kernel, name, 'dma', ops);
    vfioOf(kernel).registerGroupDevice(device, vfio);
    hostKeepsPages(kernel);
    return { device, group: joined, vfio, source };
  };
  /** A mediated device: VFIO gives it a group that no IOMMU stands before. */
  const addMediated = (name: string, ops: VfioDeviceOps = {}) => {
    const device = new Device({ name, class: 'dma' });
    kernel.devices.add(device);
    const vfio = new VfioDevice(kernel, name, 'dma', ops);
    vfioOf(kernel).register(device, vfio);
    return { device, vfio };
  };
  /** The driver lets go of a device; `then` runs when VFIO has. */
  const unregister = (vfio: VfioDevice, then: () => void) => vfioOf(kernel).unregister(vfio, then);
  const openGroup = (id: number) => host.open(`/dev/vfio/${id}`);
  const join = (group: number, container: number) =>
    host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
  /** The container of the groups, with type1 set, and the groups' descriptors. */
  const contain = (ids: readonly number[], type = uapi.VFIO_TYPE1v2_IOMMU) => {
    const container = host.open('/dev/vfio/vfio');
    const groups = ids.map(openGroup);
    for (const group of groups) expect(join(group, container)).toBe(0);
    expect(host.ioctl(container, uapi.VFIO_SET_IOMMU, type)).toBe(0);
    return { container, groups };
  };
  /** 64 KiB of the process's memory, its pages touched. */
  const buffer = host.map(0x10000);
  const map = (container: number, fields: MapFields = {}) => {
    const value = { argsz: 32, flags: 3, iova: 0n, vaddr: BigInt(buffer), size: PAGE, ...fields };
    return shown(host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, value).result);
  };
  const unmap = (container: number, iova: bigint, size: bigint, flags = 0) => {
    const shape = uapi.vfio_iommu_type1_dma_unmap;
    const value = { argsz: 24, flags, iova, size };
    const answer = host.ioctlStruct(container, uapi.VFIO_IOMMU_UNMAP_DMA, shape, value);
    return [shown(answer.result), answer.value.size];
  };
  const getDevice = (group: number, name: string) =>
    host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(name));
  return {
    ...host,
    unit,
    iommu,
    addDevice,
    addMediated,
    unregister,
    openGroup,
    join,
    contain,
    buffer,
    map,
    unmap,
    getDevice,
  };
}

export type DmaHost = ReturnType<typeof bootDmaHost>;
