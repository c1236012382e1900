/** One open of /dev/iommu, as the kernel has it: what user space asks by ioctl, and what VFIO asks for its devices. */

import type { IommuGroup } from '../core/iommu-group.ts';
import { copyFromUser } from '../core/uaccess.ts';
import { EFAULT, ENOTTY } from '../uapi/errno.ts';
import { IommufdAccess } from './access.ts';
import { IommufdDevice } from './device.ts';
import { ioctls } from './ioctls.ts';
import { IommufdState } from './state.ts';

export class IommufdContext extends IommufdState {
  /** iommufd_fops_ioctl: 0 or -errno. */
  ioctl(request: number, argument: number): number {
    const known = ioctls.find(({ ioctl }) => ioctl.number === request);
    if (known !== undefined) return known.run(this, argument);
    // Every structure begins with its size, which is read before the direction and the size in the number are looked at.
    if (ioctls.some(({ ioctl }) => (ioctl.number & 0xff) === (request & 0xff))) {
      if (copyFromUser(this.kernel, new Uint8Array(4), argument) < 0) {
        return this.kernel.refuse(EFAULT, `no size is at 0x${argument.toString(16)}`);
      }
    }
    return this.kernel.refuse(ENOTTY, `an iommufd has no ioctl 0x${request.toString(16)}`);
  }

  /** iommufd_fops_release. No device is bound: each holds a reference to the file. */
  release(): void {
    this.objects.removeAll();
  }

  /** iommufd_device_bind: see {@link IommufdDevice.claim}. */
  bindDevice(name: string, group: IommuGroup): IommufdDevice | number {
    return IommufdDevice.claim(this, name, group);
  }

  /** iommufd_access_create: `onUnmap` makes the driver unpin what it has pinned in a range. */
  createAccess(name: string, onUnmap: (iova: bigint, length: bigint) => void): IommufdAccess {
    return new IommufdAccess(this, name, onUnmap);
  }

  /** iommufd_ctx_has_group: a device of the group is bound to this iommufd. */
  hasGroup(group: IommuGroup): boolean {
    return this.groups.has(group);
  }
}
