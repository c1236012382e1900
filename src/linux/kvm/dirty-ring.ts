/**
 * The dirty ring of a vCPU: the pages that it makes dirty, in the order of their writes, in memory that user space maps
 * (virt/kvm/dirty_ring.c; KVM_CAP_DIRTY_LOG_RING). User space takes entries and marks them, KVM_RESET_DIRTY_RINGS gives them
 * back and lets the next write of their pages be seen again. A ring that is nearly full keeps its vCPU out of the guest.
 */

import { type Hpa, PAGE_SIZE } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { KVM_DIRTY_GFN_F_DIRTY, KVM_DIRTY_GFN_F_RESET, kvm_dirty_gfn } from '../uapi/kvm.ts';
import type { Memslot } from './memslots.ts';
import { kvmDirtyRingPush, kvmDirtyRingReset } from './trace.ts';

const { offsets: GFN, size: ENTRY_SIZE } = kvm_dirty_gfn;
const ENTRIES_PER_PAGE = PAGE_SIZE / ENTRY_SIZE;

export class DirtyRing {
  /** The pages of the ring, which are the vCPU's to free. */
  readonly frames: readonly Hpa[];
  readonly #vcpu: number;
  readonly #stream: EventStream;
  readonly #pages: readonly DataView[];
  readonly #entries: number;
  readonly #softLimit: number;
  /** Entries ever written, and ever given back. */
  #dirtyIndex = 0;
  #resetIndex = 0;

  /** The ring of vCPU `vcpu` in zeroed `frames`, full when only `reserved` entries are left. */
  constructor(
    host: { readonly memory: PhysicalMemory; readonly stream: EventStream },
    vcpu: number,
    frames: readonly Hpa[],
    reserved: number,
  ) {
    const { memory, stream } = host;
    this.frames = frames;
    this.#vcpu = vcpu;
    this.#stream = stream;
    this.#pages = frames.map((frame) => new DataView(memory.wasm.buffer, frame, PAGE_SIZE));
    this.#entries = frames.length * ENTRIES_PER_PAGE;
    this.#softLimit = this.#entries - reserved;
  }

  /** kvm_dirty_ring_soft_full: the vCPU has to wait for user space. */
  get softFull(): boolean {
    return this.#used >= this.#softLimit;
  }

  /** kvm_dirty_ring_push: frame `gfn` of `slot` is dirty. */
  push(slot: Memslot, gfn: number): void {
    const { page, at } = this.#entry(this.#dirtyIndex);
    const [id, offset] = [(slot.asId << 16) | slot.id, gfn - slot.baseGfn];
    page.setUint32(at + GFN.slot, id, true);
    page.setBigUint64(at + GFN.offset, BigInt(offset), true);
    page.setUint32(at + GFN.flags, KVM_DIRTY_GFN_F_DIRTY, true);
    this.#dirtyIndex++;
    if (kvmDirtyRingPush.on) kvmDirtyRingPush(this.#stream, { ...this.#state(), slot: id, offset: BigInt(offset) });
  }

  /** kvm_dirty_ring_reset: give back the entries that user space has marked, from the oldest on. Each one's slot and page number go to `protect`. Returns how many. */
  reset(protect: (slot: number, offset: bigint) => void): number {
    let count = 0;
    for (; this.#used > 0; count++) {
      const { page, at } = this.#entry(this.#resetIndex);
      if ((page.getUint32(at + GFN.flags, true) & KVM_DIRTY_GFN_F_RESET) === 0) break;
      protect(page.getUint32(at + GFN.slot, true), page.getBigUint64(at + GFN.offset, true));
      page.setUint32(at + GFN.flags, 0, true);
      this.#resetIndex++;
    }
    if (kvmDirtyRingReset.on) kvmDirtyRingReset(this.#stream, this.#state());
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
