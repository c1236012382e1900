/**
 * The interface of a mediated driver, as it was up to Linux 5.18 and as the blog that gvm models uses it:
 * `struct mdev_parent_ops` (include/linux/mdev.h of 5.10). What user space sees of it is Linux 6.1's; the differences:
 *
 * - `create` runs in the probe of the device on the mdev bus, so its errno is also the kernel log's "probe failed".
 * - `open` runs at the first GET_DEVICE_FD and `release` at the last close; 5.10 called them every time.
 */

import type { Hva } from '../../address.ts';
import type { Vma } from '../core/vma.ts';
import type { Mdev } from './device.ts';
import type { MdevAttributeGroup } from './driver.ts';
import type { MdevType, MdevTypeGroup } from './type.ts';

/**
 * A mediated driver. Every callback returns a result or -errno. `State` is what the driver keeps for each device
 * (mdev_set_drvdata). Without read, write, ioctl or mmap that call on the device file is -EINVAL.
 */
export interface MdevParentOps<State> {
  /** Name of the module: the driver's name on the mdev bus, and the owner of its references. */
  readonly owner: string;
  readonly supported_type_groups: readonly MdevTypeGroup[];
  readonly mdev_attr_groups?: readonly MdevAttributeGroup[];
  /** A UUID was written to a type's `create`. Sets `mdev.drvdata`. */
  create(type: MdevType, mdev: Mdev<State>): number;
  /** The device goes; it is not open. */
  remove(mdev: Mdev<State>): void;
  open?(mdev: Mdev<State>): number;
  release?(mdev: Mdev<State>): void;
  read?(mdev: Mdev<State>, buffer: Hva, count: number, position: number): number;
  write?(mdev: Mdev<State>, buffer: Hva, count: number, position: number): number;
  ioctl?(mdev: Mdev<State>, request: number, argument: number): number;
  mmap?(mdev: Mdev<State>, vma: Vma): number;
}
