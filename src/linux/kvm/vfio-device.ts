/**
 * The kvm-vfio device: through it user space tells KVM which files of VFIO the VM uses, groups or devices (Linux 6.6), and VFIO
 * gets the kvm pointer (virt/kvm/vfio.c). KVM and VFIO meet only in two symbols, as in Linux: without vfio loaded no file is VFIO's.
 */

import type { OpenFile } from '../core/file.ts';
import { copyFromUser, refusePointer } from '../core/uaccess.ts';
import { EBADF, EEXIST, EINVAL, ENOENT, ENOMEM, ENXIO } from '../uapi/errno.ts';
import { KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL, type kvm_device_attr } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { Vm, VmDevice } from './vm.ts';

export type DeviceAttribute = StructOf<typeof kvm_device_attr>;
type FilePredicate = (file: OpenFile) => boolean;
type FileSetKvm = (file: OpenFile, kvm: object | undefined) => void;

export class KvmVfioDevice implements VmDevice {
  readonly name = 'kvm-vfio';
  readonly #vm: Vm;
  readonly #files: OpenFile[] = [];

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** 0 or -ENXIO. */
  hasAttribute(attribute: DeviceAttribute): number {
    const known = attribute.attr === BigInt(KVM_DEV_VFIO_FILE_ADD) || attribute.attr === BigInt(KVM_DEV_VFIO_FILE_DEL);
    if (attribute.group === KVM_DEV_VFIO_FILE && known) return 0;
    return this.#vm.kernel.refuse(
      ENXIO,
      'the kvm-vfio device has the attributes FILE_ADD and FILE_DEL only (once GROUP_ADD and GROUP_DEL)',
    );
  }

  /** `addr` points to the file's fd as a 32-bit integer. */
  setAttribute(attribute: DeviceAttribute): number {
    const missing = this.hasAttribute(attribute);
    if (missing < 0) return missing;
    const { kernel } = this.#vm;
    const number = new Uint8Array(4);
    const at = Number(attribute.addr);
    if (copyFromUser(kernel, number, at) < 0) return refusePointer(kernel, at, number.length);
    const fd = new DataView(number.buffer).getInt32(0, true);
    const file = kernel.current.files.get(fd);
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
    return attribute.attr === BigInt(KVM_DEV_VFIO_FILE_ADD) ? this.#add(file) : this.#remove(file);
  }

  /**
   * The descriptor is closed. Groups stay until the VM ends, as in 6.1; devices go at once, as all files do in 6.6 (kvm_vfio_release):
   * a driver may hold the VM as long as its device is open.
   */
  release(): void {
    const isGroup = this.#vm.kernel.symbols.get('vfio_file_is_group') as FilePredicate | undefined;
    for (const file of this.#files.filter((each) => isGroup?.(each) === false)) {
      this.#files.splice(this.#files.indexOf(file), 1);
      this.#release(file);
    }
  }

  destroy(): void {
    for (const file of this.#files.splice(0)) this.#release(file);
  }

  #add(file: OpenFile): number {
    const { kernel } = this.#vm;
    const isValid = kernel.symbols.get('vfio_file_is_valid') as FilePredicate | undefined;
    if (isValid === undefined || !isValid(file))
      return kernel.refuse(EINVAL, `${file.path} is no group and no device of VFIO`);
    if (this.#files.includes(file)) return kernel.refuse(EEXIST, `${file.path} is with this VM already`);
    if (!kernel.kmalloc('struct kvm_vfio_file')) return -ENOMEM;
    this.#files.push(file.get());
    this.#setKvm(file, this.#vm);
    return 0;
  }

  #remove(file: OpenFile): number {
    const at = this.#files.indexOf(file);
    if (at < 0) return this.#vm.kernel.refuse(ENOENT, `${file.path} was not added`);
    this.#files.splice(at, 1);
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
