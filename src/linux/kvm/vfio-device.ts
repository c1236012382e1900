/**
 * The kvm-vfio device: through it user space tells KVM which VFIO groups the VM uses, and VFIO gets the kvm pointer
 * (virt/kvm/vfio.c). KVM and VFIO meet only in two symbols, as in Linux: without vfio loaded no file is a group.
 */

import type { OpenFile } from '../core/file.ts';
import { copyFromUser } from '../core/uaccess.ts';
import { EBADF, EEXIST, EINVAL, ENOENT, ENXIO } from '../uapi/errno.ts';
import {
  KVM_DEV_VFIO_GROUP,
  KVM_DEV_VFIO_GROUP_ADD,
  KVM_DEV_VFIO_GROUP_DEL,
  type kvm_device_attr,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { Vm, VmDevice } from './vm.ts';

export type DeviceAttribute = StructOf<typeof kvm_device_attr>;
type FileIsGroup = (file: OpenFile) => boolean;
type FileSetKvm = (file: OpenFile, kvm: object | undefined) => void;

export class KvmVfioDevice implements VmDevice {
  readonly name = 'kvm-vfio';
  readonly #vm: Vm;
  readonly #groups: OpenFile[] = [];

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** 0 or -ENXIO. */
  hasAttribute(attribute: DeviceAttribute): number {
    const known =
      attribute.attr === BigInt(KVM_DEV_VFIO_GROUP_ADD) || attribute.attr === BigInt(KVM_DEV_VFIO_GROUP_DEL);
    if (attribute.group === KVM_DEV_VFIO_GROUP && known) return 0;
    return this.#vm.kernel.refuse(ENXIO, 'the kvm-vfio device has the attributes GROUP_ADD and GROUP_DEL only');
  }

  /** `addr` points to the group's fd as a 32-bit integer. */
  setAttribute(attribute: DeviceAttribute): number {
    const missing = this.hasAttribute(attribute);
    if (missing < 0) return missing;
    const { kernel } = this.#vm;
    const number = new Uint8Array(4);
    const error = copyFromUser(kernel, number, Number(attribute.addr));
    if (error < 0) return error;
    const fd = new DataView(number.buffer).getInt32(0, true);
    const file = kernel.current.files.get(fd);
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
    return attribute.attr === BigInt(KVM_DEV_VFIO_GROUP_ADD) ? this.#add(file) : this.#remove(file);
  }

  destroy(): void {
    for (const file of this.#groups.splice(0)) this.#release(file);
  }

  #add(file: OpenFile): number {
    const { kernel } = this.#vm;
    const isGroup = kernel.symbols.get('vfio_file_is_group') as FileIsGroup | undefined;
    if (isGroup === undefined || !isGroup(file)) return kernel.refuse(EINVAL, `${file.path} is not a VFIO group`);
    if (this.#groups.includes(file)) return kernel.refuse(EEXIST, `${file.path} is with this VM already`);
    this.#groups.push(file.get());
    this.#setKvm(file, this.#vm);
    return 0;
  }

  #remove(file: OpenFile): number {
    const at = this.#groups.indexOf(file);
    if (at < 0) return this.#vm.kernel.refuse(ENOENT, `${file.path} was not added`);
    this.#groups.splice(at, 1);
    this.#release(file);
    return 0;
  }

  #release(file: OpenFile): void {
    this.#setKvm(file, undefined);
    file.put();
  }

  #setKvm(file: OpenFile, kvm: object | undefined): void {
    const setKvm = this.#vm.kernel.symbols.get('vfio_file_set_kvm') as FileSetKvm | undefined;
    setKvm?.(file, kvm);
  }
}
