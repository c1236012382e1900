/** Functions of the kernel that a user's own driver imports (driver-api.ts), on one kernel: EXPORT_SYMBOL. */

import { gpa, iova as iovaOf, PAGE_SIZE } from '../../address.ts';
import { shown } from '../../foreign-value.ts';
import type { Timer } from '../core/clock.ts';
import { Device } from '../core/device.ts';
import { Eventfd, eventfdFromFd } from '../core/eventfd.ts';
import { GFP_ATOMIC, GFP_KERNEL } from '../core/gfp.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../core/iommu.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, copyToUser } from '../core/uaccess.ts';
import { kvm_read_guest, kvm_write_guest, kvmOf } from '../kvm/guest-memory.ts';
import { EBUSY, EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { vfio_dma_rw } from '../vfio/dma.ts';
import { vfio_register_emulated_iommu_dev, vfio_unregister_group_dev } from '../vfio/emulated-iommu.ts';
import { validateSetIrqs } from '../vfio/irqs.ts';
import { vfio_pin_pages, vfio_unpin_pages } from '../vfio/pin-pages.ts';
import { onSignal } from '../vfio/virqfd.ts';
import type * as api from './driver-api.ts';
import type { DriverCalls } from './driver-fault.ts';
import { UserClass } from './user-arguments.ts';
import { deviceFiles } from './user-attributes.ts';
import { checkAddress, checkBytes, checkUnsigned } from './user-driver-check.ts';
import { UserPage } from './user-page.ts';
import { UserVfioDevice } from './user-vfio-device.ts';
import { UserVmArea } from './user-vm-area.ts';

/** Those that need to know the module are not here. */
type Symbols = Omit<
  typeof api,
  | 'mdev_register_driver'
  | 'mdev_unregister_driver'
  | 'mdev_register_parent'
  | 'mdev_unregister_parent'
  | 'vfio_alloc_device'
  | 'kmalloc'
  | 'kzalloc'
  | 'kfree'
  | 'alloc_page'
  | 'free_page'
>;

/** The functions; timers call the user's file by `calls`. */
export function driverSymbols(kernel: Kernel, calls: DriverCalls): Symbols {
  const printk = (text: string): void => kernel.printk(String(text));
  const about = (device: api.Device, text: string): void =>
    printk(`${(device as Device).driverString} ${device.name}: ${text}`);
  return {
    printk,
    pr_info: printk,
    pr_warn: printk,
    pr_err: printk,
    dev_info: about,
    dev_warn: about,
    dev_err: about,
    refuse: (errno, because) => kernel.refuse(errno, because),
    GFP_KERNEL,
    GFP_ATOMIC,
    ...devices(kernel),
    ...deviceFiles(kernel, calls),
    vfio_register_emulated_iommu_dev(vdev) {
      const { mdev, device } = userDevice(vdev);
      return vfio_register_emulated_iommu_dev(mdev.device, device);
    },
    vfio_unregister_group_dev: (vdev) => vfio_unregister_group_dev(vfioDevice(vdev)),
    vfio_put_device: (vdev) => userDevice(vdev).put(),
    vfio_set_irqs_validate_and_prepare: (header, available, indexes) =>
      validateSetIrqs(kernel, header, available, indexes),
    ...memory(kernel),
    IOMMU_READ,
    IOMMU_WRITE,
    ...dma(kernel),
    kvm_read_guest: (kvm, address, data) => kvm_read_guest(kvm, guestAddress(address, data), data, data.length),
    kvm_write_guest: (kvm, address, data) => kvm_write_guest(kvm, guestAddress(address, data), data, data.length),
    ...references(),
    ...eventfds(kernel, calls),
    ktime_get: () => kernel.clock.now,
    hrtimer_start(nanoseconds, expire) {
      if (!(typeof nanoseconds === 'number' && nanoseconds >= 0)) {
        throw new RangeError(`hrtimer_start takes nanoseconds, not ${shown(nanoseconds)}`);
      }
      if (typeof expire !== 'function') throw new TypeError(`hrtimer_start takes a function, not ${shown(expire)}`);
      // A timer that starts itself again must let time go on.
      const deadline = kernel.clock.now + Math.max(nanoseconds, 1);
      return kernel.clock.start(deadline, () => calls.run('hrtimer', 'hrtimer_start', expire));
    },
    hrtimer_cancel: (timer) => kernel.clock.cancel(timer as Timer),
  };
}

function devices(kernel: Kernel) {
  const { devices: model } = kernel;
  return {
    class_create(name: string): api.Class | number {
      if (!kernel.kmalloc('struct class')) return -ENOMEM;
      const error = model.addClass(name);
      return error < 0 ? error : new UserClass(name);
    },
    class_destroy: (cls: api.Class): void => model.removeClass(cls.name),
    device_create(cls: api.Class, name: string): api.Device | number {
      if (!kernel.kmallocAll('struct device', 'struct device_private')) return -ENOMEM;
      const device = new Device({ name, class: cls.name });
      const error = model.add(device);
      return error < 0 ? error : device;
    },
    device_unregister: (device: api.Device): void => model.remove(device as Device),
  };
}

function memory(kernel: Kernel) {
  return {
    copy_from_user: (to: Uint8Array, from: number): number =>
      byPages(from, to, (piece, at) => copyFromUser(kernel, piece, at)),
    copy_to_user: (to: number, from: Uint8Array): number =>
      byPages(to, from, (piece, at) => copyToUser(kernel, at, piece)),
    vm_insert_page(area: api.VmArea, offset: number, page: api.Page): number {
      if (!(area instanceof UserVmArea)) throw new TypeError('vm_insert_page takes the area that mmap was given');
      if (!(page instanceof UserPage)) throw new TypeError('vm_insert_page takes what alloc_page made');
      if (offset % PAGE_SIZE !== 0 || offset < 0 || offset >= area.length) {
        return kernel.refuse(EINVAL, `offset ${offset} is no page of the mapping's ${area.length} bytes`);
      }
      if (!area.insert(offset / PAGE_SIZE, page)) return kernel.refuse(EBUSY, `a page is at offset ${offset} already`);
      return 0;
    },
  };
}

/** Copy page by page: the bytes that are left when one fails. */
function byPages(address: number, bytes: Uint8Array, copy: (piece: Uint8Array, at: number) => number): number {
  checkBytes(bytes);
  checkAddress(address);
  for (let done = 0; done < bytes.length; ) {
    const piece = bytes.subarray(done, done + PAGE_SIZE - ((address + done) % PAGE_SIZE));
    if (copy(piece, address + done) < 0) return bytes.length - done;
    done += piece.length;
  }
  return 0;
}

function dma(kernel: Kernel) {
  return {
    vfio_pin_pages(
      vdev: api.VfioDevice<unknown>,
      iova: number,
      npage: number,
      prot: number,
      pages: api.Page[],
    ): number {
      checkAddress(iova);
      const frames = vfio_pin_pages(vfioDevice(vdev), iovaOf(iova), npage, prot);
      if (typeof frames === 'number') return frames;
      for (const [index, frame] of frames.entries()) pages[index] = new UserPage(kernel, frame);
      return frames.length;
    },
    vfio_unpin_pages(vdev: api.VfioDevice<unknown>, iova: number, npage: number): void {
      checkAddress(iova);
      vfio_unpin_pages(vfioDevice(vdev), iovaOf(iova), npage);
    },
    vfio_dma_rw(vdev: api.VfioDevice<unknown>, iova: number, data: Uint8Array, write: boolean): number {
      checkAddress(iova);
      checkBytes(data);
      return vfio_dma_rw(vfioDevice(vdev), iovaOf(iova), data, write);
    },
  };
}

/** References to VMs, of which a driver gives back no more than it has taken: the others are VFIO's. */
function references() {
  const taken = new WeakMap<object, number>();
  return {
    kvm_get_kvm_safe(kvm: api.Kvm): boolean {
      kvmOf(kvm).get();
      taken.set(kvm, (taken.get(kvm) ?? 0) + 1);
      return true;
    },
    kvm_put_kvm(kvm: api.Kvm): void {
      const vm = kvmOf(kvm);
      const count = taken.get(kvm) ?? 0;
      if (count === 0) throw new TypeError('kvm_put_kvm: the driver has no reference to give back');
      taken.set(kvm, count - 1);
      vm.put();
    },
  };
}

function eventfds(kernel: Kernel, calls: DriverCalls) {
  return {
    eventfd_ctx_fdget(fd: number): api.Eventfd | number {
      return eventfdFromFd(kernel, fd) as unknown as api.Eventfd | number;
    },
    // The counter lives as long as somebody knows it.
    eventfd_ctx_put(): void {},
    eventfd_signal(eventfd: api.Eventfd, n: number): void {
      if (!((eventfd as unknown) instanceof Eventfd)) throw new TypeError('eventfd_signal takes an eventfd');
      checkUnsigned(n, 'eventfd_signal');
      (eventfd as unknown as Eventfd).signal(BigInt(n));
    },
    vfio_virqfd_enable(handler: () => void, fd: number): api.Virqfd | number {
      const eventfd = eventfdFromFd(kernel, fd);
      if (typeof eventfd === 'number') return eventfd;
      return onSignal(
        eventfd,
        () => calls.run('virqfd', 'vfio_virqfd_enable', handler),
        () => {},
      );
    },
    vfio_virqfd_disable: (virqfd: api.Virqfd): void => virqfd.disable(),
  };
}

function userDevice(vdev: api.VfioDevice<unknown>): UserVfioDevice {
  if (vdev instanceof UserVfioDevice) return vdev;
  throw new TypeError('the functions of VFIO take what vfio_alloc_device made');
}

const vfioDevice = (vdev: api.VfioDevice<unknown>): VfioDevice => userDevice(vdev).device;

/** An address past 2^53 loses low bits as a number; no memory slot reaches there. */
function guestAddress(address: number | bigint, data: Uint8Array) {
  checkBytes(data);
  const number = typeof address === 'bigint' ? Number(address) : address;
  if (!Number.isInteger(number) || number < 0) throw new TypeError(`no guest physical address: ${shown(address)}`);
  return gpa(number);
}
