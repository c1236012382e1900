/**
 * Every refusal of VFIO that the interface has, by file and call, each provoked. A row is a call, the condition, and the errno that
 * Linux 6.1 answers (drivers/vfio/{vfio_main,container,vfio_iommu_type1}.c, pci/). The order is that of the kernel's checks.
 */

import { beforeEach, describe, expect, test } from 'vitest';
import { MAP_PRIVATE, MAP_SHARED, PROT_READ } from '../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { DMA_ENTRY_LIMIT } from '../../../src/linux/vfio/type1-map.ts';
import { int, region, shown, UUID } from '../drivers/host.ts';
import { bootRefusing, type RefusingHost } from './errno-host.ts';

const BAD_POINTER = 0x7000_0000_0000;
const [NONE, BOOL, EVENTFD] = [1, 2, 4] as const;
const [MASK, UNMASK, TRIGGER] = [8, 16, 32] as const;

type Row = readonly [call: string, condition: string, errno: string, act: (h: RefusingHost) => number];

const group: readonly Row[] = [
  ['open', 'the group is open already', 'EBUSY', (h) => [h.open('/dev/vfio/0'), h.open('/dev/vfio/0')][1]!],
  ['open', 'another process has it open', 'EBUSY', (h) => [h.other.open('/dev/vfio/0'), h.open('/dev/vfio/0')][1]!],
  ['open', 'no such group', 'ENOENT', (h) => h.open('/dev/vfio/9')],
  [
    'GET_STATUS',
    'argsz below 8',
    'EINVAL',
    (h) =>
      h.ioctlStruct(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status, { argsz: 4 }).result,
  ],
  [
    'GET_STATUS',
    'bad pointer',
    'EFAULT',
    (h) => h.ioctl(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_GET_STATUS, BAD_POINTER),
  ],
  [
    'GET_STATUS',
    'the group’s devices are gone',
    'ENODEV',
    (h) => {
      const fd = h.open('/dev/vfio/0');
      h.unbind();
      return h.ioctlStruct(fd, uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status, { argsz: 8 }).result;
    },
  ],
  [
    'SET_CONTAINER',
    'bad pointer',
    'EFAULT',
    (h) => h.ioctl(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_SET_CONTAINER, BAD_POINTER),
  ],
  [
    'SET_CONTAINER',
    'the descriptor is not open',
    'EBADF',
    (h) => h.ioctlBytes(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_SET_CONTAINER, int(99)),
  ],
  [
    'SET_CONTAINER',
    'the group has a container',
    'EINVAL',
    (h) => {
      const { group: fd, container } = h.join();
      return h.ioctlBytes(fd, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
    },
  ],
  [
    'SET_CONTAINER',
    'the descriptor is no container',
    'EINVAL',
    (h) => h.ioctlBytes(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_SET_CONTAINER, int(h.eventfd())),
  ],
  [
    'SET_CONTAINER',
    'the group’s devices are gone',
    'ENODEV',
    (h) => {
      const [fd, container] = [h.open('/dev/vfio/0'), h.open('/dev/vfio/vfio')];
      h.unbind();
      return h.ioctlBytes(fd, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
    },
  ],
  [
    'SET_CONTAINER',
    'a driver of the kernel owns the group’s DMA',
    'EPERM',
    (h) => {
      const iommuGroup = h.kernel.iommuGroups.find(0)!;
      iommuGroup.useDefaultDomain();
      const result = h.ioctlBytes(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_SET_CONTAINER, int(h.open('/dev/vfio/vfio')));
      iommuGroup.unuseDefaultDomain();
      return result;
    },
  ],
  [
    'SET_CONTAINER',
    'a mapping lies where the group’s IOMMU cannot map',
    'EINVAL',
    (h) => {
      const { container } = h.join(1);
      h.map(container, { iova: 0xfee0_0000n });
      return h.ioctlBytes(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_SET_CONTAINER, int(container));
    },
  ],
  [
    'UNSET_CONTAINER',
    'the group has none',
    'EINVAL',
    (h) => h.ioctl(h.open('/dev/vfio/0'), uapi.VFIO_GROUP_UNSET_CONTAINER),
  ],
  [
    'UNSET_CONTAINER',
    'a device is open',
    'EBUSY',
    (h) => {
      const { group: fd } = h.join();
      h.getDevice(fd);
      return h.ioctl(fd, uapi.VFIO_GROUP_UNSET_CONTAINER);
    },
  ],
  [
    'GET_DEVICE_FD',
    'bad pointer',
    'EFAULT',
    (h) => h.ioctl(h.join().group, uapi.VFIO_GROUP_GET_DEVICE_FD, BAD_POINTER),
  ],
  [
    'GET_DEVICE_FD',
    'a name without an end',
    'EINVAL',
    (h) => h.ioctlBytes(h.join().group, uapi.VFIO_GROUP_GET_DEVICE_FD, new Uint8Array(8192).fill(0x61)),
  ],
  [
    'GET_DEVICE_FD',
    'no such device in the group, although there is no container',
    'ENODEV',
    (h) => h.getDevice(h.open('/dev/vfio/0'), UUID),
  ],
  ['GET_DEVICE_FD', 'no container', 'EINVAL', (h) => h.getDevice(h.open('/dev/vfio/0'))],
  ['GET_DEVICE_FD', 'a container without an IOMMU', 'EINVAL', (h) => h.getDevice(h.join(0, 99).group)],
  ['other ioctl', 'not of a group', 'ENOTTY', (h) => h.ioctl(h.open('/dev/vfio/0'), uapi.VFIO_SET_IOMMU, 3)],
];

const container: readonly Row[] = [
  ['SET_IOMMU', 'no group', 'EINVAL', (h) => h.ioctl(h.open('/dev/vfio/vfio'), uapi.VFIO_SET_IOMMU, 3)],
  ['SET_IOMMU', 'one is set', 'EINVAL', (h) => h.ioctl(h.join().container, uapi.VFIO_SET_IOMMU, 3)],
  [
    'SET_IOMMU',
    'no backend knows the type',
    'ENODEV',
    (h) => h.ioctl(h.join(0, 99).container, uapi.VFIO_SET_IOMMU, 99),
  ],
  [
    'SET_IOMMU',
    'an extension that is no type',
    'EINVAL',
    (h) => h.ioctl(h.join(0, 99).container, uapi.VFIO_SET_IOMMU, uapi.VFIO_UNMAP_ALL),
  ],
  ['other ioctl', 'before SET_IOMMU', 'EINVAL', (h) => h.map(h.open('/dev/vfio/vfio'))],
  ['other ioctl', 'that the backend has not', 'ENOTTY', (h) => h.ioctl(h.join().container, uapi.VFIO_IOMMU_ENABLE)],
  ['read', 'a container has none', 'EINVAL', (h) => h.syscalls.read(h.open('/dev/vfio/vfio'), h.scratch, 4)],
  [
    'mmap',
    'a container has none',
    'ENODEV',
    (h) => h.syscalls.mmap(4096, PROT_READ, MAP_SHARED, h.open('/dev/vfio/vfio'), 0),
  ],
];

const mapping: readonly Row[] = [
  ['MAP_DMA', 'bad pointer', 'EFAULT', (h) => h.ioctl(h.join().container, uapi.VFIO_IOMMU_MAP_DMA, BAD_POINTER)],
  ['MAP_DMA', 'argsz below 32', 'EINVAL', (h) => h.map(h.join().container, { argsz: 28 })],
  ['MAP_DMA', 'an unknown flag', 'EINVAL', (h) => h.map(h.join().container, { flags: 9 })],
  ['MAP_DMA', 'neither READ nor WRITE nor VADDR', 'EINVAL', (h) => h.map(h.join().container, { flags: 0 })],
  ['MAP_DMA', 'VADDR with READ', 'EINVAL', (h) => h.map(h.join().container, { flags: 5 })],
  ['MAP_DMA', 'size 0', 'EINVAL', (h) => h.map(h.join().container, { size: 0n })],
  ['MAP_DMA', 'a size that is no multiple of a page', 'EINVAL', (h) => h.map(h.join().container, { size: 0x800n })],
  ['MAP_DMA', 'an iova inside a page', 'EINVAL', (h) => h.map(h.join().container, { iova: 0x800n })],
  ['MAP_DMA', 'a vaddr inside a page', 'EINVAL', (h) => h.map(h.join().container, { vaddr: BigInt(h.scratch) + 8n })],
  [
    'MAP_DMA',
    'the iova wraps',
    'EINVAL',
    (h) => h.map(h.join().container, { iova: (1n << 64n) - 0x1000n, size: 0x2000n }),
  ],
  [
    'MAP_DMA',
    'the vaddr wraps',
    'EINVAL',
    (h) => h.map(h.join().container, { vaddr: (1n << 64n) - 0x1000n, size: 0x2000n }),
  ],
  ['MAP_DMA', 'VADDR of what is not mapped', 'ENOENT', (h) => h.map(h.join().container, { flags: 4 })],
  [
    'MAP_DMA',
    'VADDR of what was not invalidated',
    'EINVAL',
    (h) => {
      const { container: fd } = h.join();
      h.map(fd);
      return h.map(fd, { flags: 4 });
    },
  ],
  [
    'MAP_DMA',
    'it overlaps a mapping',
    'EEXIST',
    (h) => {
      const { container: fd } = h.join();
      h.map(fd);
      return h.map(fd);
    },
  ],
  [
    'MAP_DMA',
    'dma_entry_limit is reached',
    'ENOSPC',
    (h) => {
      const { container: fd } = h.join(1);
      for (let i = 0; i < DMA_ENTRY_LIMIT; i++) h.map(fd, { iova: BigInt(i) * 0x1000n });
      return h.map(fd, { iova: BigInt(DMA_ENTRY_LIMIT) * 0x1000n });
    },
  ],
  ['MAP_DMA', 'a reserved iova', 'EINVAL', (h) => h.map(h.join().container, { iova: 0xfee0_0000n })],
  ['MAP_DMA', 'an iova beyond the aperture', 'EINVAL', (h) => h.map(h.join().container, { iova: 1n << 48n })],
  [
    'MAP_DMA',
    'RLIMIT_MEMLOCK',
    'ENOMEM',
    (h) => {
      h.process.mayLockMemory = false;
      h.process.lockLimit = 4096;
      return h.map(h.join().container, { size: 0x2000n });
    },
  ],
  ['MAP_DMA', 'memory of nobody', 'EFAULT', (h) => h.map(h.join().container, { vaddr: 0x10_0000n })],
  ['UNMAP_DMA', 'argsz below 24', 'EINVAL', (h) => h.unmap(h.join().container, { argsz: 16 })],
  ['UNMAP_DMA', 'an unknown flag', 'EINVAL', (h) => h.unmap(h.join().container, { flags: 8 })],
  ['UNMAP_DMA', 'GET_DIRTY_BITMAP with ALL', 'EINVAL', (h) => h.unmap(h.join().container, { flags: 3 })],
  ['UNMAP_DMA', 'ALL with a range', 'EINVAL', (h) => h.unmap(h.join().container, { flags: 2 })],
  ['UNMAP_DMA', 'an iova inside a page', 'EINVAL', (h) => h.unmap(h.join().container, { iova: 8n })],
  ['UNMAP_DMA', 'size 0', 'EINVAL', (h) => h.unmap(h.join().container, { size: 0n })],
  [
    'UNMAP_DMA',
    'it wraps',
    'EINVAL',
    (h) => h.unmap(h.join().container, { iova: (1n << 64n) - 0x1000n, size: 0x2000n }),
  ],
  [
    'UNMAP_DMA',
    'it cuts a mapping (v2)',
    'EINVAL',
    (h) => {
      const { container: fd } = h.join();
      h.map(fd, { size: 0x2000n });
      return h.unmap(fd);
    },
  ],
  ['UNMAP_DMA', 'VADDR with an mdev', 'EBUSY', (h) => h.unmap(h.join(1).container, { flags: 4 })],
  [
    'GET_INFO',
    'argsz below 16',
    'EINVAL',
    (h) =>
      h.ioctlStruct(h.join().container, uapi.VFIO_IOMMU_GET_INFO, uapi.vfio_iommu_type1_info, { argsz: 12 }).result,
  ],
  ['GET_INFO', 'bad pointer', 'EFAULT', (h) => h.ioctl(h.join().container, uapi.VFIO_IOMMU_GET_INFO, BAD_POINTER)],
];

const device: readonly Row[] = [
  [
    'GET_INFO',
    'argsz below 16',
    'EINVAL',
    (h) => h.ioctlStruct(h.device(), uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 12 }).result,
  ],
  ['GET_INFO', 'bad pointer', 'EFAULT', (h) => h.ioctl(h.device(), uapi.VFIO_DEVICE_GET_INFO, BAD_POINTER)],
  ['GET_REGION_INFO', 'argsz below 32', 'EINVAL', (h) => h.regionInfo(h.device(), 0, 24)],
  ['GET_REGION_INFO', 'VGA without VGA', 'EINVAL', (h) => h.regionInfo(h.device(), 8)],
  ['GET_REGION_INFO', 'an index beyond the last', 'EINVAL', (h) => h.regionInfo(h.device(), 9)],
  ['GET_IRQ_INFO', 'argsz below 16', 'EINVAL', (h) => h.irqInfo(h.device(), 0, 12)],
  ['GET_IRQ_INFO', 'ERR of a device that is not PCI Express', 'EINVAL', (h) => h.irqInfo(h.device(), 3)],
  ['GET_IRQ_INFO', 'an index beyond the last', 'EINVAL', (h) => h.irqInfo(h.device(), 5)],
  [
    'RESET',
    'a device that cannot',
    'ENOTTY',
    (h) => h.ioctl(h.device(1, UUID), uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO),
  ],
  ['read', 'a region that is not there', 'EINVAL', (h) => h.read(h.device(), region(9))],
  ['read', 'an absent BAR', 'EINVAL', (h) => h.read(h.device(), region(4))],
  ['read', 'beyond a BAR', 'EINVAL', (h) => h.read(h.device(), region(0) + 0x2000)],
  [
    'read',
    'a BAR while memory decoding is off',
    'EIO',
    (h) => {
      const fd = h.device();
      h.pwrite(fd, region(7) + 4, [0, 0]);
      return h.read(fd, region(0));
    },
  ],
  ['read', 'configuration beyond its end', 'EFAULT', (h) => h.read(h.device(), region(7) + 254)],
  ['read', 'into memory of nobody', 'EFAULT', (h) => h.syscalls.pread(h.device(), BAD_POINTER as never, 4, region(0))],
  ['write', 'the ROM', 'EINVAL', (h) => h.pwrite(h.device(), region(6), [0])],
  ['mmap', 'configuration', 'EINVAL', (h) => h.syscalls.mmap(4096, PROT_READ, MAP_SHARED, h.device(), region(7))],
  ['mmap', 'private', 'EINVAL', (h) => h.syscalls.mmap(4096, PROT_READ, MAP_PRIVATE, h.device(), 0)],
  ['mmap', 'ports', 'EINVAL', (h) => h.syscalls.mmap(4096, PROT_READ, MAP_SHARED, h.device(), region(1))],
  ['mmap', 'beyond the BAR', 'EINVAL', (h) => h.syscalls.mmap(0x3000, PROT_READ, MAP_SHARED, h.device(), 0)],
  ['other ioctl', 'not of a device', 'ENOTTY', (h) => h.ioctl(h.device(), uapi.VFIO_SET_IOMMU, 3)],
  [
    'FEATURE',
    'that the device has not',
    'ENOTTY',
    (h) =>
      h.ioctlStruct(h.device(), uapi.VFIO_DEVICE_FEATURE, uapi.vfio_device_feature, { argsz: 8, flags: 0x1_0000 })
        .result,
  ],
  ['FEATURE', 'GET of what can be SET', 'EINVAL', (h) => feature(h, LOW_POWER_EXIT | GET)],
  ['FEATURE', 'neither GET, SET nor PROBE', 'EINVAL', (h) => feature(h, LOW_POWER_EXIT)],
  [
    'FEATURE',
    'LOW_POWER_ENTRY twice',
    'EINVAL',
    (h) => {
      const device = h.device();
      return [feature(h, LOW_POWER_ENTRY | SET, [], device), feature(h, LOW_POWER_ENTRY | SET, [], device)][1]!;
    },
  ],
  ['FEATURE', 'a wake-up without its data', 'EINVAL', (h) => feature(h, WITH_WAKEUP | SET)],
  ['FEATURE', 'a wake-up by no descriptor', 'EINVAL', (h) => feature(h, WITH_WAKEUP | SET, [-1, 0])],
  ['FEATURE', 'a wake-up by a descriptor that is not open', 'EBADF', (h) => feature(h, WITH_WAKEUP | SET, [99, 0])],
];

/** VFIO_DEVICE_FEATURE with words of data. */
function feature(h: RefusingHost, flags: number, data: readonly number[] = [], device = h.device()): number {
  const bytes = new Uint8Array(8 + 4 * data.length);
  bytes.set(uapi.vfio_device_feature.encode({ argsz: bytes.length, flags }));
  bytes.set(new Uint8Array(Int32Array.from(data).buffer), 8);
  return h.ioctlBytes(device, uapi.VFIO_DEVICE_FEATURE, bytes);
}
const {
  VFIO_DEVICE_FEATURE_GET: GET,
  VFIO_DEVICE_FEATURE_SET: SET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: LOW_POWER_EXIT,
} = uapi;

const interrupts: readonly Row[] = [
  ['SET_IRQS', 'argsz below 20', 'EINVAL', (h) => h.irqs(h.device(), 0, NONE | TRIGGER, 0, 1, [], 16)],
  ['SET_IRQS', 'an index beyond the last', 'EINVAL', (h) => h.irqs(h.device(), 5, NONE | TRIGGER, 0, 1)],
  ['SET_IRQS', 'start and count overflow', 'EINVAL', (h) => h.irqs(h.device(), 0, NONE | TRIGGER, 2, 0xffff_fffe)],
  ['SET_IRQS', 'an unknown flag', 'EINVAL', (h) => h.irqs(h.device(), 0, 64 | NONE | TRIGGER, 0, 1)],
  ['SET_IRQS', 'more interrupts than there are', 'EINVAL', (h) => h.irqs(h.device(), 0, NONE | TRIGGER, 0, 2)],
  [
    'SET_IRQS',
    'a start beyond the last, and nothing asked',
    'EINVAL',
    (h) => h.irqs(h.device(), 0, NONE | TRIGGER, 1, 0),
  ],
  ['SET_IRQS', 'two kinds of data', 'EINVAL', (h) => h.irqs(h.device(), 0, NONE | BOOL | TRIGGER, 0, 1, [1])],
  [
    'SET_IRQS',
    'less data than argsz must have',
    'EINVAL',
    (h) => h.irqs(h.device(), 0, EVENTFD | TRIGGER, 0, 1, [3], 20),
  ],
  [
    'SET_IRQS',
    'data in memory of nobody',
    'EFAULT',
    (h) => h.ioctl(h.device(), uapi.VFIO_DEVICE_SET_IRQS, BAD_POINTER),
  ],
  [
    'SET_IRQS',
    'INTx masked by an eventfd',
    'ENOTTY',
    (h) => {
      const fd = h.device();
      h.irqs(fd, 0, EVENTFD | TRIGGER, 0, 1, [h.eventfd()]);
      return h.irqs(fd, 0, EVENTFD | MASK, 0, 1, [h.eventfd()]);
    },
  ],
  [
    'SET_IRQS',
    'a second eventfd that unmasks',
    'EBUSY',
    (h) => {
      const fd = h.device();
      h.irqs(fd, 0, EVENTFD | TRIGGER, 0, 1, [h.eventfd()]);
      h.irqs(fd, 0, EVENTFD | UNMASK, 0, 1, [h.eventfd()]);
      return h.irqs(fd, 0, EVENTFD | UNMASK, 0, 1, [h.eventfd()]);
    },
  ],
  ['SET_IRQS', 'INTx signalled while it is off', 'EINVAL', (h) => h.irqs(h.device(), 0, NONE | TRIGGER, 0, 1)],
  [
    'SET_IRQS',
    'MSI while INTx is on',
    'EINVAL',
    (h) => {
      const fd = h.device();
      h.irqs(fd, 0, EVENTFD | TRIGGER, 0, 1, [h.eventfd()]);
      return h.irqs(fd, 1, EVENTFD | TRIGGER, 0, 1, [h.eventfd()]);
    },
  ],
  ['SET_IRQS', 'MSI-X masked', 'ENOTTY', (h) => h.irqs(h.device(), 2, NONE | MASK, 0, 1)],
  ['SET_IRQS', 'a descriptor that is not open', 'EBADF', (h) => h.irqs(h.device(), 2, EVENTFD | TRIGGER, 0, 1, [99])],
  [
    'SET_IRQS',
    'a descriptor of something else',
    'EINVAL',
    (h) => h.irqs(h.device(), 2, EVENTFD | TRIGGER, 0, 1, [h.open('/dev/vfio/vfio')]),
  ],
];

describe.each([
  ['group', group],
  ['container', container],
  ['type1', mapping],
  ['device', device],
  ['interrupts', interrupts],
])('%s', (_, rows) => {
  let host: RefusingHost;
  beforeEach(() => {
    host = bootRefusing();
  });
  // Nothing that failed, or went before a failure, may stay behind.

  // The limit of mappings takes 65536 calls to reach.
  test.each(rows)('%s: %s: %s', { timeout: 60_000 }, (_call, _condition, errno, act) => {
    expect(shown(act(host))).toBe(`-${errno}`);
    expect(host.refusals, 'the rule that was broken').not.toEqual([]);
  });
});
