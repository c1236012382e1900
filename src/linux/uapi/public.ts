/** What programs and drivers of the user's import as `gvm/uapi`: numbers and structures of the user API, as Linux's headers name them. */

export { hva, PAGE_SIZE } from '../../address.ts';
export * from './errno.ts';
export type { Ioctl } from './ioctl.ts';
export * from './iommufd.ts';
export * from './kvm.ts';
export * from './pci.ts';
export type { Members, Struct, StructOf, StructValue } from './struct.ts';
export * from './syscalls.ts';
export * from './vfio.ts';
