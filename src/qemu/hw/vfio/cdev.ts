/**
 * Devices by their own nodes: from the name to a device that reaches the guest's memory through an iommufd (hw/vfio/iommufd.c of
 * QEMU 9.0: iommufd_cdev_attach, iommufd_cdev_detach). The order of calls is QEMU's.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { O_CLOEXEC, O_RDONLY, O_RDWR } from '../../../linux/uapi/syscalls.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../../../linux/uapi/vfio.ts';
import type { IommufdBackend } from '../../backends/iommufd.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import type { Machine } from '../machine.ts';
import {
  iommufdCdevAllocIoas,
  iommufdCdevAttachIoasHwpt,
  iommufdCdevConnectAndBind,
  iommufdCdevDetachIoasHwpt,
  iommufdCdevDeviceInfo,
  iommufdCdevFailAttachExistingContainer,
  iommufdCdevGetfd,
} from './cdev-trace-events.ts';
import { VfioDevice } from './device.ts';
import { VfioDmaListener } from './dma-listener.ts';
import type { HostDevice } from './host-device.ts';

/** Longest line of sysfs that is read. */
const LINE = 4096;

/** The guest's memory as an I/O address space, and the devices that have it. */
interface CdevContainer {
  readonly backend: IommufdBackend;
  readonly ioas: number;
  readonly devices: Set<number>;
  readonly listener: VfioDmaListener;
}

const containersOf = new WeakMap<Machine, CdevContainer[]>();

/** iommufd_cdev_attach. */
export function attachCdev(machine: Machine, host: HostDevice, backend: IommufdBackend): VfioDevice {
  const { system } = machine;
  const fd = openNode(system, host);
  try {
    bind(machine, host.name, fd, backend);
  } catch (error) {
    system.syscalls.close(fd);
    throw error;
  }
  try {
    joinContainer(machine, host.name, fd, backend);
    const device = new VfioDevice(system, host.name, fd);
    if (iommufdCdevDeviceInfo.on) {
      const { flags, regionCount: regions, irqCount: irqs } = device;
      iommufdCdevDeviceInfo(system.stream, { name: host.name, devfd: fd, irqs, regions, flags });
    }
    return device;
  } catch (error) {
    unbind(machine, fd, backend);
    system.syscalls.close(fd);
    throw error;
  }
}

/** iommufd_cdev_detach: with its last device the address space goes, and with that of the iommufd the iommufd. */
export function detachCdev(machine: Machine, device: VfioDevice, backend: IommufdBackend): void {
  const { system } = machine;
  const containers = containersOf.get(machine) ?? [];
  const container = containers.find(({ devices }) => devices.has(device.fd));
  if (container !== undefined) {
    container.devices.delete(device.fd);
    const argsz = vfio_device_detach_iommufd_pt.size;
    const detached = system.ioctlStruct(device.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_detach_iommufd_pt, {
      argsz,
    });
    if (detached < 0) system.error(`detach ${device.name} failed: ${strerror(-detached)}`);
    else if (iommufdCdevDetachIoasHwpt.on) {
      iommufdCdevDetachIoasHwpt(system.stream, { iommufd: backend.fd, name: device.name });
    }
    if (container.devices.size === 0) {
      machine.memory.unregister(container.listener);
      backend.free(container.ioas);
      containers.splice(containers.indexOf(container), 1);
    }
  }
  unbind(machine, device.fd, backend);
  system.syscalls.close(device.fd);
}

/** iommufd_cdev_getfd: sysfs says what the node is called. */
function openNode(system: System, { sysfs }: HostDevice): number {
  const folder = `${sysfs}/vfio-dev`;
  const entries = system.syscalls.readdir(folder);
  if (typeof entries === 'number') {
    throw new ConfigurationError(`couldn't open directory ${folder}: ${strerror(-entries)}`);
  }
  const node = entries.find(({ name }) => name.startsWith('vfio'))?.name;
  if (node === undefined) throw new ConfigurationError('failed to find vfio-dev/vfioX/dev');
  const numbers = `${folder}/${node}/dev`;
  const file = system.syscalls.open(numbers, O_RDONLY);
  const text = file < 0 ? file : system.readFile(file, 0, LINE);
  if (file >= 0) system.syscalls.close(file);
  if (typeof text === 'number') throw new ConfigurationError(`failed to load "${numbers}"`);
  if (!/^\d+:\d+\n?$/.test(new TextDecoder().decode(text)))
    throw new ConfigurationError(`failed to parse "${numbers}"`);
  const path = `/dev/vfio/devices/${node}`;
  const fd = system.syscalls.open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) throw new ConfigurationError(`Failed to open ${path}: ${strerror(-fd)}`);
  if (iommufdCdevGetfd.on) iommufdCdevGetfd(system.stream, { dev: path, devfd: fd });
  return fd;
}

/** iommufd_cdev_connect_and_bind: KVM first, for a driver may want the VM as soon as its device is opened. */
function bind({ kvm, system }: Machine, name: string, fd: number, backend: IommufdBackend): void {
  backend.connect();
  kvm.addVfioDevice(fd);
  const { result, value } = system.exchange(fd, VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd, {
    argsz: vfio_device_bind_iommufd.size,
    iommufd: backend.fd,
  });
  if (result < 0) {
    const why = `error bind device fd=${fd} to iommufd=${backend.fd}: ${strerror(-result)}`;
    kvm.removeVfioDevice(fd);
    backend.disconnect();
    throw new ConfigurationError(why);
  }
  if (iommufdCdevConnectAndBind.on) {
    iommufdCdevConnectAndBind(system.stream, { iommufd: backend.fd, name, devfd: fd, devid: value.out_devid });
  }
}

/** iommufd_cdev_unbind_and_disconnect: the binding ends with the file. */
function unbind({ kvm }: Machine, fd: number, backend: IommufdBackend): void {
  kvm.removeVfioDevice(fd);
  backend.disconnect();
}

/** Share the address space there is, or make one and map the guest's memory in it. */
function joinContainer(machine: Machine, name: string, fd: number, backend: IommufdBackend): void {
  const { system } = machine;
  const containers = containersOf.get(machine) ?? [];
  containersOf.set(machine, containers);
  for (const container of containers) {
    if (container.backend !== backend) continue;
    const refused = attach(system, name, fd, backend, container.ioas);
    if (refused === undefined) {
      container.devices.add(fd);
      return;
    }
    if (iommufdCdevFailAttachExistingContainer.on) {
      iommufdCdevFailAttachExistingContainer(system.stream, { msg: refused });
    }
  }
  const ioas = backend.allocateSpace();
  if (iommufdCdevAllocIoas.on) iommufdCdevAllocIoas(system.stream, { iommufd: backend.fd, ioas });
  try {
    const refused = attach(system, name, fd, backend, ioas);
    if (refused !== undefined) throw new ConfigurationError(refused);
    if (backend.learnRanges(ioas) < 0) {
      system.error('warning: error getting iova range; Fallback to default 64bit IOVA range and 4K page size');
    }
    const listener = new VfioDmaListener(system, {
      mapCall: `vfio_container_dma_map(${ioas}`,
      unmapCall: `vfio_container_dma_unmap(${ioas}`,
      map: (iova, size, vaddr, readonly) => backend.map(ioas, iova, size, vaddr, readonly),
      unmap: (iova, size) => backend.unmap(ioas, iova, size),
    });
    machine.memory.register(listener);
    if (listener.error !== undefined) {
      throw new ConfigurationError(`memory listener initialization failed: ${listener.error}`);
    }
    containers.push({ backend, ioas, devices: new Set([fd]), listener });
  } catch (error) {
    system.ioctlStruct(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, vfio_device_detach_iommufd_pt, {
      argsz: vfio_device_detach_iommufd_pt.size,
    });
    backend.free(ioas);
    throw error;
  }
}

/** iommufd_cdev_attach_ioas_hwpt: undefined, or what was refused. */
function attach(system: System, name: string, fd: number, { fd: iommufd }: IommufdBackend, id: number) {
  const argsz = vfio_device_attach_iommufd_pt.size;
  const result = system.ioctlStruct(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio_device_attach_iommufd_pt, {
    argsz,
    pt_id: id,
  });
  if (result < 0) return `[iommufd=${iommufd}] error attach ${name} (${fd}) to id=${id}: ${strerror(-result)}`;
  if (iommufdCdevAttachIoasHwpt.on) iommufdCdevAttachIoasHwpt(system.stream, { iommufd, name, devfd: fd, id });
  return undefined;
}
