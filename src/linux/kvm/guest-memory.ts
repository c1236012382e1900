/**
 * Guest memory as kernel code sees it: kvm_read_guest and kvm_write_guest, what an mdev driver calls with the kvm pointer
 * that VFIO gave it (virt/kvm/kvm_main.c).
 *
 * The bytes are copied from and to the address space of the *current* process: the caller must run in the VM's process,
 * as the pwrite of its vCPU thread does.
 */

import { type Gpa, type Hva, PAGE_SIZE, pageNumber, pageOffset } from '../../address.ts';
import { copyFromUser, copyToUser } from '../core/uaccess.ts';
import { EFAULT } from '../uapi/errno.ts';
import { isReadonly, slotHva } from './memslots.ts';
import { Vm } from './vm.ts';

/** The `struct kvm *` behind an opaque pointer; anything else is a bug of the calling driver. */
export function kvmOf(kvm: object): Vm {
  if (!(kvm instanceof Vm)) throw new TypeError('the functions of KVM for drivers take the kvm pointer that VFIO gave');
  return kvm;
}

/**
 * Copy `length` bytes of guest memory at `gpa` into `buffer`. Each page is looked up by itself, so an access may cross
 * slots. 0, or -EFAULT at the first page that has no slot or whose memory is not there: earlier bytes are copied by then.
 * A device's addresses have no slot: they fail too.
 */
export function kvm_read_guest(kvm: object, gpa: Gpa, buffer: Uint8Array, length: number): number {
  const vm = kvmOf(kvm);
  for (let done = 0; done < length; ) {
    const at = (gpa + done) as Gpa;
    const piece = Math.min(length - done, PAGE_SIZE - pageOffset(at));
    const slot = vm.memslots.find(pageNumber(at));
    if (slot === undefined) return noSlot(vm, at);
    const from = (slotHva(slot, pageNumber(at)) + pageOffset(at)) as Hva;
    if (copyFromUser(vm.kernel, buffer.subarray(done, done + piece), from) !== 0) return -EFAULT;
    done += piece;
  }
  return 0;
}

/** The opposite direction: as {@link kvm_read_guest}; a READONLY slot is -EFAULT as well. */
export function kvm_write_guest(kvm: object, gpa: Gpa, buffer: Uint8Array, length: number): number {
  const vm = kvmOf(kvm);
  for (let done = 0; done < length; ) {
    const at = (gpa + done) as Gpa;
    const piece = Math.min(length - done, PAGE_SIZE - pageOffset(at));
    const slot = vm.memslots.find(pageNumber(at));
    if (slot === undefined) return noSlot(vm, at);
    if (isReadonly(slot)) return vm.kernel.refuse(EFAULT, `memory slot ${slot.id} is read-only`);
    const to = (slotHva(slot, pageNumber(at)) + pageOffset(at)) as Hva;
    if (copyToUser(vm.kernel, to, buffer.subarray(done, done + piece)) !== 0) return -EFAULT;
    vm.markDirty(slot, pageNumber(at));
    done += piece;
  }
  return 0;
}

const noSlot = (vm: Vm, gpa: Gpa) =>
  vm.kernel.refuse(EFAULT, `no memory slot holds guest physical address 0x${gpa.toString(16)}`);
