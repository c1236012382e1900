/** The fd of a KVM_CREATE_DEVICE device: its attributes (virt/kvm/kvm_main.c: kvm_device_ioctl). */

import type { FileOperations, OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { EIO, ENOTTY, EPERM } from '../uapi/errno.ts';
import { KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, kvm_device_attr } from '../uapi/kvm.ts';
import { IoctlTable } from './ioctl-table.ts';
import type { KvmVfioDevice } from './vfio-device.ts';
import type { Vm } from './vm.ts';

/** Private data of a device fd. */
export class DeviceFile {
  readonly vm: Vm;
  readonly kernel: Kernel;
  readonly device: KvmVfioDevice;

  constructor(vm: Vm, device: KvmVfioDevice) {
    this.vm = vm;
    this.kernel = vm.kernel;
    this.device = device;
  }
}

const table = new IoctlTable<DeviceFile>()
  .takes(KVM_SET_DEVICE_ATTR, kvm_device_attr, ({ device }, attribute) => device.setAttribute(attribute))
  .takes(KVM_HAS_DEVICE_ATTR, kvm_device_attr, ({ device }, attribute) => device.hasAttribute(attribute))
  // A device without the accessor answers before its argument is looked at.
  .plain(KVM_GET_DEVICE_ATTR, ({ kernel, device }) => kernel.refuse(EPERM, `${device.name} has no attribute to read`));

export const deviceOperations: FileOperations = {
  ioctl(file, request, argument) {
    const device = deviceOf(file);
    const { kernel, vm } = device;
    if (kernel.current.mm !== vm.mm) return kernel.refuse(EIO, 'the device belongs to another process');
    return table.dispatch(device, request, argument) ?? kernel.refuse(ENOTTY, 'no such device ioctl');
  },
  release(file) {
    const { device, vm } = deviceOf(file);
    device.release();
    vm.put();
  },
};

const deviceOf = (file: OpenFile) => file.privateData as DeviceFile;
