/**
 * DMA by the CPU: how a mediated driver, which has no hardware that could, reaches the memory behind an I/O address
 * (vfio_dma_rw, vfio_iommu_type1_dma_rw in drivers/vfio/; iommufd_access_rw for a device that is bound to an iommufd). With no virtual IOMMU QEMU maps RAM one to one, so an IOVA
 * is a guest physical address; KVM is not needed.
 */

import { hva, type Iova, PAGE_SIZE, pageOffset } from '../../address.ts';
import { EBUSY, EFAULT, EINVAL, EPERM } from '../uapi/errno.ts';
import type { VfioDevice } from './device.ts';
import type { DmaMapping } from './dma-mapping.ts';
import { vfioDmaRw } from './events.ts';

/**
 * Copy `data` to (`write`) or from the memory at `iova`, across mappings. 0, or -EINVAL if part of it is not mapped,
 * -EPERM if a mapping forbids it (reading must be allowed even to write), -EFAULT if the memory behind is gone or another process's
 * than the one that calls (a thread of the kernel may reach each), -EBUSY while an address is being changed. An iommufd says -ENOENT
 * where nothing is mapped, writes without a right to read, and asks nobody who he is.
 * On an error the first bytes may have been copied.
 */
export function vfio_dma_rw(device: VfioDevice, iova: Iova, data: Uint8Array, write: boolean): number {
  const result = transfer(device, iova, data, write);
  if (vfioDmaRw.on) {
    vfioDmaRw(device.kernel.stream, { device: device.name, write, iova: BigInt(iova), length: data.length, result });
  }
  return result;
}

function transfer(device: VfioDevice, iova: Iova, data: Uint8Array, write: boolean): number {
  const { kernel } = device;
  const iommu = device.group?.iommu;
  const access = device.iommufd?.access;
  if ((iommu === undefined && access === undefined) || device.openCount === 0)
    return kernel.refuse(EINVAL, `${device.name} is not open`);
  if (data.length === 0) return kernel.refuse(EINVAL, 'a DMA of no bytes');
  if (access !== undefined) return access.transfer(BigInt(iova), data, write);
  let done = 0;
  if (iommu?.space.lacksAddress === true) {
    return kernel.refuse(EBUSY, 'a mapping has no address now (UNMAP_DMA with VADDR)');
  }
  const { current } = kernel;
  while (iommu !== undefined && done < data.length) {
    const at = BigInt(iova) + BigInt(done);
    const mapping = iommu.space.mappings.find(at, at + 1n);
    if (mapping === undefined) return kernel.refuse(EINVAL, `iova 0x${at.toString(16)} is not mapped`);
    if (!mapping.readable || (write && !mapping.writable)) {
      return kernel.refuse(EPERM, `the mapping of iova 0x${at.toString(16)} does not allow it`);
    }
    if (!current.kernelThread && current.mm !== mapping.mm) {
      const whose = `process ${mapping.process.name}, whose memory is behind iova 0x${at.toString(16)}`;
      return kernel.refuse(EFAULT, `only ${whose}, or a thread of the kernel, can reach it: this is ${current.name}`);
    }
    const inMapping = mapping.iova + mapping.size - at;
    const length = Math.min(data.length - done, inMapping < PAGE_SIZE ? Number(inMapping) : PAGE_SIZE);
    const copied = copyInPage(device, mapping, at, data.subarray(done, done + length), write);
    if (copied < 0) return kernel.refuse(EFAULT, `no memory is behind iova 0x${at.toString(16)}`);
    if (write) mapping.markDirty(at, copied);
    done += copied;
  }
  return 0;
}

/** Copy as much as lies in the first page; the bytes copied, or -EFAULT. */
function copyInPage(device: VfioDevice, mapping: DmaMapping, at: bigint, data: Uint8Array, write: boolean): number {
  const user = hva(Number(mapping.vaddr + (at - mapping.iova)));
  const frame = mapping.mm.frame(user, write);
  if (frame < 0) return frame;
  const offset = pageOffset(user);
  const length = Math.min(data.length, PAGE_SIZE - offset);
  const { memory } = device.kernel;
  // As copy_to_user here: a device's page is no memory to copy to.
  if (frame >= memory.size) return -EFAULT;
  if (write) memory.write(frame + offset, data, 0, length);
  else data.set(memory.bytes.subarray(frame + offset, frame + offset + length));
  return length;
}
