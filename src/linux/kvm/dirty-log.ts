/**
 * KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG: which pages of a slot the guest has written (virt/kvm/kvm_main.c:
 * kvm_get_dirty_log_protect, kvm_clear_dirty_log_protect). How a write comes to be known is the MMU's business
 * (dirty-tracking.ts).
 */

import { copyFromUser, copyToUser, refusePointer } from '../core/uaccess.ts';
import { EINVAL, ENOENT, ENXIO } from '../uapi/errno.ts';
import type { kvm_clear_dirty_log, kvm_dirty_log } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { BITS_PER_LONG, type DirtyBitmap } from './dirty-bitmap.ts';
import { KVM_ADDRESS_SPACES, KVM_USER_MEM_SLOTS, type Memslot } from './memslots.ts';
import type { Vm } from './vm.ts';

type LoggedSlot = Memslot & { readonly dirty: DirtyBitmap };

/** KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: reading the log does not clear it. */
export const MANUAL_PROTECT_ENABLE = 1n;
/** KVM_DIRTY_LOG_INITIALLY_SET: a new log says that all pages are dirty. */
export const INITIALLY_SET = 2n;

/** KVM_ENABLE_CAP of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 0 or -EINVAL. */
export function setManualProtect(vm: Vm, flags: number, mode: bigint): number {
  const allowed = mode & MANUAL_PROTECT_ENABLE ? MANUAL_PROTECT_ENABLE | INITIALLY_SET : MANUAL_PROTECT_ENABLE;
  if (flags !== 0 || mode & ~allowed)
    return vm.kernel.refuse(EINVAL, 'manual dirty-log protection is 0, 1, or 3 (initially set needs manual)');
  vm.dirtyTracking.manual = (mode & MANUAL_PROTECT_ENABLE) !== 0n;
  vm.memslots.initiallyDirty = (mode & INITIALLY_SET) !== 0n;
  return 0;
}

/** KVM_GET_DIRTY_LOG: 0, -ENXIO, -EINVAL, -ENOENT or -EFAULT. */
export function getDirtyLog(vm: Vm, log: StructOf<typeof kvm_dirty_log>): number {
  const slot = loggedSlot(vm, log.slot);
  if (typeof slot === 'number') return slot;
  vm.flushModificationLogs();
  const { dirty } = slot;
  dirty.copy();
  if (!vm.dirtyTracking.manual) {
    const pages = dirty.told().flatMap(({ offset, bytes }) => dirty.clear(offset * 8, bytes));
    vm.dirtyTracking.protect(slot, pages);
    if (pages.length > 0) vm.dirtyTracking.flush();
  }
  for (const { offset, bytes } of dirty.told()) {
    const at = Number(log.dirty_bitmap) + offset;
    if (copyToUser(vm.kernel, at, bytes) < 0) return refusePointer(vm.kernel, at, bytes.length);
  }
  return 0;
}

/** KVM_CLEAR_DIRTY_LOG: 0, -ENXIO, -EINVAL, -ENOENT or -EFAULT. */
export function clearDirtyLog(vm: Vm, log: StructOf<typeof kvm_clear_dirty_log>): number {
  const { kernel } = vm;
  const { num_pages: count } = log;
  if (vm.dirtyRingBytes === 0 && log.first_page % BigInt(BITS_PER_LONG))
    return kernel.refuse(EINVAL, 'the first page is a multiple of 64');
  const slot = loggedSlot(vm, log.slot);
  if (typeof slot === 'number') return slot;
  const left = slot.pages - Number(log.first_page);
  if (left < 0 || count > left) return kernel.refuse(EINVAL, `slot ${slot.id} has ${slot.pages} pages`);
  if (count < left && count % BITS_PER_LONG !== 0)
    return kernel.refuse(EINVAL, 'the number of pages is a multiple of 64, unless it reaches the end of the slot');
  vm.flushModificationLogs();
  const mask = new Uint8Array(Math.ceil(count / BITS_PER_LONG) * (BITS_PER_LONG / 8));
  const at = Number(log.dirty_bitmap);
  if (copyFromUser(kernel, mask, at) < 0) return refusePointer(kernel, at, mask.length);
  const pages = slot.dirty.clear(Number(log.first_page), mask);
  vm.dirtyTracking.protect(slot, pages);
  if (pages.length > 0) vm.dirtyTracking.flush();
  return 0;
}

function loggedSlot(vm: Vm, number: number): LoggedSlot | number {
  const { kernel } = vm;
  if (vm.dirtyRingBytes !== 0) return kernel.refuse(ENXIO, 'the VM notes dirty pages in rings');
  const id = number & 0xffff;
  const asId = number >>> 16;
  if (asId >= KVM_ADDRESS_SPACES || id >= KVM_USER_MEM_SLOTS)
    return kernel.refuse(EINVAL, `address space ${asId}, slot ${id} does not exist`);
  const slot = vm.memslots.get(id, asId);
  if (slot?.dirty === undefined) return kernel.refuse(ENOENT, `slot ${id} does not log dirty pages`);
  return slot as LoggedSlot;
}
