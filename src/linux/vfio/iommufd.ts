/**
 * How a device of VFIO's belongs to an iommufd (drivers/vfio/iommufd.c of Linux 6.6): one that an IOMMU stands before gives its DMA
 * to it, a mediated one gets access by software.
 */

import type { OpenFile } from '../core/file.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import { contextFromFile } from '../iommufd/file.ts';
import { EBADF, EBADFD } from '../uapi/errno.ts';
import { VFIO_PCI_DEVID_OWNED } from '../uapi/vfio.ts';
import type { IommufdBinding, VfioDevice } from './device.ts';

/** Binds a device to the iommufd behind a file: what it is then, or -errno. */
export type Binder = (file: OpenFile) => IommufdBinding | number;

/** iommufd_ctx_from_fd: the file of the current process's descriptor `fd`. -EBADF; -EBADFD for one that is no iommufd. */
export function iommufdFile({ kernel }: VfioDevice, fd: number): OpenFile | number {
  const file = kernel.current.files.get(fd);
  if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
  if (contextFromFile(file) === undefined) return kernel.refuse(EBADFD, `fd ${fd} (${file.path}) is no iommufd`);
  return file;
}

/** vfio_iommufd_get_dev_id: the number of a device in the iommufd of `binding`; undefined if it is none of its devices nor of their groups. */
export function numberIn(binding: IommufdBinding, vfio: VfioDevice, group: IommuGroup): number | undefined {
  if (vfio.iommufd?.file === binding.file) return vfio.iommufd.id;
  return contextFromFile(binding.file)?.hasGroup(group) === true ? VFIO_PCI_DEVID_OWNED : undefined;
}

/** vfio_iommufd_physical_bind, _attach_ioas, _detach_ioas, _unbind. */
export function physicalBinder(vfio: VfioDevice, group: IommuGroup): Binder {
  return (file) => {
    const device = contextFromFile(file)!.bindDevice(vfio.name, group);
    if (typeof device === 'number') return device;
    return {
      id: device.id,
      file: file.get(),
      access: undefined,
      attach: (id) => device.attach(id),
      detach: () => device.detach(),
      unbind: () => {
        device.detach();
        device.unbind();
        file.put();
      },
    };
  };
}

/** vfio_iommufd_emulated_bind, _attach_ioas, _detach_ioas, _unbind. */
export function emulatedBinder(vfio: VfioDevice): Binder {
  return (file) => {
    const access = contextFromFile(file)!.createAccess(vfio.name, (iova, length) => {
      vfio.dmaUnmap(iova, length);
      for (const listener of [...vfio.unmapListeners]) listener.dmaUnmap(iova, length);
    });
    return {
      id: access.id,
      file: file.get(),
      access,
      attach: (id) => access.attach(id),
      detach: () => access.detach(),
      unbind: () => {
        access.detach();
        access.unbind();
        file.put();
      },
    };
  };
}
