/**
 * What VFIO and mdev refuse, and when: each call below breaks one rule. `--explain` tells which.
 *
 * gvm: --explain
 * host: modprobe mtty
 */

import * as uapi from 'gvm/uapi';
import type { Program } from 'gvm/user';

const TYPES = '/sys/class/mdev_bus/mtty/mdev_supported_types';
const DEVICES = '/sys/bus/mdev/devices';
const uuid = (n: number): string => `83b8f4f2-509f-382f-3c1e-e6bfe0fa1${n.toString().padStart(3, '0')}`;
const int = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

const main: Program = ({ syscalls, memory }) => {
  const flags = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS;
  const scratch = uapi.hva(syscalls.mmap(uapi.PAGE_SIZE, uapi.PROT_READ | uapi.PROT_WRITE, flags, -1, 0));
  const put = (bytes: Uint8Array) => {
    memory.write(scratch, bytes);
    return scratch;
  };
  const text = (line: string) => put(new TextEncoder().encode(`${line}\0`));
  const say = (line: string): void => {
    const bytes = new TextEncoder().encode(`${line}\n`);
    syscalls.write(1, put(bytes), bytes.length);
  };
  /** What a call returned, in words. */
  const show = (what: string, result: number): number => {
    say(`${what}: ${result < 0 ? `${uapi.errnoName(-result)}, ${uapi.strerror(-result)}` : 'done'}`);
    return result;
  };
  const write = (path: string, line: string): number => {
    const fd = syscalls.open(path, uapi.O_WRONLY);
    if (fd < 0) return fd;
    const result = syscalls.write(fd, text(line), line.length);
    syscalls.close(fd);
    return result;
  };
  const create = (what: string, line: string, type = 'mtty-1') => show(what, write(`${TYPES}/${type}/create`, line));
  const ioctl = (what: string, fd: number, request: uapi.Ioctl, argument = 0) =>
    show(`${request.name}, ${what}`, syscalls.ioctl(fd, request.number, argument));

  say('-- making a device');
  create('a UUID of four digits', '1234\n');
  create('a UUID with a dash too few', `${uuid(1).replace('-', '0')}\n`);
  create('a UUID', `${uuid(1)}\n`);
  create('the same UUID, in capitals, as another type', `${uuid(1).toUpperCase()}\n`, 'mtty-2');
  for (let n = 2; n <= 24; n++) write(`${TYPES}/mtty-1/create`, uuid(n));
  create('the 25th of 24 ports', `${uuid(25)}\n`);
  show('a type that there is not', syscalls.open(`${TYPES}/mtty-3/create`, uapi.O_WRONLY));
  show('reading create', syscalls.open(`${TYPES}/mtty-1/create`, uapi.O_RDONLY));

  say('-- the group and its container');
  const container = syscalls.open('/dev/vfio/vfio', uapi.O_RDWR);
  const group = syscalls.open('/dev/vfio/0', uapi.O_RDWR);
  show('a second open of the group', syscalls.open('/dev/vfio/0', uapi.O_RDWR));
  ioctl('before a group has joined', container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  ioctl('of the group itself', group, uapi.VFIO_GROUP_SET_CONTAINER, put(int(group)));
  ioctl('without a container', group, uapi.VFIO_GROUP_GET_DEVICE_FD, text(uuid(1)));
  ioctl('at last', group, uapi.VFIO_GROUP_SET_CONTAINER, put(int(container)));
  ioctl('again', group, uapi.VFIO_GROUP_SET_CONTAINER, put(int(container)));
  ioctl('without an IOMMU set', group, uapi.VFIO_GROUP_GET_DEVICE_FD, text(uuid(1)));
  ioctl('a type that no backend has', container, uapi.VFIO_SET_IOMMU, uapi.VFIO_SPAPR_TCE_v2_IOMMU);
  ioctl('type1 v2', container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  ioctl('type1 after that', container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1_IOMMU);
  ioctl('a device of another group', group, uapi.VFIO_GROUP_GET_DEVICE_FD, text(uuid(2)));
  const device = ioctl('a device of this one', group, uapi.VFIO_GROUP_GET_DEVICE_FD, text(uuid(1)));
  ioctl('while its device is open', group, uapi.VFIO_GROUP_UNSET_CONTAINER);

  say('-- mappings');
  const map = (what: string, iova: number, size: number): void => {
    const bytes = uapi.vfio_iommu_type1_dma_map.encode({
      argsz: uapi.vfio_iommu_type1_dma_map.size,
      flags: uapi.VFIO_DMA_MAP_FLAG_READ,
      vaddr: BigInt(scratch),
      iova: BigInt(iova),
      size: BigInt(size),
    });
    ioctl(what, container, uapi.VFIO_IOMMU_MAP_DMA, put(bytes));
  };
  map('half a page', 0, 2048);
  map('a page', 0, uapi.PAGE_SIZE);
  map('the same page', 0, uapi.PAGE_SIZE);

  say('-- the device');
  const position = (region: number) => region * 2 ** uapi.VFIO_PCI_OFFSET_SHIFT;
  ioctl('before anybody asked for the number of interrupts', device, uapi.VFIO_DEVICE_GET_IRQ_INFO, irqInfo(0));
  show('a read of the ROM, which it has not', syscalls.pread(device, scratch, 4, position(6)));
  show('mmap of BAR 0', syscalls.mmap(uapi.PAGE_SIZE, uapi.PROT_READ, uapi.MAP_SHARED, device, 0));
  show('rmmod of its driver', syscalls.delete_module('mtty'));

  say('-- removing it while it is open');
  show('remove', write(`${DEVICES}/${uuid(1)}/remove`, '1\n'));
  show('it is on the bus', syscalls.open(`${DEVICES}/${uuid(1)}/remove`, uapi.O_WRONLY));
  create('its UUID again', `${uuid(1)}\n`);
  ioctl('another file of it', group, uapi.VFIO_GROUP_GET_DEVICE_FD, text(uuid(1)));
  show('a read of its BAR', syscalls.pread(device, scratch, 1, 0));
  syscalls.close(device);
  ioctl('after the last close', group, uapi.VFIO_GROUP_GET_STATUS, groupStatus());
  show('opening the group', syscalls.open('/dev/vfio/0', uapi.O_RDWR));
  create('its UUID, now', `${uuid(1)}\n`);
  return 0;

  function irqInfo(index: number) {
    return put(uapi.vfio_irq_info.encode({ argsz: uapi.vfio_irq_info.size, index }));
  }

  function groupStatus() {
    return put(uapi.vfio_group_status.encode({ argsz: uapi.vfio_group_status.size }));
  }
};

export default main;
