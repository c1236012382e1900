/** GET_INFO, GET_REGION_INFO and GET_IRQ_INFO of vfio-pci (vfio_pci_core.c of Linux 6.1). */

import { hva } from '../../../address.ts';
import { copyToUser } from '../../core/uaccess.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import { PCI_CFG_SPACE_SIZE } from '../../uapi/pci.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_NUM_BARS,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_device_info,
  vfio_irq_info,
  vfio_region_info,
} from '../../uapi/vfio.ts';
import { getSized, offsetOfEnd, putSized } from '../argsz.ts';
import { capabilityChain } from '../capability-chain.ts';
import { regionOffset } from '../device.ts';
import type { PciInterrupts } from './interrupts.ts';
import { isMappable, msixTable } from './regions.ts';

const READ_WRITE = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

/** VFIO_DEVICE_GET_INFO; `resets`: a function reset works. */
export function getDeviceInfo(pci: PciDevice, resets: boolean, argument: number): number {
  const { kernel } = pci;
  const info = getSized(kernel, vfio_device_info, 'num_irqs', argument);
  if (typeof info === 'number') return info;
  // There are no capabilities, and who knows where they would stand is told so.
  const last = info.argsz >= offsetOfEnd(vfio_device_info, 'cap_offset') ? 'cap_offset' : 'num_irqs';
  return putSized(kernel, vfio_device_info, last, argument, {
    ...info,
    cap_offset: 0,
    flags: VFIO_DEVICE_FLAGS_PCI | (resets ? VFIO_DEVICE_FLAGS_RESET : 0),
    num_regions: VFIO_PCI_NUM_REGIONS,
    num_irqs: VFIO_PCI_NUM_IRQS,
  });
}

/** VFIO_DEVICE_GET_REGION_INFO, with the capability that the BAR of the MSI-X table may be mapped whole. */
export function getRegionInfo(pci: PciDevice, argument: number): number {
  const { kernel } = pci;
  const info = getSized(kernel, vfio_region_info, 'offset', argument);
  if (typeof info === 'number') return info;
  const { index, argsz } = info;
  if (index >= VFIO_PCI_VGA_REGION_INDEX) {
    return kernel.refuse(
      EINVAL,
      `region ${index} does not exist: there is no VGA, and ${VFIO_PCI_NUM_REGIONS} are all`,
    );
  }
  const { size, flags } = describe(pci, index);
  const mappable = (flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0 && msixTable(pci)?.bar === index;
  const chainAt = vfio_region_info.size;
  const caps = mappable ? [{ id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, version: 1, body: new Uint8Array(0) }] : [];
  const chain = capabilityChain(kernel, caps, chainAt);
  if (typeof chain === 'number') return chain;
  const fits = argsz >= chainAt + chain.length;
  if (fits && copyToUser(kernel, hva(argument + chainAt), chain) < 0) {
    return kernel.refuse(EFAULT, `argsz is ${argsz}, but the memory at 0x${argument.toString(16)} is not that long`);
  }
  return putSized(kernel, vfio_region_info, 'offset', argument, {
    ...info,
    argsz: fits ? argsz : chainAt + chain.length,
    flags: flags | (mappable ? VFIO_REGION_INFO_FLAG_CAPS : 0),
    ...(mappable && { cap_offset: fits ? chainAt : 0 }),
    size: BigInt(size),
    offset: regionOffset(index),
  });
}

function describe(pci: PciDevice, index: number): { readonly size: number; readonly flags: number } {
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { size: PCI_CFG_SPACE_SIZE, flags: READ_WRITE };
  const resource = index < VFIO_PCI_NUM_BARS ? pci.resources[index] : undefined;
  if (resource === undefined) return { size: 0, flags: 0 };
  return { size: resource.size, flags: READ_WRITE | (isMappable(resource) ? VFIO_REGION_INFO_FLAG_MMAP : 0) };
}

/** VFIO_DEVICE_GET_IRQ_INFO. */
export function getIrqInfo(pci: PciDevice, interrupts: PciInterrupts, argument: number): number {
  const { kernel } = pci;
  const info = getSized(kernel, vfio_irq_info, 'count', argument);
  if (typeof info === 'number') return info;
  const { index } = info;
  if (index >= VFIO_PCI_NUM_IRQS || index === VFIO_PCI_ERR_IRQ_INDEX) {
    const why = index < VFIO_PCI_NUM_IRQS ? 'ERR is for PCI Express devices' : `there are ${VFIO_PCI_NUM_IRQS}`;
    return kernel.refuse(EINVAL, `interrupt index ${index} does not exist: ${why}`);
  }
  const masking = VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  const flags = VFIO_IRQ_INFO_EVENTFD | (index === VFIO_PCI_INTX_IRQ_INDEX ? masking : VFIO_IRQ_INFO_NORESIZE);
  return putSized(kernel, vfio_irq_info, 'count', argument, { ...info, flags, count: interrupts.count(index) });
}
