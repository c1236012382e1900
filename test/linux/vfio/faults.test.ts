/**
 * No memory in the kernel, on the way of an mdev from `insmod` to its interrupts, and of a physical device in a container: each
 * allocation fails once, the call says -ENOMEM, the next one succeeds. What is left over when the processes are gone the host watches.
 */

import { expect, test } from 'vitest';
import { iova } from '../../../src/address.ts';
import { EINVAL, EIO, ENOMEM } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { vfio_pin_pages, vfio_unpin_pages } from '../../../src/linux/vfio/pin-pages.ts';
import { bootHost, cString, expectNothingLeft, type Host, int, typePath, UUID } from '../drivers/host.ts';
import { Faults, failEach } from '../faults.ts';
import { NAME } from '../pci/pci-host.ts';
import { bootDmaHost } from './dma-host.ts';
import { bootAssigned } from './pci/assigned.ts';

const DRIVERS = [
  ['mtty', 'mtty-1', ''],
  ['vmbuf', 'vmbuf-1', ''],
  ['vgpu', 'vgpu-V1', ''],
  ['vgpu', 'vgpu-V1', 'api=5.10'],
] as const;

const ioctlPast = (host: Host, fd: number, which: { number: number }, bytes: Uint8Array) => {
  host.memory.write(host.scratch, bytes);
  return host.syscalls.ioctl(fd, which.number, host.scratch);
};
const eventfdIrqs = (host: Host, device: number, index: number, fd: number) => {
  const head = uapi.vfio_irq_set.encode({ argsz: 24, flags: 0x24, index, start: 0, count: 1 });
  return ioctlPast(host, device, uapi.VFIO_DEVICE_SET_IRQS, Uint8Array.from([...head, ...int(fd)]));
};

test.each(DRIVERS)('%s is loaded', (driver, _type, parameters) => {
  const host = bootHost();
  const count = failEach(() => {
    host.syscalls.delete_module(driver);
    return { faults: new Faults(host.user, false), call: () => host.syscalls.init_module(driver, parameters) };
  });
  // The parent, and each of its types.
  expect(count).toBe(driver === 'mtty' ? 3 : 2);
  expectNothingLeft(host);
});

test.each(DRIVERS)('a device of %s is made (%s, %s)', (driver, type, parameters) => {
  const host = bootHost();
  host.syscalls.init_module(driver, parameters);
  const count = failEach(() => {
    host.echo(`/sys/bus/mdev/devices/${UUID}/remove`, '1');
    return { faults: new Faults(host.user, false), call: () => host.echo(`${typePath(driver, type)}/create`, UUID) };
  });
  // To open `create` and to write to it three; the mdev; the driver's state; a vfio_device of 5.10's bridge; two groups.
  expect(count).toBeGreaterThanOrEqual(3 + 1 + 2 + 3);
  expectNothingLeft(host);
});

test.each(DRIVERS)('a process has a device of %s (%s, %s)', (driver, type, parameters) => {
  const host = bootHost();
  host.syscalls.init_module(driver, parameters);
  host.echo(`${typePath(driver, type)}/create`, UUID);
  const node = `/dev/vfio/${String(host.syscalls.readlink(`/sys/bus/mdev/devices/${UUID}/iommu_group`))
    .split('/')
    .at(-1)}`;
  const faults = new Faults(host.user, false);
  let last: readonly number[] = [];
  /** All of it anew, up to a step; then that step. */
  const stage = (steps: number) => () => {
    for (const fd of [...last].reverse()) host.syscalls.close(fd);
    const fds: number[] = [];
    last = fds;
    const [group, container, device, eventfd] = [() => fds[0]!, () => fds[1]!, () => fds[2]!, () => fds[3]!];
    const opened = (fd: number) => {
      if (fd >= 0) fds.push(fd);
      return fd;
    };
    const map = { argsz: 32, flags: 3, iova: 0n, vaddr: BigInt(host.scratch), size: 0x10000n };
    const calls = [
      () => opened(host.open(node)),
      () => opened(host.open('/dev/vfio/vfio')),
      () => ioctlPast(host, group(), uapi.VFIO_GROUP_SET_CONTAINER, int(container())),
      () => host.ioctl(container(), uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU),
      () => opened(ioctlPast(host, group(), uapi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID))),
      () => host.ioctlStruct(container(), uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, map).result,
      () => host.ioctlStruct(container(), uapi.VFIO_IOMMU_GET_INFO, uapi.vfio_iommu_type1_info, { argsz: 256 }).result,
      () => host.ioctlStruct(device(), uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 20 }).result,
      () => opened(host.syscalls.eventfd(0, 0)),
      () => eventfdIrqs(host, device(), uapi.VFIO_PCI_INTX_IRQ_INDEX, eventfd()),
    ];
    for (const call of calls.slice(0, steps)) expect(call()).toBeGreaterThanOrEqual(0);
    return { faults, call: calls[steps]! };
  };
  // A group, a container, … of a file each; type1 and its group; the name, and the device's file; …
  expect(Array.from({ length: 10 }, (_, steps) => failEach(stage(steps)))).toEqual([1, 2, 0, 2, 2, 1, 2, 0, 2, 1]);
  expectNothingLeft(host);
});

test('a container with a physical device: a domain, its pages, and what is mapped in it', () => {
  const host = bootDmaHost();
  const { group } = host.addDevice('engine', 8);
  const faults = new Faults(host.user, true);
  // Its memory is there before the count begins.
  host.memory.write(host.scratch, new Uint8Array(0x10000));
  const { used } = host.kernel.pages;
  let fds: readonly number[] = [];
  const joined = () => {
    for (const fd of fds) host.syscalls.close(fd);
    expect(host.kernel.pages.used).toBe(used);
    const container = host.open('/dev/vfio/vfio');
    const groupFd = host.openGroup(group.id);
    fds = [groupFd, container];
    expect(host.join(groupFd, container)).toBe(0);
    return container;
  };
  const setIommu = (container: number) => host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  // vfio_iommu, its group, the domain; a domain without a page for its root is none, which Linux calls EIO.
  const results = [1, 2, 3, 4, 5].map((n) => {
    const container = joined();
    const { result } = faults.nth(n, () => setIommu(container));
    expect(setIommu(container)).toBe(result === 0 ? -EINVAL : 0);
    return result;
  });
  expect(results).toEqual([-ENOMEM, -ENOMEM, -ENOMEM, -EIO, 0]);
  const value = { argsz: 32, flags: 3, iova: 0n, vaddr: BigInt(host.scratch), size: 0x10000n };
  const count = failEach(() => {
    const container = joined();
    expect(setIommu(container)).toBe(0);
    const call = () =>
      host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, value).result;
    return { faults, call };
  });
  // The mapping, and the tables below the root.
  expect(count).toBe(1 + 3);
});

test('a driver pins pages: each is noted, or none is pinned', () => {
  const host = bootDmaHost();
  const { vfio } = host.addMediated('mdev', { dmaUnmap: () => {} });
  const { container, groups } = host.contain([vfio.group!.id]);
  expect(host.map(container, { size: 0x3000n })).toBe('0');
  expect(host.getDevice(groups[0]!, 'mdev')).toBeGreaterThan(0);
  const faults = new Faults(host.user, false);
  const pin = (first = 0) => {
    host.kernel.current = host.process;
    const frames = vfio_pin_pages(vfio, iova(first), 3, 3);
    return typeof frames === 'number' ? frames : frames.length;
  };
  for (const n of [1, 2, 3]) {
    expect(faults.nth(n, pin)).toEqual({ result: -ENOMEM, injected: true });
    expect([host.kernel.pages.pinned, host.process.mm.lockedPages]).toEqual([0, 0]);
  }
  expect(faults.nth(4, pin)).toEqual({ result: 3, injected: false });
  vfio_unpin_pages(vfio, iova(0), 3);
});

test('vfio-pci: its view of the configuration, its interrupts', () => {
  const host = bootAssigned();
  const faults = new Faults(host.user, false);
  const fd = host.eventfd();
  const { syscalls } = host;
  const count = failEach(() => {
    expect(host.setIrqs(uapi.VFIO_PCI_MSIX_IRQ_INDEX, 0x21, 0, 0)).toMatch(/0|EINVAL/);
    return { faults, call: () => eventfdIrqs(host, host.device, uapi.VFIO_PCI_MSIX_IRQ_INDEX, fd) };
  });
  expect(count).toBe(2);
  syscalls.close(host.device);
  const opened = failEach(() => ({
    faults,
    call: () => {
      const device = host.ioctlBytes(host.group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(NAME));
      if (device >= 0) syscalls.close(device);
      return device;
    },
  }));
  expect(opened).toBe(1 + 2 + 1);
});
