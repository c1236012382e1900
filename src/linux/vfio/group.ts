/**
 * /dev/vfio/N: an IOMMU group as user space gets it (`struct vfio_group`, drivers/vfio/vfio_main.c of Linux 6.1). The
 * group is opened once, put into a container, and gives out files of its devices.
 */

import { PAGE_SIZE } from '../../address.ts';
import type { Timer } from '../core/clock.ts';
import { type FileOperations, OpenFile } from '../core/file.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, stringFromUser } from '../core/uaccess.ts';
import { EBADF, EBUSY, EFAULT, EINVAL, EMFILE, ENODEV, ENOMEM, ENOTTY } from '../uapi/errno.ts';
import { O_CLOEXEC, O_RDWR } from '../uapi/syscalls.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from '../uapi/vfio.ts';
import { getSized, putSized } from './argsz.ts';
import { containerFromFile, type VfioContainer } from './container.ts';
import type { DeviceFile, GroupOfDevice, NotifierBlock, VfioDevice } from './device.ts';
import { vfioDeviceClose, vfioDeviceOpen, vfioGroupSetKvm } from './events.ts';
import { VFIO_GROUP_NOTIFY_SET_KVM } from './notifier.ts';
import type { Type1 } from './type1.ts';

/** Nanoseconds until a thread that was woken runs. */
const WAKE_UP = 2000;

/** `struct vfio_group`. */
export class VfioGroup implements GroupOfDevice {
  readonly #kernel: Kernel;
  readonly iommuGroup: IommuGroup;
  readonly notifiers = new Set<NotifierBlock>();
  readonly #devices = new Set<VfioDevice>();
  /** What waits for a device's last close, by device: the rest of its removal. */
  readonly #removals = new Map<VfioDevice, () => void>();
  #opened: OpenFile | undefined;
  #container: VfioContainer | undefined;
  /** Open device files: UNSET_CONTAINER must wait for them. */
  #openFiles = 0;
  /** Files of its devices' own nodes that are bound, or being bound: the group cannot be opened beside them. */
  #bound = 0;
  #kvm: object | undefined;
  #gone = false;
  /** A remover who is awake and has yet to take the group out of its container. */
  #revocation: Timer | undefined;

  constructor(kernel: Kernel, iommuGroup: IommuGroup) {
    this.#kernel = kernel;
    this.iommuGroup = iommuGroup;
  }

  /** Number of the IOMMU group, and name of the node. */
  get id(): number {
    return this.iommuGroup.id;
  }

  /** No device is left: nothing can be done with the group any more. */
  get gone(): boolean {
    return this.#gone;
  }

  get path(): string {
    return `/dev/vfio/${this.id}`;
  }

  get iommu(): Type1 | undefined {
    return this.#container?.iommu;
  }

  get container(): VfioContainer | undefined {
    return this.#container;
  }

  get kvm(): object | undefined {
    return this.#kvm;
  }

  /** vfio_group_fops_open: the group's file, -ENODEV if its devices are gone, -EBUSY if somebody has it or a device of it open. */
  open(flags: number): OpenFile | number {
    if (this.#gone) return this.#kernel.refuse(ENODEV, `the devices of group ${this.id} are gone`);
    if (this.#bound > 0) {
      return this.#kernel.refuse(EBUSY, `a device of group ${this.id} is open by its own node and bound to an iommufd`);
    }
    if (this.#opened !== undefined)
      return this.#kernel.refuse(EBUSY, `group ${this.id} is open: it can be opened once`);
    this.#opened = new OpenFile(this.path, groupOperations, flags, this);
    return this.#opened;
  }

  /** vfio_device_block_group: a device of it is being opened by its own node. -EBUSY if the group is open. */
  block(): number {
    if (this.#opened !== undefined) {
      return this.#kernel.refuse(
        EBUSY,
        `group ${this.id} is open: its devices are had by the group, not by their nodes`,
      );
    }
    this.#bound++;
    return 0;
  }

  /** vfio_device_unblock_group. */
  unblock(): void {
    this.#bound--;
  }

  /** vfio_group_fops_unl_ioctl. */
  ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_GROUP_GET_STATUS.number:
        return this.#getStatus(argument);
      case VFIO_GROUP_SET_CONTAINER.number:
        return this.#setContainer(argument);
      case VFIO_GROUP_UNSET_CONTAINER.number:
        return this.#unsetContainer();
      case VFIO_GROUP_GET_DEVICE_FD.number:
        return this.#getDeviceFd(argument);
      default:
        return this.#kernel.refuse(ENOTTY, `a VFIO group has no ioctl 0x${request.toString(16)}`);
    }
  }

  /** vfio_group_fops_release. No device file is open: each holds a reference to this file. */
  release(): void {
    if (this.#revocation !== undefined) this.#kernel.clock.cancel(this.#revocation);
    this.#revocation = undefined;
    if (this.#container !== undefined) this.#detach(this.#container);
    this.#opened = undefined;
  }

  /** vfio_file_set_kvm: the VM that has the group (undefined: none any more). Tells everybody who asked to be told. */
  setKvm(kvm: object | undefined): void {
    this.#kvm = kvm;
    const notified = this.notifiers.size;
    if (vfioGroupSetKvm.on) vfioGroupSetKvm(this.#kernel.stream, { group: this.id, set: kvm !== undefined, notified });
    for (const notifier of [...this.notifiers]) notifier.notify(VFIO_GROUP_NOTIFY_SET_KVM, kvm);
  }

  /** vfio_file_enforced_coherent: whether DMA snoops the caches whatever the guest asks; true for a group in no container. */
  get enforcedCoherent(): boolean {
    return this.#container?.checkExtension(VFIO_DMA_CC_IOMMU) !== 0;
  }

  addDevice(device: VfioDevice): void {
    this.#devices.add(device);
    device.group = this;
  }

  /**
   * vfio_unregister_group_dev: no new opens; `removed` runs once no file of the device is open. Fidelity: Linux puts the
   * remover to sleep until then; here its call returns and the rest happens at the last close.
   */
  removeDevice(device: VfioDevice, removed: () => void): void {
    this.#devices.delete(device);
    const finish = (slept: boolean) => {
      device.group = undefined;
      if (this.#devices.size === 0) this.#revoke(slept);
      removed();
    };
    if (device.files === 0) finish(false);
    else this.#removals.set(device, () => finish(true));
  }

  /** vfio_device_put_registration: a file of the device is gone. With the last one a removal that waits goes on. */
  fileClosed(device: VfioDevice): void {
    if (--device.files > 0) return;
    const finish = this.#removals.get(device);
    this.#removals.delete(device);
    finish?.();
  }

  /**
   * The last device left: the group fd, if open, answers ENODEV from now on, and the group leaves its container. A remover who has
   * `slept` until the last close must be scheduled before he does the latter: who closed mostly lets go of the group first.
   */
  #revoke(slept: boolean): void {
    this.#gone = true;
    const detach = () => {
      this.#revocation = undefined;
      if (this.#container !== undefined) this.#detach(this.#container);
    };
    const { clock } = this.#kernel;
    // The DMA of a real device has to be given back before its next driver asks for it.
    if (slept && this.iommuGroup.ops === undefined) this.#revocation = clock.start(clock.now + WAKE_UP, detach);
    else detach();
  }

  #detach(container: VfioContainer): void {
    container.detachGroup(this);
    this.#container = undefined;
  }

  #getStatus(argument: number): number {
    const status = getSized(this.#kernel, vfio_group_status, 'flags', argument);
    if (typeof status === 'number') return status;
    if (this.#gone) return this.#kernel.refuse(ENODEV, `the devices of group ${this.id} are gone`);
    const joined = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
    const alone = this.iommuGroup.dmaOwned ? 0 : VFIO_GROUP_FLAGS_VIABLE;
    const flags = this.#container === undefined ? alone : joined;
    return putSized(this.#kernel, vfio_group_status, 'flags', argument, { ...status, flags });
  }

  #setContainer(argument: number): number {
    const kernel = this.#kernel;
    const pointee = new Uint8Array(4);
    if (copyFromUser(kernel, pointee, argument) < 0) {
      return kernel.refuse(EFAULT, `the int at 0x${argument.toString(16)} is not in the process's memory`);
    }
    const fd = new DataView(pointee.buffer).getInt32(0, true);
    const file = kernel.current.files.get(fd);
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
    if (this.#container !== undefined) return kernel.refuse(EINVAL, `group ${this.id} already has a container`);
    if (this.#gone) return kernel.refuse(ENODEV, `the devices of group ${this.id} are gone`);
    const container = containerFromFile(file);
    if (container === undefined) return kernel.refuse(EINVAL, `fd ${fd} (${file.path}) is no VFIO container`);
    const error = container.attachGroup(this);
    if (error < 0) return error;
    this.#container = container;
    return 0;
  }

  #unsetContainer(): number {
    const container = this.#container;
    if (container === undefined) return this.#kernel.refuse(EINVAL, `group ${this.id} is in no container`);
    if (this.#openFiles > 0) {
      return this.#kernel.refuse(EBUSY, `${this.#openFiles} device file(s) of group ${this.id} are open`);
    }
    this.#detach(container);
    return 0;
  }

  /** vfio_group_ioctl_get_device_fd: the name is looked up first, then a descriptor, so ENODEV and EMFILE come before EINVAL. */
  #getDeviceFd(argument: number): number {
    const kernel = this.#kernel;
    if (!kernel.kmalloc("a device's name")) return -ENOMEM;
    const name = stringFromUser(kernel, argument, PAGE_SIZE);
    if (name === -EFAULT) return kernel.refuse(EFAULT, `the name at 0x${argument.toString(16)} is not in memory`);
    if (typeof name === 'number') return kernel.refuse(EINVAL, `a device name has at most ${PAGE_SIZE} bytes`);
    const device = this.#deviceOf(name);
    if (typeof device === 'number') return device;
    if (device === undefined) return kernel.refuse(ENODEV, `group ${this.id} has no device "${name}"`);
    if (!kernel.current.files.hasRoom) {
      return kernel.refuse(EMFILE, `process ${kernel.current.name} has all the files open that it may`);
    }
    if (this.#container === undefined) return kernel.refuse(EINVAL, `group ${this.id} is in no container`);
    if (this.iommu === undefined) return kernel.refuse(EINVAL, `the container of group ${this.id} has no IOMMU set`);
    const error = this.#openDevice(device);
    if (error < 0) return error;
    const opened = this.#deviceFile(device);
    const file = kernel.anonFile('[vfio-device]', device.fileOperations, O_RDWR | O_CLOEXEC, opened);
    if (typeof file !== 'number') return kernel.install(file);
    opened.release();
    return file;
  }

  /** vfio_device_get_from_name: the first that takes the name for its own. */
  #deviceOf(name: string): VfioDevice | number | undefined {
    for (const device of this.#devices) {
      const match = device.ops.match?.(name) ?? device.name === name;
      if (typeof match === 'number') return match;
      if (match) return device;
    }
    return undefined;
  }

  /** vfio_device_open. */
  #openDevice(device: VfioDevice): number {
    const error = device.open(this.#kvm);
    if (error < 0) return error;
    this.#openFiles++;
    device.files++;
    if (device.openCount === 1 && device.ops.dmaUnmap !== undefined) this.iommu?.space.listeners.add(device);
    this.#opened?.get();
    if (vfioDeviceOpen.on) {
      vfioDeviceOpen(this.#kernel.stream, { device: device.name, group: this.id, opens: device.openCount });
    }
    return 0;
  }

  #deviceFile(device: VfioDevice): DeviceFile {
    const groupFile = this.#opened;
    return {
      granted: true,
      bind: () =>
        this.#kernel.refuse(EINVAL, `${device.name} was opened by its group: only a file of its own node can be bound`),
      ioctl: () => undefined,
      release: () => {
        this.#closeDevice(device);
        groupFile?.put();
      },
    };
  }

  /** vfio_device_fops_release. */
  #closeDevice(device: VfioDevice): void {
    const last = device.openCount === 1;
    device.close();
    if (last) this.iommu?.space.listeners.delete(device);
    this.#openFiles--;
    if (vfioDeviceClose.on) {
      vfioDeviceClose(this.#kernel.stream, { device: device.name, group: this.id, opens: device.openCount });
    }
    this.fileClosed(device);
  }
}

const groupOperations: FileOperations = {
  ioctl: (file, request, argument) => (file.privateData as VfioGroup).ioctl(request, argument),
  release: (file) => (file.privateData as VfioGroup).release(),
};

/** The group behind a file; undefined if the file is something else. */
export const groupFromFile = (file: OpenFile): VfioGroup | undefined =>
  file.operations === groupOperations ? (file.privateData as VfioGroup) : undefined;
