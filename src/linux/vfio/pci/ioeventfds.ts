/**
 * VFIO_DEVICE_IOEVENTFD: an eventfd whose signal writes a value to a register (drivers/vfio/pci/vfio_pci_rdwr.c of Linux 6.1:
 * vfio_pci_ioeventfd). With an ioeventfd of KVM at the other end a guest's write goes to the device without QEMU.
 */

import { eventfdFromFd } from '../../core/eventfd.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EEXIST, EINVAL, ENODEV, ENOMEM, ENOSPC } from '../../uapi/errno.ts';
import { VFIO_DEVICE_IOEVENTFD_SIZE_MASK, VFIO_PCI_NUM_BARS, vfio_device_ioeventfd } from '../../uapi/vfio.ts';
import { getSized } from '../argsz.ts';
import { offsetInRegion, regionOf } from '../device.ts';
import { onSignal, type Virqfd } from '../virqfd.ts';
import { msixTable } from './regions.ts';

/** VFIO_PCI_IOEVENTFD_MAX. */
const MOST = 1000;

interface Ioeventfd {
  readonly bar: number;
  readonly offset: number;
  readonly size: number;
  readonly data: bigint;
  readonly virqfd: Virqfd;
}

/** The ioeventfds of one device. */
export class PciIoeventfds {
  readonly #pci: PciDevice;
  readonly #memoryEnabled: () => boolean;
  readonly #all = new Set<Ioeventfd>();

  constructor(pci: PciDevice, memoryEnabled: () => boolean) {
    this.#pci = pci;
    this.#memoryEnabled = memoryEnabled;
  }

  /** The ioctl: 0 or -errno. fd -1 takes away the one of this offset, width and value. */
  set(argument: number): number {
    const { kernel, resources, name } = this.#pci;
    const request = getSized(kernel, vfio_device_ioeventfd, 'fd', argument);
    if (typeof request === 'number') return request;
    const { flags, fd } = request;
    const size = flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
    if (flags !== size || ![1, 2, 4, 8].includes(size) || fd < -1) {
      return kernel.refuse(EINVAL, 'an ioeventfd has one width of 1, 2, 4 or 8, no other flag, and an fd or -1');
    }
    const [bar, offset] = [regionOf(Number(request.offset)), offsetInRegion(Number(request.offset))];
    const resource = bar < VFIO_PCI_NUM_BARS ? resources[bar] : undefined;
    if (resource === undefined || offset + size > resource.size) {
      return kernel.refuse(EINVAL, `${name} has no ${size} bytes at offset ${offset} of region ${bar}`);
    }
    const table = msixTable(this.#pci);
    if (table?.bar === bar && offset < table.end && offset + size > table.start) {
      return kernel.refuse(EINVAL, 'the MSI-X table is the kernel’s');
    }
    return this.#setAt({ bar, offset, size, data: request.data }, fd);
  }

  /** The last close. */
  shutDown(): void {
    for (const { virqfd } of this.#all) virqfd.disable();
    this.#all.clear();
  }

  #setAt(place: Omit<Ioeventfd, 'virqfd'>, fd: number): number {
    const { kernel } = this.#pci;
    const { bar, offset, size, data } = place;
    const known = [...this.#all].find(
      (one) => one.bar === bar && one.offset === offset && one.size === size && one.data === data,
    );
    if (known !== undefined) {
      if (fd >= 0) return kernel.refuse(EEXIST, 'an eventfd writes this value there already');
      known.virqfd.disable();
      this.#all.delete(known);
      return 0;
    }
    if (fd < 0) return kernel.refuse(ENODEV, 'no eventfd writes this value there');
    if (this.#all.size >= MOST) return kernel.refuse(ENOSPC, `a device has at most ${MOST} ioeventfds`);
    const eventfd = eventfdFromFd(kernel, fd);
    if (typeof eventfd === 'number') return eventfd;
    if (!kernel.kmallocAll('struct vfio_pci_ioeventfd', 'struct virqfd')) return -ENOMEM;
    const virqfd = onSignal(
      eventfd,
      () => this.#write(place),
      () => this.#all.delete(added),
    );
    const added: Ioeventfd = { ...place, virqfd };
    this.#all.add(added);
    return 0;
  }

  /** vfio_pci_ioeventfd_handler: lost while memory decoding is off. */
  #write({ bar, offset, size, data }: Omit<Ioeventfd, 'virqfd'>): void {
    const memory = this.#pci.resources[bar]?.kind === 'memory';
    if (memory && !this.#memoryEnabled()) return;
    for (let done = 0; done < size; done += 4) {
      const width = Math.min(4, size - done) as 1 | 2 | 4;
      const part = Number((data >> BigInt(8 * done)) & ((1n << BigInt(8 * width)) - 1n));
      this.#pci.writeBar(bar, offset + done, width, part);
    }
  }
}
