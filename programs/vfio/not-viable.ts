/** The same by hand: what the group says of itself, what it refuses, and what the device's own node refuses. */

import * as uapi from 'gvm/uapi';
import type { Program } from 'gvm/user';

const main: Program = ({ syscalls, memory }) => {
  const rights = uapi.PROT_READ | uapi.PROT_WRITE;
  const scratch = uapi.hva(syscalls.mmap(4096, rights, uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS, -1, 0));
  const call = (fd: number, ioctl: uapi.Ioctl, bytes: Uint8Array): number => {
    memory.write(scratch, bytes);
    return syscalls.ioctl(fd, ioctl.number, scratch);
  };
  const print = (line: string): void => {
    const at = uapi.hva(scratch + 2048);
    const bytes = new TextEncoder().encode(`${line}\n`);
    memory.write(at, bytes);
    syscalls.write(1, at, bytes.length);
  };
  const answer = (result: number) => (result < 0 ? uapi.errnoName(-result) : 'done');

  const [group, container] = [syscalls.open('/dev/vfio/0', uapi.O_RDWR), syscalls.open('/dev/vfio/vfio', uapi.O_RDWR)];
  call(group, uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status.encode({ argsz: uapi.vfio_group_status.size }));
  const status = memory.read(scratch, uapi.vfio_group_status.size);
  const { flags } = uapi.vfio_group_status.read(new DataView(status.buffer, status.byteOffset));
  print(`VFIO_GROUP_GET_STATUS: ${flags & uapi.VFIO_GROUP_FLAGS_VIABLE ? 'viable' : 'not viable'}`);
  const fd = new Uint8Array(Int32Array.of(container).buffer);
  print(`VFIO_GROUP_SET_CONTAINER: ${answer(call(group, uapi.VFIO_GROUP_SET_CONTAINER, fd))}`);
  syscalls.close(group);

  const node = syscalls.open('/dev/vfio/devices/vfio0', uapi.O_RDWR);
  const iommufd = syscalls.open('/dev/iommu', uapi.O_RDWR);
  const bind = uapi.vfio_device_bind_iommufd.encode({ argsz: uapi.vfio_device_bind_iommufd.size, iommufd });
  print(`VFIO_DEVICE_BIND_IOMMUFD: ${answer(call(node, uapi.VFIO_DEVICE_BIND_IOMMUFD, bind))}`);
  return 0;
};

export default main;
