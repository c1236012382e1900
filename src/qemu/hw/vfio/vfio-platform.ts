/**
 * vfio-platform: a device of the host that sits on no bus, given to the guest (hw/vfio/platform.c: vfio_platform_realize,
 * vfio_base_device_init, vfio_populate_device). Its data sheet, and its set-up in QEMU's order.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { O_RDONLY } from '../../../linux/uapi/syscalls.ts';
import { VFIO_DEVICE_FLAGS_PLATFORM } from '../../../linux/uapi/vfio.ts';
import type { IommufdBackend } from '../../backends/iommufd.ts';
import { ConfigurationError, prepending } from '../../error.ts';
import type { System } from '../../system.ts';
import { deviceModel } from '../device-model.ts';
import type { Machine } from '../machine.ts';
import { PlatformBus } from '../platform-bus.ts';
import { boolProperty, linkProperty, stringProperty } from '../property.ts';
import { type Attachment, attachByGroup, attachByNode, iommufdOf } from './attach.ts';
import type { VfioDevice } from './device.ts';
import { groupOf, type HostDevice } from './host-device.ts';
import { VfioIntps } from './intp.ts';
import { vfioPlatformBaseDeviceInit, vfioPlatformRealize } from './platform-trace-events.ts';
import { VfioRegion } from './region.ts';

const LONGEST_COMPATIBLE = 4096;
const basename = (path: string) => path.slice(path.lastIndexOf('/') + 1);

export const vfioPlatform = deviceModel({
  name: 'vfio-platform',
  bus: 'System',
  category: 'Misc',
  description: 'VFIO-based platform device assignment: memory from 0xf0000000, interrupts 5, 7 and 9',
  properties: {
    host: stringProperty('Name of the host device, example: ee300000.sata'),
    iommufd: linkProperty('iommufd', 'The iommufd object by which the device is had, not by its group'),
    sysfsdev: stringProperty('Directory of the host device in sysfs'),
    'x-no-mmap': boolProperty(false, 'on/off'),
  },
  realize(machine, { host, sysfsdev, iommufd, 'x-no-mmap': noMmap }) {
    const name = sysfsdev === undefined ? host : basename(sysfsdev);
    const backend = iommufdOf(machine, iommufd);
    prepending(`vfio ${name ?? '(null)'}: `, () => realize(machine, name, sysfsdev, noMmap, backend));
  },
});

function realize(
  machine: Machine,
  name: string | undefined,
  sysfsdev: string | undefined,
  noMmap: boolean,
  backend: IommufdBackend | undefined,
): void {
  const { system } = machine;
  if (name === undefined || (sysfsdev === undefined && name.includes('/'))) {
    throw new ConfigurationError(
      'wrong host device name',
      'Use -device vfio-platform,host=NAME or -device vfio-platform,sysfsdev=PATH_TO_DEVICE',
    );
  }
  const sysfs = sysfsdev ?? `/sys/bus/platform/devices/${name}`;
  if (vfioPlatformRealize.on) vfioPlatformRealize(system.stream, { name: sysfs });
  const device = openDevice(machine, { name, sysfs }, backend);
  const regions: VfioRegion[] = [];
  const intps = new VfioIntps(machine, device, regions);
  regions.push(...populateRegions(machine, device, noMmap, () => intps.eoi()));
  intps.populate();
  readCompatible(system, sysfs);
  const bus = PlatformBus.of(machine);
  for (const region of regions) {
    if (region.mmap() < 0) system.error(`warning: ${region.name} mmap unsupported, performance may be slow`);
    bus.map(region.region);
  }
  intps.connect(() => bus.line());
}

/** vfio_base_device_init: from the name to the device's file. */
function openDevice(machine: Machine, host: HostDevice, backend: IommufdBackend | undefined): VfioDevice {
  const { system } = machine;
  const { name, sysfs } = host;
  const stat = system.syscalls.stat(sysfs);
  if (typeof stat === 'number') {
    throw new ConfigurationError(`failed to get the sysfs host device file status: ${strerror(-stat)}`);
  }
  const attachment = backend === undefined ? attachGroup(machine, host) : attachByNode(machine, host, backend);
  const { device } = attachment;
  if ((device.flags & VFIO_DEVICE_FLAGS_PLATFORM) === 0) throw new ConfigurationError("this isn't a platform device");
  // vfio_platform_compute_needs_reset, vfio_platform_hot_reset_multi: there is no bus to reset.
  attachment.realized({ name, needsReset: false, hotResetMulti: () => undefined });
  return device;
}

function attachGroup(machine: Machine, host: HostDevice): Attachment {
  const { system } = machine;
  const group = groupOf(system, host);
  if (vfioPlatformBaseDeviceInit.on) vfioPlatformBaseDeviceInit(system.stream, { name: host.name, group });
  return attachByGroup(machine, host, group);
}

function populateRegions(machine: Machine, device: VfioDevice, noMmap: boolean, eoi: () => void): VfioRegion[] {
  return Array.from({ length: device.regionCount }, (_, index) => {
    const info = device.regionInfo(index);
    if (typeof info === 'number') {
      throw new ConfigurationError(`failed to get region ${index} info: ${strerror(-info)}`);
    }
    const name = `VFIO ${device.name} region ${index}`;
    return new VfioRegion(device, machine.topology, { index, name, info, noMmap, eoi });
  });
}

/** What the device tree calls the device: without it QEMU could not write the guest's node. */
function readCompatible(system: System, sysfs: string): string {
  const path = `${sysfs}/of_node/compatible`;
  const fd = system.syscalls.open(path, O_RDONLY);
  const text = fd < 0 ? fd : system.readFile(fd, 0, LONGEST_COMPATIBLE);
  if (fd >= 0) system.syscalls.close(fd);
  if (typeof text === 'number' || text.length === 0) throw new ConfigurationError(`failed to load "${path}"`);
  return new TextDecoder().decode(text.subarray(0, -1));
}
