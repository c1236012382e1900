/** The VFIO device ioctls of a {@link PciFunction}, answered as mtty answers them (mtty_ioctl and what it calls). */

import { EINVAL, ENOTTY } from '../uapi/errno.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
} from '../uapi/vfio.ts';
import { getSized, putSized } from '../vfio/argsz.ts';
import { regionOffset } from '../vfio/device.ts';
import { irqData, validateSetIrqs } from '../vfio/irqs.ts';
import type { PciFunction } from './pci-function.ts';

/** mdev_parent_ops.ioctl: 0 or -errno; -ENOTTY for an ioctl that the driver has not. */
export function ioctlFunction(self: PciFunction, request: number, argument: number): number {
  switch (request) {
    case VFIO_DEVICE_GET_INFO.number:
      return getInfo(self, argument);
    case VFIO_DEVICE_GET_REGION_INFO.number:
      return getRegionInfo(self, argument);
    case VFIO_DEVICE_GET_IRQ_INFO.number:
      return getIrqInfo(self, argument);
    case VFIO_DEVICE_SET_IRQS.number:
      return setIrqs(self, argument);
    case VFIO_DEVICE_RESET.number:
      // The sample only logs it and answers 0, although its flags do not promise a reset.
      if (self.reset === undefined) self.kernel.printk(`${self.driver}_reset: called`);
      else self.reset();
      return 0;
    default:
      return self.kernel.refuse(ENOTTY, `the driver of ${self.name} has no ioctl 0x${request.toString(16)}`);
  }
}

function getInfo(self: PciFunction, argument: number): number {
  const info = getSized(self.kernel, vfio_device_info, 'num_irqs', argument);
  if (typeof info === 'number') return info;
  self.irqIndexes = VFIO_PCI_NUM_IRQS;
  return putSized(self.kernel, vfio_device_info, 'num_irqs', argument, {
    ...info,
    flags: VFIO_DEVICE_FLAGS_PCI | (self.reset === undefined ? 0 : VFIO_DEVICE_FLAGS_RESET),
    num_regions: VFIO_PCI_NUM_REGIONS,
    num_irqs: VFIO_PCI_NUM_IRQS,
  });
}

function getRegionInfo(self: PciFunction, argument: number): number {
  const info = getSized(self.kernel, vfio_region_info, 'offset', argument);
  if (typeof info === 'number') return info;
  const { index } = info;
  if (index >= VFIO_PCI_NUM_REGIONS) {
    return self.kernel.refuse(EINVAL, `region ${index} does not exist: there are ${VFIO_PCI_NUM_REGIONS}`);
  }
  const size = index === VFIO_PCI_CONFIG_REGION_INDEX ? self.config.size : (self.bars[index] ?? 0);
  return putSized(self.kernel, vfio_region_info, 'offset', argument, {
    ...info,
    // Read and write even for a region of size 0, as the sample says.
    flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
    size: BigInt(size),
    offset: regionOffset(index),
  });
}

function getIrqInfo(self: PciFunction, argument: number): number {
  const { kernel } = self;
  const info = getSized(kernel, vfio_irq_info, 'count', argument);
  if (typeof info === 'number') return info;
  const { index } = info;
  if (index >= self.irqIndexes) {
    const known =
      self.irqIndexes === 0 ? 'the driver knows its indexes only after GET_INFO' : `there are ${self.irqIndexes}`;
    return kernel.refuse(EINVAL, `interrupt index ${index} does not exist: ${known}`);
  }
  if (index !== VFIO_PCI_INTX_IRQ_INDEX && index !== VFIO_PCI_MSI_IRQ_INDEX && index !== VFIO_PCI_REQ_IRQ_INDEX) {
    return kernel.refuse(EINVAL, `interrupt index ${index} is not implemented: only INTx, MSI and REQ are`);
  }
  const masking = VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  const flags = VFIO_IRQ_INFO_EVENTFD | (index === VFIO_PCI_INTX_IRQ_INDEX ? masking : VFIO_IRQ_INFO_NORESIZE);
  return putSized(kernel, vfio_irq_info, 'count', argument, { ...info, flags, count: 1 });
}

function setIrqs(self: PciFunction, argument: number): number {
  const { kernel } = self;
  const header = getSized(kernel, vfio_irq_set, 'count', argument);
  if (typeof header === 'number') return header;
  // The sample gives the number of indexes as the number of interrupts of each, so start and count pass up to 5.
  const size = validateSetIrqs(kernel, header, self.irqIndexes, VFIO_PCI_NUM_IRQS);
  if (size < 0) return size;
  const data = irqData(kernel, argument, size);
  if (typeof data === 'number') return data;
  const fds = new Int32Array(header.flags & VFIO_IRQ_SET_DATA_EVENTFD ? data.buffer : new ArrayBuffer(0));
  return self.interrupts.set(header, fds);
}
