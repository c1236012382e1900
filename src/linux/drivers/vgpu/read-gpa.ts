/**
 * read_gpa and its counterpart: how a device model reaches the guest's memory (a mail to the KVM and VFIO lists, January 2016). The guest
 * physical address is looked up in KVM's memory slots, which gives an address in the VM's process; which way leads there depends on who
 * asks. A vCPU's thread is of that process: copy_from_user. A thread of the kernel is not, and needs access_remote_vm.
 */

import { type Gpa, PAGE_SIZE, pageNumber, pageOffset } from '../../../address.ts';
import { accessRemoteVm } from '../../core/access-remote-vm.ts';
import type { Kernel } from '../../core/kernel.ts';
import { kvmSymbol } from '../../core/kvm-symbols.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { vgpuGuestAccess } from '../events.ts';

/** How to get at user memory. */
export type Way = 'copy_from_user' | 'access_remote_vm';

/** Guest memory of one VM, for the device `name`. */
export class GuestMemory {
  readonly #kernel: Kernel;
  readonly #name: string;
  readonly #kvm: object;

  constructor(kernel: Kernel, name: string, kvm: object) {
    this.#kernel = kernel;
    this.#name = name;
    this.#kvm = kvm;
  }

  /** Fill `bytes` from `gpa`: 0 or -EFAULT. */
  read(gpa: Gpa, bytes: Uint8Array, way: Way): number {
    return this.#access(gpa, bytes, way, false);
  }

  /** Write `bytes` to `gpa`: 0 or -EFAULT. */
  write(gpa: Gpa, bytes: Uint8Array, way: Way): number {
    return this.#access(gpa, bytes, way, true);
  }

  #access(gpa: Gpa, bytes: Uint8Array, way: Way, write: boolean): number {
    const result = this.#byPages(gpa, bytes, way, write);
    if (vgpuGuestAccess.on) {
      vgpuGuestAccess(this.#kernel.stream, {
        device: this.#name,
        write,
        gpa,
        length: bytes.length,
        task: this.#kernel.current.name,
        call: write && way === 'copy_from_user' ? 'copy_to_user' : way,
        result,
      });
    }
    return result;
  }

  #byPages(gpa: Gpa, bytes: Uint8Array, way: Way, write: boolean): number {
    for (let done = 0; done < bytes.length; ) {
      const at = gpa + done;
      const piece = bytes.subarray(done, done + PAGE_SIZE - pageOffset(at));
      const page = kvmSymbol(this.#kernel, 'gfn_to_hva')(this.#kvm, pageNumber(at));
      if (page === undefined) {
        return this.#kernel.refuse(EFAULT, `no memory slot holds guest physical address 0x${at.toString(16)}`);
      }
      const error = this.#copy(page + pageOffset(at), piece, way, write);
      if (error < 0) return error;
      done += piece.length;
    }
    return 0;
  }

  #copy(address: number, piece: Uint8Array, way: Way, write: boolean): number {
    const kernel = this.#kernel;
    if (way === 'access_remote_vm') {
      const mm = kvmSymbol(kernel, 'kvm_mm')(this.#kvm);
      return accessRemoteVm(kernel, mm, address, piece, write) === piece.length ? 0 : -EFAULT;
    }
    const error = write ? copyToUser(kernel, address, piece) : copyFromUser(kernel, piece, address);
    if (error === 0) return 0;
    const { name } = kernel.current;
    return kernel.refuse(
      EFAULT,
      `${name} has nothing at 0x${address.toString(16)}: that is an address of the VM's process`,
    );
  }
}
