/**
 * A VFIO device and its files, whether GROUP_GET_DEVICE_FD made them or its own node (`struct vfio_device`, vfio_device_fops in
 * drivers/vfio/vfio_main.c). Reads, writes and nearly every ioctl go to the driver's ops; the first open and the last
 * close are told to the driver, the ones between are not (5.10 told it each time).
 */

import type { Hva } from '../../address.ts';
import { watch } from '../../event.ts';
import type { FileOperations, OpenFile } from '../core/file.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import type { Vma } from '../core/vma.ts';
import type { IommufdAccess } from '../iommufd/access.ts';
import { EINVAL, ENODEV, ENOTTY } from '../uapi/errno.ts';
import {
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '../uapi/vfio.ts';
import { getSized, offsetOfEnd } from './argsz.ts';
import type { UnmapListener } from './dma-space.ts';
import { vfioDeviceRead, vfioDeviceWrite } from './events.ts';
import type { Type1 } from './type1.ts';

/** What a driver does for its device: `struct vfio_device_ops`. A missing method answers -EINVAL. */
export interface VfioDeviceOps {
  /** The first open. `device.kvm` is the VM's by then, if the group has one. */
  openDevice?(): number;
  /** The last close. */
  closeDevice?(): void;
  read?(buffer: Hva, count: number, position: number): number;
  write?(buffer: Hva, count: number, position: number): number;
  ioctl?(request: number, argument: number): number;
  mmap?(vma: Vma): number;
  /** VFIO_DEVICE_FEATURE of a feature that is the driver's; its `argsz` bytes of data are at user address `data`. */
  deviceFeature?(flags: number, data: number, argsz: number): number;
  /** Whether the `name` that VFIO_GROUP_GET_DEVICE_FD was given is this device's, with whatever options follow it; -errno for a bad one. */
  match?(name: string): boolean | number;
  /** The host wants the device back while a file of it is open: the n-th time it asks. */
  request?(count: number): void;
  /** Nobody refers to the device any more. */
  release?(): void;
  /** A mapping goes: unpin what `vfio_pin_pages` pinned of it. Only a driver with this method may pin. */
  dmaUnmap?(iova: bigint, size: bigint): void;
}

/** Called with an action and its data: `struct notifier_block`. */
export interface NotifierBlock {
  notify(action: number, data: unknown): void;
}

/** What a device needs of the iommufd that it is bound to: it has a number there, and an I/O address space or none. */
export interface IommufdBinding {
  readonly id: number;
  /** The file of the iommufd, to which the device's file holds a reference. */
  readonly file: OpenFile;
  /** Where the device is a mediated one: how its driver reaches memory. */
  readonly access: IommufdAccess | undefined;
  /** Give it the space, or the page table, of this number: the number of what it has now, or -errno. */
  attach(id: number): number;
  detach(): void;
  unbind(): void;
}

/** What a device needs of its group. */
export interface GroupOfDevice {
  readonly id: number;
  readonly iommuGroup: IommuGroup;
  /** IOMMU backend of the group's container; undefined while there is none. */
  readonly iommu: Type1 | undefined;
  /** The opaque VM pointer that the kvm-vfio device gave the group. */
  readonly kvm: object | undefined;
  readonly notifiers: Set<NotifierBlock>;
}

/** The core's features, for drivers with migration ops. */
const MIGRATION_FEATURES: readonly number[] = [
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
];

const REGION_SIZE = 2 ** 40;
/** A product with a power of two is exact, and quicker than a quotient. */
const REGIONS_A_BYTE = 2 ** -40;
/** Region index of a file offset: of all that a number can hold exactly it has 13 bits. */
export const regionOf = (position: number): number => (position * REGIONS_A_BYTE) | 0;
/** Offset in the region of a file offset. */
export const offsetInRegion = (position: number): number => position - regionOf(position) * REGION_SIZE;
/** File offset of a region. */
export const regionOffset = (index: number): bigint => BigInt(index) << 40n;

/** `struct vfio_device`. */
export class VfioDevice {
  readonly kernel: Kernel;
  /** dev_name, which GET_DEVICE_FD asks for. */
  readonly name: string;
  readonly ops: VfioDeviceOps;
  /** What its files do: vfio_device_fops. */
  readonly fileOperations: FileOperations;
  /** Module of the driver: each open file holds a reference to it. */
  readonly owner: string;
  /** Undefined before registration and after removal. */
  group: GroupOfDevice | undefined;
  openCount = 0;
  /** Open files of it: those that count in `openCount`, and those of its own node that are not bound. */
  files = 0;
  /** The VM of the group, or of the device's own file, as it was at the first open; undefined while closed. Opaque to VFIO. */
  kvm: object | undefined;
  /** While the device is open by its own node. */
  iommufd: IommufdBinding | undefined;
  /** Who else is told before a mapping of the iommufd's goes: notifiers of 5.10. */
  readonly unmapListeners = new Set<UnmapListener>();
  /** The driver's, and VFIO's while the device is registered. */
  #references = 1;

  constructor(kernel: Kernel, name: string, owner: string, ops: VfioDeviceOps) {
    this.kernel = kernel;
    this.name = name;
    this.owner = owner;
    this.ops = ops;
    this.fileOperations = operationsOf(this);
  }

  get(): void {
    this.#references++;
  }

  put(): void {
    if (--this.#references === 0) this.ops.release?.();
  }

  /**
   * vfio_df_open: one open more. The first gives the device its VM and calls the driver; `prepare` comes before the driver.
   * 0, -ENODEV while the module goes, or the refusal of either.
   */
  open(kvm: object | undefined, prepare: () => number = () => 0): number {
    const { kernel } = this;
    const module = kernel.modules.find(this.owner);
    if (module?.tryGet() === false) return kernel.refuse(ENODEV, `module ${this.owner} is being unloaded`);
    this.openCount++;
    if (this.openCount > 1) return 0;
    let error = prepare();
    if (error === 0) {
      this.kvm = kvm;
      error = this.ops.openDevice?.() ?? 0;
    }
    if (error < 0) {
      this.kvm = undefined;
      this.openCount = 0;
      module?.put();
    }
    return error;
  }

  /** vfio_df_close: the last close calls the driver, and then `release`. */
  close(release: () => void = () => {}): void {
    if (this.openCount === 1) {
      this.ops.closeDevice?.();
      release();
      this.kvm = undefined;
    }
    this.openCount--;
    this.kernel.modules.find(this.owner)?.put();
  }

  /** A mapping of the container goes; the driver unpins its pages of it. */
  dmaUnmap(iova: bigint, size: bigint): void {
    this.ops.dmaUnmap?.(iova, size);
  }

  /** vfio_device_fops_unl_ioctl. */
  ioctl(request: number, argument: number): number {
    if (request === VFIO_DEVICE_FEATURE.number) return this.#feature(argument);
    if (this.ops.ioctl === undefined) return this.kernel.refuse(EINVAL, `the driver of ${this.name} has no ioctl`);
    return this.ops.ioctl(request, argument);
  }

  /** vfio_ioctl_device_feature. No driver here has ops for migration, whose features are VFIO's own. */
  #feature(argument: number): number {
    const { kernel } = this;
    const feature = getSized(kernel, vfio_device_feature, 'flags', argument);
    if (typeof feature === 'number') return feature;
    const { flags } = feature;
    const known =
      VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;
    if (flags & ~known) return kernel.refuse(EINVAL, `DEVICE_FEATURE has no flag 0x${(flags & ~known).toString(16)}`);
    const both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
    if (!(flags & VFIO_DEVICE_FEATURE_PROBE) && (flags & both) === both) {
      return kernel.refuse(EINVAL, 'DEVICE_FEATURE takes GET or SET, both only with PROBE');
    }
    const number = flags & VFIO_DEVICE_FEATURE_MASK;
    if (MIGRATION_FEATURES.includes(number)) {
      return kernel.refuse(ENOTTY, `the driver of ${this.name} has no migration`);
    }
    if (this.ops.deviceFeature === undefined) {
      return kernel.refuse(EINVAL, `the driver of ${this.name} has no features, such as ${number}`);
    }
    const header = offsetOfEnd(vfio_device_feature, 'flags');
    return this.ops.deviceFeature(flags, argument + header, feature.argsz - header);
  }
}

/** One open of a device: `struct vfio_device_file`. */
export interface DeviceFile {
  /** The device may be used: from the start by a group's file, once bound to an iommufd by the device's own. */
  readonly granted: boolean;
  /** VFIO_DEVICE_BIND_IOMMUFD: 0 or -errno. */
  bind(argument: number): number;
  /** The ioctls that this kind of file has besides the device's; undefined for others. */
  ioctl(request: number, argument: number): number | undefined;
  release(): void;
}

const fileOf = (file: OpenFile): DeviceFile => file.privateData as DeviceFile;

/** -EINVAL for whatever is asked of a device that is open by its own node and bound to nothing. */
const notBound = ({ kernel, name }: VfioDevice): number =>
  kernel.refuse(EINVAL, `${name} is bound to no iommufd yet: VFIO_DEVICE_BIND_IOMMUFD comes first`);

/** A file of it, whose private data is a {@link DeviceFile}. Hot: read and write, which are this device's own, so that to V8 it is a constant. */
const operationsOf = (device: VfioDevice): FileOperations => {
  const { kernel, ops, name } = device;
  const missing = (call: string): number => kernel.refuse(EINVAL, `the driver of ${name} has no ${call}`);
  return {
    read(file, buffer, count, position) {
      if (fileOf(file).granted !== true) return notBound(device);
      if (watch.on && vfioDeviceRead.on) {
        const [region, offset] = [regionOf(position), offsetInRegion(position)];
        vfioDeviceRead(kernel.stream, { device: name, region, offset, count });
      }
      return ops.read === undefined ? missing('read') : ops.read(buffer, count, position);
    },
    write(file, buffer, count, position) {
      if (fileOf(file).granted !== true) return notBound(device);
      if (watch.on && vfioDeviceWrite.on) {
        const [region, offset] = [regionOf(position), offsetInRegion(position)];
        vfioDeviceWrite(kernel.stream, { device: name, region, offset, count });
      }
      return ops.write === undefined ? missing('write') : ops.write(buffer, count, position);
    },
    ioctl(file, request, argument) {
      const open = fileOf(file);
      if (request === VFIO_DEVICE_BIND_IOMMUFD.number) return open.bind(argument);
      if (!open.granted) return notBound(device);
      return open.ioctl(request, argument) ?? device.ioctl(request, argument);
    },
    mmap(file, vma) {
      if (fileOf(file).granted !== true) return notBound(device);
      return ops.mmap === undefined ? missing('mmap') : ops.mmap(vma);
    },
    release: (file) => fileOf(file).release(),
  };
};
