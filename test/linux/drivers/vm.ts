/** A VM for tests of drivers that are given its kvm pointer: memory and a kvm-vfio device, no vCPU. */

import { plus } from '../../../src/address.ts';
import * as kvm from '../../../src/linux/uapi/kvm.ts';
import { type Host, int, shown } from './host.ts';

export const RAM = 0x20000;

/** A VM whose RAM from 0 is `ram`, and its kvm-vfio device. KVM has to be loaded. */
export function createVm(host: Host) {
  const fd = host.ioctl(host.open('/dev/kvm'), kvm.KVM_CREATE_VM);
  const ram = host.map(RAM);
  const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: BigInt(RAM), userspace_addr: BigInt(ram) };
  host.ioctlStruct(fd, kvm.KVM_SET_USER_MEMORY_REGION, kvm.kvm_userspace_memory_region, slot);
  const type = kvm.KVM_DEV_TYPE_VFIO;
  const { value } = host.ioctlStruct(fd, kvm.KVM_CREATE_DEVICE, kvm.kvm_create_device, { type });
  return { fd, ram, vfio: value.fd };
}

/** GROUP_ADD (1) or GROUP_DEL (2) of the kvm-vfio device. */
export function setGroup(host: Host, vfio: number, attr: 1n | 2n, groupFd: number): string {
  const at = plus(host.scratch, 0x800);
  host.memory.write(at, int(groupFd));
  const value = { flags: 0, group: kvm.KVM_DEV_VFIO_GROUP, attr, addr: BigInt(at) };
  return shown(host.ioctlStruct(vfio, kvm.KVM_SET_DEVICE_ATTR, kvm.kvm_device_attr, value).result);
}
