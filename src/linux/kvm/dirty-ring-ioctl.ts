/** KVM_CAP_DIRTY_LOG_RING and KVM_RESET_DIRTY_RINGS (virt/kvm/kvm_main.c, virt/kvm/dirty_ring.c). */

import { PAGE_SIZE } from '../../address.ts';
import { LOG_ENTRIES } from '../../hardware/vcpu/modification-log.ts';
import { E2BIG, EINVAL } from '../uapi/errno.ts';
import { kvm_dirty_gfn } from '../uapi/kvm.ts';
import { KVM_ADDRESS_SPACES, KVM_USER_MEM_SLOTS } from './memslots.ts';
import type { Vm } from './vm.ts';

/** KVM_DIRTY_RING_MAX_ENTRIES. */
const MAX_ENTRIES = 65536;
/** KVM_DIRTY_RING_RSVD_ENTRIES: room for what KVM itself dirties after the last look. */
const RESERVED_ENTRIES = 64;
const ENTRY_SIZE = kvm_dirty_gfn.size;

/** What KVM_CHECK_EXTENSION says: the largest ring, in bytes. */
export const MAX_RING_BYTES = MAX_ENTRIES * ENTRY_SIZE;

/** kvm_dirty_ring_get_rsvd_entries. */
export const reservedEntries = (vm: Vm): number => RESERVED_ENTRIES + (vm.features.modificationLog ? LOG_ENTRIES : 0);

/** kvm_vm_ioctl_enable_dirty_log_ring: `bytes` a vCPU, once and before the first one. 0, -EINVAL or -E2BIG. */
export function enableDirtyRing(vm: Vm, bytes: number): number {
  const { kernel } = vm;
  if (bytes === 0 || (bytes & (bytes - 1)) !== 0)
    return kernel.refuse(EINVAL, 'a dirty ring is a power of two in bytes');
  if (bytes < Math.max(PAGE_SIZE, reservedEntries(vm) * ENTRY_SIZE))
    return kernel.refuse(EINVAL, `a dirty ring has at least a page, and ${reservedEntries(vm)} entries`);
  if (bytes > MAX_RING_BYTES) return kernel.refuse(E2BIG, `a dirty ring has at most ${MAX_RING_BYTES} bytes`);
  if (vm.dirtyRingBytes !== 0) return kernel.refuse(EINVAL, 'the size of the dirty rings is chosen once');
  if (vm.vcpus.length > 0) return kernel.refuse(EINVAL, 'the size of the dirty rings is chosen before the first vCPU');
  vm.dirtyRingBytes = bytes;
  return 0;
}

/** KVM_RESET_DIRTY_RINGS: how many entries user space had taken, of all vCPUs; or -EINVAL. */
export function resetDirtyRings(vm: Vm): number {
  if (vm.dirtyRingBytes === 0) return vm.kernel.refuse(EINVAL, 'the VM has no dirty rings');
  let cleared = 0;
  for (const { dirtyRing } of vm.vcpus) cleared += dirtyRing?.reset((slot, offset) => protect(vm, slot, offset)) ?? 0;
  if (cleared > 0) vm.dirtyTracking.flush();
  return cleared;
}

/** kvm_reset_dirty_gfn: the entry has been user space's to write, and its slot may be gone. */
function protect(vm: Vm, id: number, offset: bigint): void {
  const [asId, number] = [id >>> 16, id & 0xffff];
  if (asId >= KVM_ADDRESS_SPACES || number >= KVM_USER_MEM_SLOTS) return;
  const slot = vm.memslots.get(number, asId);
  if (slot !== undefined && offset < BigInt(slot.pages)) vm.dirtyTracking.protect(slot, [Number(offset)]);
}
