/**
 * Pages for a driver's own DMA: vfio_pin_pages and vfio_unpin_pages of Linux 6.1 (drivers/vfio/vfio_main.c, and
 * vfio_iommu_type1_pin_pages), and of 6.6 where the device is bound to an iommufd (iommufd_access_pin_pages). A mediated driver pins what it will reach, by I/O address, and unpins it when it is done or when
 * its `dmaUnmap` says that the mapping goes.
 */

import { type Hpa, type Iova, PAGE_SIZE } from '../../address.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../core/iommu.ts';
import { E2BIG, EACCES, EBUSY, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import type { VfioDevice } from './device.ts';
import type { DmaSpace } from './dma-space.ts';
import { vfioPinPages, vfioUnpinPages } from './events.ts';
import { pinPage, unpinPage } from './pinning.ts';

const TYPE1 = 'drivers/vfio/vfio_iommu_type1.c';

/** VFIO_PIN_PAGES_MAX_ENTRIES. */
export const MOST_PINNED_AT_ONCE = 512;

/**
 * Pin `count` pages from I/O address `iova` on; `rights` of IOMMU_READ and IOMMU_WRITE is what the mapping must allow. The
 * frames, or -EINVAL (no pages, not open, not mapped, the driver has no dmaUnmap), -E2BIG, -EACCES on type1 v1, -EPERM, -EFAULT,
 * -ENOMEM. All or none. An iommufd says -ENOENT where nothing is mapped, and has no limit at once.
 */
export function vfio_pin_pages(device: VfioDevice, iova: Iova, count: number, rights: number): readonly Hpa[] | number {
  const frames = pin(device, BigInt(iova), count, rights);
  if (vfioPinPages.on) {
    const result = typeof frames === 'number' ? frames : frames.length;
    vfioPinPages(device.kernel.stream, { device: device.name, iova: BigInt(iova), count, result });
  }
  return frames;
}

/**
 * Give back `count` pages from `iova` on, each of which {@link vfio_pin_pages} pinned by the same address (another in the page gives
 * nothing back); it stops at one that is not mapped, and the kernel warns. An iommufd takes back only what was pinned at once, all of it.
 */
export function vfio_unpin_pages(device: VfioDevice, iova: Iova, count: number): void {
  const { kernel } = device;
  const access = device.iommufd?.access;
  if (access !== undefined && count > 0) {
    access.unpin(pageOf(iova), BigInt(count * PAGE_SIZE));
    if (vfioUnpinPages.on) vfioUnpinPages(device.kernel.stream, { device: device.name, iova: BigInt(iova), count });
    return;
  }
  if (count <= 0 || count > MOST_PINNED_AT_ONCE || device.openCount === 0) {
    kernel.warn('drivers/vfio/vfio_main.c', 'vfio_unpin_pages', 'vfio');
    return;
  }
  const space = device.group?.iommu?.space;
  if (space === undefined) return;
  if (!space.v2 || unpin(space, BigInt(iova), count) < count)
    kernel.warn(TYPE1, 'vfio_iommu_type1_unpin_pages', 'vfio_iommu_type1');
  if (vfioUnpinPages.on) vfioUnpinPages(device.kernel.stream, { device: device.name, iova: BigInt(iova), count });
}

/** VFIO leaves it to the driver to find its bytes in the page. */
const pageOf = (iova: Iova): bigint => BigInt(iova - (iova % PAGE_SIZE));

function pin(device: VfioDevice, iova: bigint, count: number, rights: number): readonly Hpa[] | number {
  const { kernel, group } = device;
  if (count <= 0) return kernel.refuse(EINVAL, 'no pages to pin');
  const access = device.iommufd?.access;
  if (access !== undefined) {
    if (device.ops.dmaUnmap === undefined) return noUnmap(device);
    return access.pin(pageOf(Number(iova) as Iova), BigInt(count * PAGE_SIZE), (rights & IOMMU_WRITE) !== 0);
  }
  const iommu = group?.iommu;
  if (group === undefined || iommu === undefined || device.openCount === 0) {
    return kernel.refuse(EINVAL, `${device.name} is not open`);
  }
  if (count > MOST_PINNED_AT_ONCE) {
    return kernel.refuse(E2BIG, `${count} pages at once: ${MOST_PINNED_AT_ONCE} at most`);
  }
  const { space } = iommu;
  if (!space.v2) return kernel.refuse(EACCES, 'pages can be pinned in a container of type1 v2 only');
  if (space.lacksAddress) {
    kernel.warn(TYPE1, 'vfio_iommu_type1_pin_pages', 'vfio_iommu_type1');
    return kernel.refuse(EBUSY, 'a mapping has no address now (UNMAP_DMA with VADDR)');
  }
  if (space.listeners.size === 0) return noUnmap(device);
  const frames: Hpa[] = [];
  for (let i = 0; i < count; i++) {
    const frame = pinOne(space, iova + BigInt(i * PAGE_SIZE), rights);
    if (frame < 0) {
      unpin(space, iova, i);
      return frame;
    }
    frames.push(frame as Hpa);
  }
  iommu.pinsPages(group);
  return frames;
}

const noUnmap = ({ kernel, name }: VfioDevice): number =>
  kernel.refuse(EINVAL, `the driver of ${name} has no dma_unmap, which would tell it to unpin`);

function pinOne(space: DmaSpace, iova: bigint, rights: number): Hpa | number {
  const { kernel } = space;
  const at = `iova 0x${iova.toString(16)}`;
  const mapping = space.mappings.find(iova, iova + BigInt(PAGE_SIZE));
  if (mapping === undefined || mapping.iova > iova) return kernel.refuse(EINVAL, `${at} is not mapped`);
  const given = (mapping.readable ? IOMMU_READ : 0) | (mapping.writable ? IOMMU_WRITE : 0);
  if ((given & rights) !== rights) return kernel.refuse(EPERM, `the mapping of ${at} does not allow it`);
  const page = mapping.pageOf(iova);
  const held = mapping.pinAgain(iova);
  if (held !== undefined) return held;
  // With a domain the page is pinned and counted already, as every page of the mapping.
  const { name, pid } = mapping.process;
  const frame = pinPage(
    kernel,
    mapping,
    page,
    space.domain === undefined,
    (limit) => `vfio_pin_page_external: Task ${name} (${pid}) RLIMIT_MEMLOCK (${limit}) exceeded`,
  );
  if (frame < 0) return frame;
  if (!kernel.memory.contains(frame as Hpa)) {
    return kernel.refuse(EINVAL, `behind ${at} is a device, which has no page to pin`);
  }
  if (!kernel.kmalloc('struct vfio_pfn')) {
    unpinPage(kernel, mapping, page, frame as Hpa, space.domain === undefined);
    return -ENOMEM;
  }
  mapping.addPin(iova, frame as Hpa);
  mapping.markDirty(iova, PAGE_SIZE);
  return frame;
}

/** Up to the first page that is not mapped: how many. */
function unpin(space: DmaSpace, iova: bigint, count: number): number {
  for (let i = 0; i < count; i++) {
    const at = iova + BigInt(i * PAGE_SIZE);
    const mapping = space.mappings.find(at, at + BigInt(PAGE_SIZE));
    if (mapping === undefined || mapping.iova > at) return i;
    const frame = mapping.dropPin(at);
    if (frame !== undefined) unpinPage(space.kernel, mapping, mapping.pageOf(at), frame, space.domain === undefined);
  }
  return count;
}
