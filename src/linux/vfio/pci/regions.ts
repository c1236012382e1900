/** Reading, writing and mapping BARs of an assigned device (drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_core_mmap). */

import { type Hva, hpa, PAGE_SIZE, plus } from '../../../address.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import type { Vma } from '../../core/vma.ts';
import type { PciDevice, PciResource } from '../../pci/device.ts';
import { messageCount } from '../../pci/interrupts.ts';
import { EFAULT, EINVAL, EIO } from '../../uapi/errno.ts';
import { PCI_CAP_ID_MSIX, PCI_MSIX_ENTRY_SIZE, PCI_MSIX_TABLE, PCI_MSIX_TABLE_BIR } from '../../uapi/pci.ts';
import { VFIO_PCI_NUM_BARS } from '../../uapi/vfio.ts';

/** A stretch of a BAR. */
interface Stretch {
  readonly bar: number;
  readonly start: number;
  readonly end: number;
}

/** Where the MSI-X table is; undefined without one. User space reads ones there and writes nothing. */
export function msixTable(pci: PciDevice): Stretch | undefined {
  const at = pci.capability(PCI_CAP_ID_MSIX);
  if (at === 0) return undefined;
  const table = pci.readConfig(at + PCI_MSIX_TABLE, 4);
  const start = table & ~PCI_MSIX_TABLE_BIR;
  return { bar: table & PCI_MSIX_TABLE_BIR, start, end: start + messageCount(pci, true) * PCI_MSIX_ENTRY_SIZE };
}

/** Memory whose pages belong to it alone can be mapped; ports never. */
export const isMappable = (resource: PciResource | undefined): boolean =>
  resource?.kind === 'memory' && resource.start % PAGE_SIZE === 0;

/** vfio_pci_bar_rw: bytes moved, which end at the BAR's end; -EINVAL beyond it; -EFAULT; -EIO for the first register while memory is off. */
export function transferBar(
  pci: PciDevice,
  bar: number,
  memoryEnabled: boolean,
  buffer: Hva,
  count: number,
  offset: number,
  write: boolean,
): number {
  const { kernel } = pci;
  const resource = pci.resources[bar];
  if (resource === undefined) return kernel.refuse(EINVAL, `${pci.name} has no BAR ${bar}`);
  if (offset >= resource.size) {
    return kernel.refuse(EINVAL, `offset ${offset} is beyond BAR ${bar}, which has ${resource.size} bytes`);
  }
  const length = Math.min(count, resource.size - offset);
  const table = msixTable(pci);
  const off = resource.kind === 'memory' && !memoryEnabled;
  const isOff = () => kernel.refuse(EIO, `memory decoding of ${pci.name} is off: set COMMAND bit 1`);
  for (let done = 0; done < length; ) {
    const at = offset + done;
    const size = pieceAt(at, length - done);
    const piece = new Uint8Array(size);
    const hidden = table !== undefined && table.bar === bar && at < table.end && at + size > table.start;
    if (write) {
      if (copyFromUser(kernel, piece, plus(buffer, done)) < 0) return kernel.refuse(EFAULT, 'the buffer is not there');
      if (off && !hidden) return isOff();
      const value = piece.reduceRight((high, byte) => high * 256 + byte, 0);
      if (!hidden) pci.writeBar(bar, at, size, value);
    } else {
      if (off && !hidden) return isOff();
      const value = hidden ? 0xffff_ffff : pci.readBar(bar, at, size);
      for (let i = 0; i < size; i++) piece[i] = (value >>> (8 * i)) & 0xff;
      if (copyToUser(kernel, plus(buffer, done), piece) < 0) return kernel.refuse(EFAULT, 'the buffer is not there');
    }
    done += size;
  }
  return length;
}

/** vfio_pci_core_mmap: 0 or -EINVAL. A page is there when it is touched, and only while memory decoding is on: else SIGBUS. */
export function mapBar(pci: PciDevice, vma: Vma, memoryEnabled: () => boolean): number {
  const { kernel } = pci;
  const bar = Math.floor(vma.offset / 2 ** 40);
  const start = vma.offset % 2 ** 40;
  const resource = bar < VFIO_PCI_NUM_BARS ? pci.resources[bar] : undefined;
  if (bar >= VFIO_PCI_NUM_BARS) return kernel.refuse(EINVAL, `region ${bar} is no BAR: it cannot be mapped`);
  if (!vma.shared) return kernel.refuse(EINVAL, 'a BAR is mapped MAP_SHARED');
  if (resource === undefined || !isMappable(resource)) {
    return kernel.refuse(EINVAL, `BAR ${bar} of ${pci.name} cannot be mapped`);
  }
  const whole = Math.ceil(resource.size / PAGE_SIZE) * PAGE_SIZE;
  if (start + vma.length > whole) {
    return kernel.refuse(EINVAL, `bytes ${start} to ${start + vma.length} are more than BAR ${bar} has: ${whole}`);
  }
  // `page` counts from the file's start, of which the region index is part.
  const first = (bar * 2 ** 40) / PAGE_SIZE;
  vma.fault = (page) =>
    memoryEnabled()
      ? hpa(resource.start + (page - first) * PAGE_SIZE)
      : kernel.refuse(EFAULT, `memory decoding of ${pci.name} is off: SIGBUS`);
  return 0;
}

function pieceAt(at: number, left: number): 1 | 2 | 4 {
  if (at % 4 === 0 && left >= 4) return 4;
  return at % 2 === 0 && left >= 2 ? 2 : 1;
}
