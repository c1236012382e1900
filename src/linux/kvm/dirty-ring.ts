/**
 * The dirty ring of a vCPU: the pages that it makes dirty, in the order of their writes, in memory that user space maps
 * (virt/kvm/dirty_ring.c; KVM_CAP_DIRTY_LOG_RING). User space takes entries and marks them, KVM_RESET_DIRTY_RINGS gives them
 * back and lets the next write of their pages be seen again. A ring that is nearly full keeps its vCPU out of the guest.
 */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { LOG_ENTRIES } from '../../hardware/vcpu/modification-log.ts';
import { E2BIG, EINVAL } from '../uapi/errno.ts';
import { KVM_DIRTY_GFN_F_DIRTY, KVM_DIRTY_GFN_F_RESET, kvm_dirty_gfn } from '../uapi/kvm.ts';
import { KVM_ADDRESS_SPACES, KVM_USER_MEM_SLOTS, type Memslot } from './memslots.ts';
import { kvmDirtyRingPush, kvmDirtyRingReset } from './trace.ts';
import type { Vm } from './vm.ts';

/** KVM_DIRTY_RING_MAX_ENTRIES. */
const MAX_ENTRIES = 65536;
/** KVM_DIRTY_RING_RSVD_ENTRIES: room for what KVM itself dirties after the last look. */
const RESERVED_ENTRIES = 64;
const { offsets: GFN, size: ENTRY_SIZE } = kvm_dirty_gfn;
const ENTRIES_PER_PAGE = PAGE_SIZE / ENTRY_SIZE;

/** What KVM_CHECK_EXTENSION says: the largest ring, in bytes. */
export const MAX_RING_BYTES = MAX_ENTRIES * ENTRY_SIZE;

/** kvm_dirty_ring_get_rsvd_entries. */
const reservedEntries = (vm: Vm): number => RESERVED_ENTRIES + (vm.features.modificationLog ? LOG_ENTRIES : 0);

/** kvm_vm_ioctl_enable_dirty_log_ring: `bytes` a vCPU, once and before the first one. 0, -EINVAL or -E2BIG. */
export function enableDirtyRing(vm: Vm, bytes: bigint): number {
  const { kernel } = vm;
  if (bytes === 0n || (bytes & (bytes - 1n)) !== 0n)
    return kernel.refuse(EINVAL, 'a dirty ring is a power of two in bytes');
  if (bytes < BigInt(Math.max(PAGE_SIZE, reservedEntries(vm) * ENTRY_SIZE)))
    return kernel.refuse(EINVAL, `a dirty ring has at least a page, and ${reservedEntries(vm)} entries`);
  if (bytes > BigInt(MAX_RING_BYTES)) return kernel.refuse(E2BIG, `a dirty ring has at most ${MAX_RING_BYTES} bytes`);
  if (vm.dirtyRingBytes !== 0) return kernel.refuse(EINVAL, 'the size of the dirty rings is chosen once');
  if (vm.vcpus.length > 0) return kernel.refuse(EINVAL, 'the size of the dirty rings is chosen before the first vCPU');
  vm.dirtyRingBytes = Number(bytes);
  return 0;
}

/** KVM_RESET_DIRTY_RINGS: how many entries user space had taken, of all vCPUs; or -EINVAL. */
export function resetDirtyRings(vm: Vm): number {
  if (vm.dirtyRingBytes === 0) return vm.kernel.refuse(EINVAL, 'the VM has no dirty rings');
  let cleared = 0;
  for (const { dirtyRing } of vm.vcpus) cleared += dirtyRing?.reset(vm) ?? 0;
  return cleared;
}

export class DirtyRing {
  /** The pages of the ring, which are the vCPU's to free. */
  readonly frames: readonly Hpa[];
  readonly #vcpu: number;
  readonly #pages: readonly DataView[];
  readonly #entries: number;
  readonly #softLimit: number;
  /** Entries ever written, and ever given back. */
  #dirtyIndex = 0;
  #resetIndex = 0;

  /** `frames` are zeroed. */
  constructor(vm: Vm, vcpu: number, memory: PhysicalMemory, frames: readonly Hpa[]) {
    this.frames = frames;
    this.#vcpu = vcpu;
    this.#pages = frames.map((frame) => new DataView(memory.wasm.buffer, frame, PAGE_SIZE));
    this.#entries = frames.length * ENTRIES_PER_PAGE;
    this.#softLimit = this.#entries - reservedEntries(vm);
  }

  /** kvm_dirty_ring_soft_full: the vCPU has to wait for user space. */
  get softFull(): boolean {
    return this.#used >= this.#softLimit;
  }

  /** kvm_dirty_ring_push: frame `gfn` of `slot` is dirty. */
  push(vm: Vm, slot: Memslot, gfn: number): void {
    const { page, at } = this.#entry(this.#dirtyIndex);
    const [id, offset] = [(slot.asId << 16) | slot.id, gfn - slot.baseGfn];
    page.setUint32(at + GFN.slot, id, true);
    page.setBigUint64(at + GFN.offset, BigInt(offset), true);
    page.setUint32(at + GFN.flags, KVM_DIRTY_GFN_F_DIRTY, true);
    this.#dirtyIndex++;
    if (kvmDirtyRingPush.on) kvmDirtyRingPush(vm.kernel.stream, { ...this.#state(), slot: id, offset: BigInt(offset) });
  }

  /** kvm_dirty_ring_reset: give back the entries that user space has marked, from the oldest on. Returns how many. */
  reset(vm: Vm): number {
    let count = 0;
    for (; this.#used > 0; count++) {
      const { page, at } = this.#entry(this.#resetIndex);
      if ((page.getUint32(at + GFN.flags, true) & KVM_DIRTY_GFN_F_RESET) === 0) break;
      protect(vm, page.getUint32(at + GFN.slot, true), page.getBigUint64(at + GFN.offset, true));
      page.setUint32(at + GFN.flags, 0, true);
      this.#resetIndex++;
    }
    if (kvmDirtyRingReset.on) kvmDirtyRingReset(vm.kernel.stream, this.#state());
    return count;
  }

  get #used(): number {
    return this.#dirtyIndex - this.#resetIndex;
  }

  #state() {
    return { vcpu: this.#vcpu, dirty: this.#dirtyIndex, reset: this.#resetIndex, used: this.#used };
  }

  #entry(index: number): { readonly page: DataView; readonly at: number } {
    const entry = index % this.#entries;
    return { page: this.#pages[Math.floor(entry / ENTRIES_PER_PAGE)]!, at: (entry % ENTRIES_PER_PAGE) * ENTRY_SIZE };
  }
}

/** kvm_reset_dirty_gfn: the entry has been user space's to write, and its slot may be gone. */
function protect(vm: Vm, id: number, offset: bigint): void {
  const [asId, number] = [id >>> 16, id & 0xffff];
  if (asId >= KVM_ADDRESS_SPACES || number >= KVM_USER_MEM_SLOTS) return;
  const slot = vm.memslots.get(number, asId);
  if (slot !== undefined && offset < BigInt(slot.pages)) vm.dirtyTracking.protect(slot, [Number(offset)]);
}
