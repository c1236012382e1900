/**
 * /dev/vfio/devices/vfioN: a device by a node of its own (drivers/vfio/device_cdev.c of Linux 6.6). Open, it can do nothing; bound to
 * an iommufd it is the opener's, and attached to an I/O address space there it reaches memory. No group and no container.
 */

import { OpenFile } from '../core/file.ts';
import { copyToUser } from '../core/uaccess.ts';
import { EFAULT, EINVAL, ENODEV } from '../uapi/errno.ts';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../uapi/vfio.ts';
import { getSized, putSized } from './argsz.ts';
import type { DeviceFile, VfioDevice } from './device.ts';
import { vfioDeviceClose, vfioDeviceOpen } from './events.ts';
import type { VfioGroup } from './group.ts';
import { type Binder, iommufdFile } from './iommufd.ts';

/** Where the nodes are. */
export const CDEV_FOLDER = 'vfio/devices';

/** One open of the node. */
class CdevFile implements DeviceFile {
  readonly device: VfioDevice;
  granted = false;
  readonly #group: VfioGroup;
  readonly #binder: Binder;
  /** The VM that KVM_DEV_VFIO_FILE_ADD named; the device has it if it was named before the binding. */
  #kvm: object | undefined;

  constructor(device: VfioDevice, group: VfioGroup, binder: Binder) {
    this.device = device;
    this.#group = group;
    this.#binder = binder;
    device.files++;
  }

  /** vfio_file_enforced_coherent: an IOMMU that makes all DMA snoop the caches stands before the device. */
  get enforcedCoherent(): boolean {
    return this.#group.iommuGroup.domain?.enforcesCoherency ?? false;
  }

  /** vfio_device_file_set_kvm. */
  setKvm(kvm: object | undefined): void {
    this.#kvm = kvm;
  }

  /** vfio_df_ioctl_bind_iommufd. */
  bind(argument: number): number {
    const { device } = this;
    const { kernel } = device;
    const bind = getSized(kernel, vfio_device_bind_iommufd, 'out_devid', argument);
    if (typeof bind === 'number') return bind;
    if (bind.flags !== 0) return kernel.refuse(EINVAL, 'BIND_IOMMUFD has no flags');
    if (bind.iommufd < 0) return kernel.refuse(EINVAL, `${bind.iommufd} is no descriptor of an iommufd`);
    const blocked = this.#group.block();
    if (blocked < 0) return blocked;
    const error = this.#open(bind.iommufd);
    if (error < 0) {
      this.#group.unblock();
      return error;
    }
    const answer = { ...bind, out_devid: device.iommufd!.id };
    const written = putSized(kernel, vfio_device_bind_iommufd, 'out_devid', argument, answer);
    if (written < 0) {
      this.#close();
      return written;
    }
    this.granted = true;
    if (vfioDeviceOpen.on) {
      vfioDeviceOpen(kernel.stream, { device: device.name, group: this.#group.id, opens: device.openCount });
    }
    return 0;
  }

  ioctl(request: number, argument: number): number | undefined {
    if (request === VFIO_DEVICE_ATTACH_IOMMUFD_PT.number) return this.#attach(argument);
    if (request === VFIO_DEVICE_DETACH_IOMMUFD_PT.number) return this.#detach(argument);
    return undefined;
  }

  release(): void {
    const { device } = this;
    if (this.granted) {
      this.#close();
      this.granted = false;
      if (vfioDeviceClose.on) {
        vfioDeviceClose(device.kernel.stream, { device: device.name, group: this.#group.id, opens: device.openCount });
      }
    }
    this.#group.fileClosed(device);
  }

  /** vfio_df_open: unlike a group's, a device's own node gives the device to one opener only. */
  #open(fd: number): number {
    const { device } = this;
    const { kernel } = device;
    if (this.granted) return kernel.refuse(EINVAL, `${device.name} is bound to an iommufd already`);
    const file = iommufdFile(device, fd);
    if (typeof file === 'number') return file;
    if (device.openCount > 0)
      return kernel.refuse(EINVAL, `${device.name} is open, and bound by another file of its node`);
    const error = device.open(this.#kvm, () => {
      const binding = this.#binder(file);
      if (typeof binding === 'number') return binding;
      device.iommufd = binding;
      return 0;
    });
    if (error < 0) this.#unbind();
    return error;
  }

  #close(): void {
    this.device.close(() => this.#unbind());
    this.#group.unblock();
  }

  #unbind(): void {
    // The driver still has its access while it is told to give everything back.
    this.device.iommufd?.unbind();
    this.device.iommufd = undefined;
  }

  /** vfio_df_ioctl_attach_pt. */
  #attach(argument: number): number {
    const { device } = this;
    const { kernel } = device;
    const attach = getSized(kernel, vfio_device_attach_iommufd_pt, 'pt_id', argument);
    if (typeof attach === 'number') return attach;
    if (attach.flags !== 0) return kernel.refuse(EINVAL, 'ATTACH_IOMMUFD_PT has no flags');
    const pt = device.iommufd!.attach(attach.pt_id);
    if (pt < 0) return pt;
    const at = argument + vfio_device_attach_iommufd_pt.offsets.pt_id;
    if (copyToUser(kernel, at, new Uint8Array(Uint32Array.of(pt).buffer)) >= 0) return 0;
    device.iommufd!.detach();
    return kernel.refuse(EFAULT, `pt_id at 0x${at.toString(16)} cannot be written`);
  }

  /** vfio_df_ioctl_detach_pt. Nothing to detach is no error. */
  #detach(argument: number): number {
    const { kernel } = this.device;
    const detach = getSized(kernel, vfio_device_detach_iommufd_pt, 'flags', argument);
    if (typeof detach === 'number') return detach;
    if (detach.flags !== 0) return kernel.refuse(EINVAL, 'DETACH_IOMMUFD_PT has no flags');
    this.device.iommufd!.detach();
    return 0;
  }
}

/** vfio_device_fops_cdev_open: the node's file; -ENODEV once the device is being unregistered. */
export function openCdev(node: string, flags: number, device: VfioDevice, group: VfioGroup, binder: Binder) {
  const { kernel } = device;
  if (device.group === undefined) return kernel.refuse(ENODEV, `${device.name} is gone`);
  return new OpenFile(`/dev/${node}`, device.fileOperations, flags, new CdevFile(device, group, binder));
}

/** The open node behind a file; undefined if the file is something else, or a device had by its group. */
export const cdevFromFile = (file: OpenFile): CdevFile | undefined =>
  file.privateData instanceof CdevFile ? file.privateData : undefined;
