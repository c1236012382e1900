/** /dev/iommu, a misc device (drivers/iommu/iommufd/main.c of Linux 6.6): each open is an iommufd of its own. */

import { Device } from '../core/device.ts';
import { type FileOperations, OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { ENOMEM } from '../uapi/errno.ts';
// Declared from the start, so that --trace knows them before /dev/iommu is opened and the rest is loaded.
import './events.ts';
import { IommufdContext } from './iommufd-context.ts';

const PATH = '/dev/iommu';
const MISC_MAJOR = 10;
/** Fidelity: Linux gives it a free minor; this is the first that it looks at. */
const MINOR = 127;
const MODE = 0o660;

const operations: FileOperations = {
  ioctl: (file, request, argument) => (file.privateData as IommufdContext).ioctl(request, argument),
  release: (file) => (file.privateData as IommufdContext).release(),
};

/** iommufd_init: the node. The class `misc` is there. */
export function initIommufd(kernel: Kernel): void {
  kernel.devices.add(
    new Device({
      name: 'iommu',
      class: 'misc',
      number: { major: MISC_MAJOR, minor: MINOR, node: 'iommu', mode: MODE },
    }),
  );
  kernel.files.registerDevice(PATH, MODE, (flags) =>
    kernel.kmalloc('struct iommufd_ctx') ? new OpenFile(PATH, operations, flags, new IommufdContext(kernel)) : -ENOMEM,
  );
}

/** iommufd_ctx_from_file: undefined if the file is something else. */
export const contextFromFile = (file: OpenFile): IommufdContext | undefined =>
  file.operations === operations ? (file.privateData as IommufdContext) : undefined;
