/** Reading, writing and mapping the memory of a platform device (vfio_platform_read_mmio, _write_mmio, _mmap_mmio). */

import { type Hva, hpa, PAGE_SIZE, plus } from '../../../address.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import type { Vma } from '../../core/vma.ts';
import type { MemoryResource, PlatformDevice } from '../../platform/bus.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import { offsetInRegion, regionOf } from '../device.ts';

/** Whole pages that belong to the device alone can be mapped. */
export const isMappable = ({ start, size }: MemoryResource): boolean =>
  start % PAGE_SIZE === 0 && size % PAGE_SIZE === 0;

/** read and write of the device file: bytes moved, which end at the region's end; -EINVAL beyond it, -EFAULT. */
export function transferRegion(
  platform: PlatformDevice,
  buffer: Hva,
  count: number,
  position: number,
  write: boolean,
): number {
  const { kernel, description, bus, name } = platform;
  const [index, offset] = [regionOf(position), offsetInRegion(position)];
  const region = description.memory[index];
  if (region === undefined) return kernel.refuse(EINVAL, `${name} has no region ${index}`);
  if (offset >= region.size) {
    return kernel.refuse(EINVAL, `offset ${offset} is beyond region ${index}, which has ${region.size} bytes`);
  }
  const length = Math.min(count, region.size - offset);
  for (let done = 0; done < length; ) {
    const at = offset + done;
    const size = at % 4 === 0 && length - done >= 4 ? 4 : at % 2 === 0 && length - done >= 2 ? 2 : 1;
    const piece = new Uint8Array(size);
    if (write) {
      if (copyFromUser(kernel, piece, plus(buffer, done)) < 0) return kernel.refuse(EFAULT, 'the buffer is not there');
      bus.writeBytes(region.start + at, piece);
    } else {
      bus.readBytes(region.start + at, piece);
      if (copyToUser(kernel, plus(buffer, done), piece) < 0) return kernel.refuse(EFAULT, 'the buffer is not there');
    }
    done += size;
  }
  return length;
}

/** mmap of the device file: 0 or -EINVAL. */
export function mapRegion({ kernel, description, name }: PlatformDevice, vma: Vma): number {
  const [index, start] = [regionOf(vma.offset), offsetInRegion(vma.offset)];
  const region = description.memory[index];
  if (region === undefined) return kernel.refuse(EINVAL, `${name} has no region ${index}`);
  if (!vma.shared) return kernel.refuse(EINVAL, 'a region is mapped MAP_SHARED');
  if (!isMappable(region)) return kernel.refuse(EINVAL, `region ${index} of ${name} cannot be mapped`);
  if (start + vma.length > region.size) {
    return kernel.refuse(EINVAL, `bytes ${start} to ${start + vma.length}: region ${index} has ${region.size}`);
  }
  const first = hpa(region.start + start);
  for (let page = 0; page < vma.length / PAGE_SIZE; page++) vma.pages[page] = hpa(first + page * PAGE_SIZE);
  return 0;
}
