/** What programs and drivers of the user's import as `gvm/uapi`: numbers and structures of the user API, as Linux's headers name them. */

export * from './errno.ts';
export * from './kvm.ts';
export * from './pci.ts';
export * from './syscalls.ts';
export * from './vfio.ts';
