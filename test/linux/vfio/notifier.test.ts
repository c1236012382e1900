/** The group notifier: who is told of the VM, and when; with a driver that only listens. */

import { beforeEach, describe, expect, test } from 'vitest';
import { iova, plus } from '../../../src/address.ts';
import { Device } from '../../../src/linux/core/device.ts';
import type { OpenFile } from '../../../src/linux/core/file.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { VfioDevice } from '../../../src/linux/vfio/device.ts';
import { vfio_dma_rw } from '../../../src/linux/vfio/dma.ts';
import { type VfioSymbols, vfioOf } from '../../../src/linux/vfio/init.ts';
import {
  VFIO_GROUP_NOTIFY,
  VFIO_GROUP_NOTIFY_SET_KVM,
  vfio_register_notifier,
  vfio_unregister_notifier,
} from '../../../src/linux/vfio/notifier.ts';
import { bootHost, cString, type Host, int, shown } from '../drivers/host.ts';

const vm = { name: 'a VM that VFIO knows nothing of' };
let host: Host;
let device: VfioDevice;
let group: number;
let container: number;
let seen: unknown[];
const notifier = { notify: (action: number, data: unknown) => void seen.push([action, data]) };
const register = (type = VFIO_GROUP_NOTIFY, events = VFIO_GROUP_NOTIFY_SET_KVM) =>
  shown(vfio_register_notifier(host.kernel, device, type, events, notifier));
const symbol = <K extends keyof VfioSymbols>(name: K) => host.kernel.symbols.get(name) as VfioSymbols[K];
const file = (fd: number) => host.process.files.get(fd) as OpenFile;
const setKvm = (kvm: object | undefined) => symbol('vfio_file_set_kvm')(file(group), kvm);
const open = () => host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString('listener'));

beforeEach(() => {
  host = bootHost();
  seen = [];
  const parent = new Device({ name: 'listener', class: 'listener' });
  host.kernel.devices.addClass('listener');
  host.kernel.devices.add(parent);
  device = new VfioDevice(host.kernel, 'listener', 'listener', {
    openDevice: () => {
      seen.push(['open', device.kvm]);
      return 0;
    },
    closeDevice: () => void seen.push(['close', device.kvm]),
  });
  vfioOf(host.kernel).register(parent, device);
  group = host.open('/dev/vfio/0');
  container = host.open('/dev/vfio/vfio');
});
const join = () => {
  host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
  host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
};

describe('exported symbols', () => {
  test('tell a group file from others', () => {
    const isGroup = symbol('vfio_file_is_valid');
    expect([isGroup(file(group)), isGroup(file(container)), isGroup(file(0))]).toEqual([true, false, false]);
  });

  test('a container of mdevs enforces coherency once its IOMMU is set', () => {
    const coherent = () => symbol('vfio_file_enforced_coherent')(file(group));
    expect(coherent()).toBe(true);
    host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
    expect(coherent()).toBe(false);
    host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
    expect(coherent()).toBe(true);
  });
});

describe('vfio_register_notifier', () => {
  test('is called at once if the group has a VM already', () => {
    join();
    setKvm(vm);
    expect(seen).toEqual([]);
    expect(register()).toBe('0');
    expect(seen).toEqual([[VFIO_GROUP_NOTIFY_SET_KVM, vm]]);
  });

  test('is called when the VM comes and when it goes, until it is unregistered', () => {
    join();
    expect(register()).toBe('0');
    expect(seen).toEqual([]);
    setKvm(vm);
    setKvm(undefined);
    expect(seen).toEqual([
      [VFIO_GROUP_NOTIFY_SET_KVM, vm],
      [VFIO_GROUP_NOTIFY_SET_KVM, undefined],
    ]);
    expect(shown(vfio_unregister_notifier(host.kernel, device, VFIO_GROUP_NOTIFY, notifier))).toBe('0');
    setKvm(vm);
    expect(seen).toHaveLength(2);
    expect(shown(vfio_unregister_notifier(host.kernel, device, VFIO_GROUP_NOTIFY, notifier))).toBe('-EINVAL');
  });

  test('refuses what is no event, no type, no container, no group, and twice', () => {
    expect(register()).toBe('-EINVAL');
    join();
    expect([register(VFIO_GROUP_NOTIFY, 0), register(VFIO_GROUP_NOTIFY, 3), register(7)]).toEqual([
      '-EINVAL',
      '-EINVAL',
      '-EINVAL',
    ]);
    expect([register(), register()]).toEqual(['0', '-EINVAL']);
    expect(shown(vfio_register_notifier(host.kernel, undefined, VFIO_GROUP_NOTIFY, 1, notifier))).toBe('-ENODEV');
  });
});

describe('device.kvm, the newer way', () => {
  test('is the VM as of the first open, before the driver is called, and nothing after the last close', () => {
    join();
    setKvm(vm);
    const [first, second] = [open(), open()];
    host.syscalls.close(first);
    host.syscalls.close(second);
    expect(seen).toEqual([
      ['open', vm],
      ['close', vm],
    ]);
    expect(device.kvm).toBe(undefined);
  });

  test('does not come to a device that is open already', () => {
    join();
    open();
    setKvm(vm);
    expect([seen, device.kvm]).toEqual([[['open', undefined]], undefined]);
  });
});

test('a driver without read, write, ioctl and mmap answers EINVAL', () => {
  join();
  const fd = open();
  expect([
    host.pread(fd, 0, 4),
    shown(host.pwrite(fd, 0, [1])),
    shown(host.ioctl(fd, uapi.VFIO_DEVICE_GET_INFO)),
    shown(host.syscalls.mmap(4096, 3, 1, fd, 0)),
  ]).toEqual(['-EINVAL', '-EINVAL', '-EINVAL', '-EINVAL']);
});

describe('vfio_dma_rw', () => {
  const data = () => Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const rw = (at: number, bytes: Uint8Array, write: boolean) => shown(vfio_dma_rw(device, iova(at), bytes, write));
  const map = (at: bigint, vaddr: number, flags: number) => {
    const shape = uapi.vfio_iommu_type1_dma_map;
    const value = { argsz: 32, flags, iova: at, vaddr: BigInt(vaddr), size: 0x1000n };
    expect(host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, shape, value).result).toBe(0);
  };

  test('copies across mappings, for the process that mapped and for threads of the kernel', () => {
    join();
    open();
    const [low, high] = [host.map(0x1000), host.map(0x1000)];
    map(0x5000n, high, 3);
    map(0x4000n, low, 3);
    // vfio_iommu_type1_dma_rw_chunk: a thread borrows the memory that another process does not get.
    const { current } = host.kernel;
    host.kernel.current = host.kernel.spawn('another', () => {}).process;
    expect([rw(0x4ffc, data(), true), rw(0x4ffc, data(), false)]).toEqual(['-EFAULT', '-EFAULT']);
    for (const who of [host.kernel.kthread('kworker/0:1'), host.process]) {
      host.kernel.current = who;
      expect(rw(0x4ffc, data(), true)).toBe('0');
    }
    host.kernel.current = current;
    expect([...host.memory.read(plus(low, 0xffc), 4), ...host.memory.read(high, 4)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const back = new Uint8Array(8);
    expect([rw(0x4ffc, back, false), [...back]]).toEqual(['0', [1, 2, 3, 4, 5, 6, 7, 8]]);
  });

  test('refuses what is not open, not mapped, not allowed, not there', () => {
    join();
    const memory = host.map(0x1000);
    map(0x4000n, memory, 3);
    expect(rw(0x4000, data(), false)).toBe('-EINVAL');
    open();
    map(0x6000n, memory, 1);
    map(0x7000n, memory, 2);
    map(0x8000n, 0x1000, 3);
    expect([
      rw(0x3000, data(), false),
      rw(0x4ffc, data(), false),
      rw(0x4000, new Uint8Array(0), false),
      rw(0x6000, data(), true),
      rw(0x7000, data(), false),
      rw(0x7000, data(), true),
      rw(0x8000, data(), false),
      rw(0x6000, data(), false),
    ]).toEqual(['-EINVAL', '-EINVAL', '-EINVAL', '-EPERM', '-EPERM', '-EPERM', '-EFAULT', '0']);
  });
});
