/** Two functions of one slot: their group and its viability; the reset of their bus; eventfds that write to registers. */

import { beforeEach, describe, expect, test } from 'vitest';
import { plugIn } from '../../../../src/cli/physical-devices.ts';
import { COPIER } from '../../../../src/hardware/devices/copier.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../../src/linux/uapi/vfio.ts';
import { bootHost, cString, int, region, shown } from '../../drivers/host.ts';
import { hostKeepsPages } from '../../leaks.ts';

const [FIRST, SECOND, ALONE, ROOT] = ['0000:06:0d.0', '0000:06:0d.1', '0000:07:00.0', '0000:00:05.0'] as const;
const path = (name: string) => `/sys/bus/pci/devices/${name}`;

function boot() {
  const host = bootHost();
  plugIn(
    host.kernel,
    [FIRST, SECOND, ALONE, ROOT].map((name) => `copier@${name.slice(5)}`),
  );
  host.syscalls.init_module('vfio_pci', '');
  hostKeepsPages(host.kernel);
  const give = (name: string) => {
    host.echo(`${path(name)}/driver_override`, 'vfio-pci');
    host.echo('/sys/bus/pci/drivers_probe', name);
  };
  const openGroup = (number: number) => {
    const group = host.open(`/dev/vfio/${number}`);
    const container = host.open('/dev/vfio/vfio');
    const joined = shown(host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container)));
    host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
    return { group, container, joined };
  };
  const openDevice = (group: number, name: string) =>
    host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(name));
  const status = (group: number) =>
    host.ioctlStruct(group, uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status, { argsz: 8 }).value.flags;
  /** GET_PCI_HOT_RESET_INFO with room for `room` devices. */
  const resetInfo = (device: number, room: number, argsz = 12 + 8 * room) => {
    const bytes = new Uint8Array(12 + 8 * room);
    bytes.set(uapi.vfio_pci_hot_reset_info.encode({ argsz }));
    const result = shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, bytes));
    const answer = host.memory.read(host.scratch, bytes.length);
    const view = new DataView(answer.buffer, answer.byteOffset);
    const { count, flags } = uapi.vfio_pci_hot_reset_info.read(view);
    const devices = Array.from({ length: Math.min(count, room) }, (_, i) =>
      uapi.vfio_pci_dependent_device.read(view, 12 + 8 * i),
    );
    return { result, count, devices, flags };
  };
  const hotReset = (device: number, groups: readonly number[], flags = 0, argsz = 12) => {
    const bytes = new Uint8Array(12 + 4 * groups.length);
    bytes.set(uapi.vfio_pci_hot_reset.encode({ argsz, flags, count: groups.length }));
    bytes.set(new Uint8Array(Int32Array.from(groups).buffer), 12);
    return shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_PCI_HOT_RESET, bytes));
  };
  return { ...host, give, openGroup, openDevice, status, resetInfo, hotReset };
}

let host: ReturnType<typeof boot>;
beforeEach(() => {
  host = boot();
});

describe('a group of two functions', () => {
  test('functions of a slot are in one group, slots apart', () => {
    const group = (name: string) =>
      String(host.syscalls.readlink(`${path(name)}/iommu_group`))
        .split('/')
        .at(-1);
    expect([FIRST, SECOND, ALONE].map(group)).toEqual(['0', '0', '1']);
  });

  test('is viable while the other function has no driver, or vfio-pci', () => {
    host.give(FIRST);
    const { group, joined } = host.openGroup(0);
    expect([joined, host.status(group)]).toEqual(['0', 3]);
    host.give(SECOND);
    expect(host.openDevice(group, SECOND)).toBeGreaterThan(0);
  });

  test('is not while a driver of the kernel has the other: flags 0, SET_CONTAINER is refused', () => {
    host.give(FIRST);
    host.kernel.iommuGroups.find(0)!.useDefaultDomain();
    const { group, joined } = host.openGroup(0);
    expect([joined, host.status(group)]).toEqual(['-EPERM', 0]);
    host.kernel.iommuGroups.find(0)!.unuseDefaultDomain();
    expect(host.status(group)).toBe(1);
  });

  test('a driver of the kernel gets no device of a group that user space owns', () => {
    host.give(FIRST);
    host.openGroup(0);
    expect(shown(host.kernel.iommuGroups.find(0)!.useDefaultDomain())).toBe('-EBUSY');
  });
});

describe('hot reset', () => {
  test('the info names every device of the bus; with too little room only how many', () => {
    host.give(FIRST);
    const device = host.openDevice(host.openGroup(0).group, FIRST);
    expect(host.resetInfo(device, 0)).toEqual({ result: '-ENOSPC', count: 2, devices: [], flags: 0 });
    expect(host.resetInfo(device, 2)).toEqual({
      result: '0',
      count: 2,
      devices: [
        { group_id: 0, segment: 0, bus: 6, devfn: 0x68 },
        { group_id: 0, segment: 0, bus: 6, devfn: 0x69 },
      ],
      flags: 0,
    });
    expect(host.resetInfo(device, 2, 8).result).toBe('-EINVAL');
  });

  test('resets all devices, and their configuration stays', () => {
    for (const name of [FIRST, SECOND]) host.give(name);
    const { group } = host.openGroup(0);
    const [first, second] = [host.openDevice(group, FIRST), host.openDevice(group, SECOND)];
    const length = region(0) + COPIER.LENGTH;
    const mapped = host.syscalls.mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED, second, 0);
    host.pwrite(second, length, [7, 0, 0, 0]);
    expect(host.pread(second, length, 4)).toEqual([7, 0, 0, 0]);
    expect(host.hotReset(first, [group])).toBe('0');
    expect(host.pread(second, length, 4)).toEqual([0, 0, 0, 0]);
    expect([...host.memory.read((mapped + COPIER.ID) as never, 4)]).toEqual([0x43, 0x4f, 0x50, 0x52]);
  });

  test('what it refuses', () => {
    host.give(FIRST);
    host.give(ALONE);
    const { group, container } = host.openGroup(0);
    const device = host.openDevice(group, FIRST);
    const other = host.openGroup(1);
    expect(host.hotReset(device, [group])).toBe('-EINVAL');
    expect(host.refusals.at(-1)).toBe(`${SECOND} is on the bus too, and not bound to vfio-pci`);
    host.give(SECOND);
    expect(host.hotReset(device, [other.group])).toBe('-EINVAL');
    expect(host.hotReset(device, [])).toBe('-EINVAL');
    expect(host.hotReset(device, [group, group, group])).toBe('-EINVAL');
    expect(host.hotReset(device, [99])).toBe('-EBADF');
    expect(host.hotReset(device, [container])).toBe('-EINVAL');
    expect(host.hotReset(device, [group], 1)).toBe('-EINVAL');
    expect(host.hotReset(device, [group], 0, 8)).toBe('-EINVAL');
  });

  test('by its own node a device says the numbers of an iommufd, which has to have the whole bus', () => {
    host.give(FIRST);
    host.give(ALONE);
    const iommufd = host.open('/dev/iommu');
    const bind = (node: string, fd = iommufd) => {
      const device = host.open(`/dev/vfio/devices/${node}`);
      const value = { argsz: uapi.vfio_device_bind_iommufd.size, iommufd: fd };
      host.ioctlStruct(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, uapi.vfio_device_bind_iommufd, value);
      return device;
    };
    const device = bind('vfio0');
    const numbers = () => {
      const { flags, devices } = host.resetInfo(device, 4);
      return [flags, ...devices.map(({ group_id: id }) => id)];
    };
    const [DEV_ID, OWNED] = [uapi.VFIO_PCI_HOT_RESET_FLAG_DEV_ID, uapi.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED];
    // The second function is not VFIO's; then it is nobody's, in a group of which a device is bound; then it is bound itself.
    expect(numbers()).toEqual([DEV_ID, 1, uapi.VFIO_PCI_DEVID_NOT_OWNED]);
    expect(host.hotReset(device, [])).toBe('-EINVAL');
    expect(host.refusals.at(-1)).toBe(`${SECOND} is on the bus too, and not of this iommufd`);
    host.give(SECOND);
    expect(numbers()).toEqual([DEV_ID | OWNED, 1, uapi.VFIO_PCI_DEVID_OWNED]);
    expect(host.hotReset(device, [])).toBe('0');
    bind('vfio2');
    expect(numbers()).toEqual([DEV_ID | OWNED, 1, 2]);
    expect([host.hotReset(device, []), host.hotReset(device, [host.open('/dev/vfio/1')])]).toEqual(['0', '-EINVAL']);
    expect(host.resetInfo(device, 1)).toMatchObject({ result: '-ENOSPC', count: 2, flags: DEV_ID | OWNED });
  });

  test('bus 0 has no bridge above it that could reset it', () => {
    host.give(ROOT);
    const { group } = host.openGroup(2);
    const device = host.openDevice(group, ROOT);
    expect([host.resetInfo(device, 4).result, host.hotReset(device, [group])]).toEqual(['-ENODEV', '-ENODEV']);
  });
});

describe('an eventfd that writes to a register', () => {
  const open = () => {
    host.give(FIRST);
    const device = host.openDevice(host.openGroup(0).group, FIRST);
    const set = (fd: number, offset: number, data: bigint, flags = 4) =>
      shown(
        host.ioctlStruct(device, uapi.VFIO_DEVICE_IOEVENTFD, uapi.vfio_device_ioeventfd, {
          argsz: 32,
          flags,
          offset: BigInt(offset),
          data,
          fd,
        }).result,
      );
    const signal = (fd: number) => {
      host.memory.write(host.scratch, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
      host.syscalls.write(fd, host.scratch, 8);
    };
    return { device, set, signal };
  };

  test('writes its value at each signal, until it is taken away or closed', () => {
    const { device, set, signal } = open();
    const fd = host.syscalls.eventfd(0, 0);
    expect(set(fd, COPIER.OFFSET, 0x1234n)).toBe('0');
    expect(set(fd, COPIER.MEMORY, 0x1122_3344_5566_7788n, 8)).toBe('0');
    signal(fd);
    expect(host.pread(device, COPIER.OFFSET, 4)).toEqual([0x34, 0x12, 0, 0]);
    expect(host.pread(device, COPIER.MEMORY, 8)).toEqual([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    expect(set(fd, COPIER.OFFSET, 0x1234n)).toBe('-EEXIST');
    expect([set(-1, COPIER.OFFSET, 0x1234n), set(-1, COPIER.OFFSET, 0x1234n)]).toEqual(['0', '-ENODEV']);
    host.pwrite(device, COPIER.OFFSET, [0, 0, 0, 0]);
    signal(fd);
    expect(host.pread(device, COPIER.OFFSET, 4)).toEqual([0, 0, 0, 0]);
    host.syscalls.close(fd);
    expect(set(-1, COPIER.MEMORY, 0x1122_3344_5566_7788n, 8)).toBe('-ENODEV');
  });

  test('what it refuses', () => {
    const { device, set } = open();
    const fd = host.syscalls.eventfd(0, 0);
    expect([set(fd, 0, 0n, 3), set(fd, 0, 0n, 0x14), set(-2, 0, 0n)]).toEqual(['-EINVAL', '-EINVAL', '-EINVAL']);
    expect([set(fd, region(7), 0n), set(fd, region(3), 0n)]).toEqual(['-EINVAL', '-EINVAL']);
    expect(set(fd, 0x1ffe, 0n)).toBe('-EINVAL');
    // The MSI-X table stands at the start of BAR 2.
    expect([set(fd, region(2), 0n), set(fd, region(2) + 0x100, 0n)]).toEqual(['-EINVAL', '0']);
    expect([set(99, 0, 0n), set(device, 0, 0n)]).toEqual(['-EBADF', '-EINVAL']);
    for (let value = 1; value < 1000; value++) set(fd, 8, BigInt(value));
    expect(set(fd, 8, 1000n)).toBe('-ENOSPC');
  });
});
