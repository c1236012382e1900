/** Where refusals of VFIO are provoked: a copier with vfio-pci, an mtty, and short words for the calls. */

import { plugIn } from '../../../src/cli/physical-devices.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { bootHost, cString, int, typePath, UUID, userOf } from '../drivers/host.ts';
import { hostKeepsPages } from '../leaks.ts';

const NAME = '0000:06:0d.0';
const COPIER = `/sys/bus/pci/devices/${NAME}`;

/** A copier with vfio-pci in group 0, an mtty in group 1, two processes that have done nothing. */
export function bootRefusing() {
  const host = bootHost();
  plugIn(host.kernel, [`copier@${NAME}`]);
  const admin = userOf(host.kernel, 'admin');
  const other = userOf(host.kernel, 'other');
  admin.syscalls.init_module('vfio_pci', '');
  admin.syscalls.init_module('mtty', '');
  admin.echo(`${COPIER}/driver_override`, 'vfio-pci');
  admin.echo('/sys/bus/pci/drivers_probe', NAME);
  admin.echo(`${typePath('mtty', 'mtty-1')}/create`, UUID);
  admin.process.exit();
  hostKeepsPages(host.kernel);
  const join = (number = 0, type: number | undefined = uapi.VFIO_TYPE1v2_IOMMU) => {
    const [group, container] = [host.open(`/dev/vfio/${number}`), host.open('/dev/vfio/vfio')];
    host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
    if (type !== undefined) host.ioctl(container, uapi.VFIO_SET_IOMMU, type);
    return { group, container };
  };
  const getDevice = (group: number, name = NAME) =>
    host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(name));
  const device = (number = 0, name = NAME) => getDevice(join(number).group, name);
  const map = (container: number, fields: Readonly<Record<string, number | bigint>> = {}) =>
    host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, {
      argsz: 32,
      flags: uapi.VFIO_DMA_MAP_FLAG_READ,
      vaddr: BigInt(host.scratch),
      iova: 0n,
      size: 0x1000n,
      ...fields,
    }).result;
  const unmap = (container: number, fields: Readonly<Record<string, number | bigint>> = {}) =>
    host.ioctlStruct(container, uapi.VFIO_IOMMU_UNMAP_DMA, uapi.vfio_iommu_type1_dma_unmap, {
      argsz: 24,
      iova: 0n,
      size: 0x1000n,
      ...fields,
    }).result;
  const irqs = (
    fd: number,
    index: number,
    flags: number,
    start: number,
    count: number,
    data: readonly number[] = [],
    argsz?: number,
  ) => {
    const tail = flags & uapi.VFIO_IRQ_SET_DATA_EVENTFD ? Int32Array.from(data) : Uint8Array.from(data);
    const bytes = new Uint8Array(20 + tail.byteLength);
    bytes.set(uapi.vfio_irq_set.encode({ argsz: argsz ?? bytes.length, flags, index, start, count }));
    bytes.set(new Uint8Array(tail.buffer), 20);
    return host.ioctlBytes(fd, uapi.VFIO_DEVICE_SET_IRQS, bytes);
  };
  const regionInfo = (fd: number, index: number, argsz = 32) =>
    host.ioctlStruct(fd, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, { argsz, index }).result;
  const irqInfo = (fd: number, index: number, argsz = 16) =>
    host.ioctlStruct(fd, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, { argsz, index }).result;
  const read = (fd: number, position: number, count = 4) => host.syscalls.pread(fd, host.scratch, count, position);
  const eventfd = () => host.syscalls.eventfd(0, 0);
  /** Take everything of VFIO out of the group: its last device is unbound. */
  const unbind = () => other.echo('/sys/bus/pci/drivers/vfio-pci/unbind', NAME);
  return {
    ...host,
    other,
    join,
    getDevice,
    device,
    map,
    unmap,
    irqs,
    regionInfo,
    irqInfo,
    read,
    eventfd,
    unbind,
  };
}

export type RefusingHost = ReturnType<typeof bootRefusing>;
