/**
 * The graphics address table: a page of the guest's memory with 512 entries, guest physical address | 1 each. The device keeps a shadow
 * of it, as KVMGT does of the guest's GTT: KVM write-protects the guest's page and tells of every write to it (page_track).
 */

import { type Gpa, gpa, PAGE_SIZE } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import { type KvmPageTrackNotifier, kvmSymbol } from '../../core/kvm-symbols.ts';
import { vgpuTrackWrite } from '../events.ts';

const PRESENT = 1n;
const ENTRIES = PAGE_SIZE / 8;

export class GraphicsTable implements KvmPageTrackNotifier {
  readonly #kernel: Kernel;
  readonly #name: string;
  readonly #kvm: object;
  readonly #gfn: number;
  #slot: object | undefined;
  readonly #shadow: DataView;
  #writes = 0;

  /** Track frame `gfn` of `slot`, whose content is `page` now. */
  constructor(kernel: Kernel, name: string, kvm: object, gfn: number, slot: object, page: Uint8Array) {
    this.#kernel = kernel;
    this.#name = name;
    this.#kvm = kvm;
    this.#gfn = gfn;
    this.#slot = slot;
    this.#shadow = new DataView(Uint8Array.from(page).buffer);
    kvmSymbol(kernel, 'kvm_page_track_register_notifier')(kvm, this);
    kvmSymbol(kernel, 'kvm_slot_page_track_add_page')(kvm, slot, gfn);
  }

  /** Writes of the guest to the table, since it was given. */
  get writes(): number {
    return this.#writes;
  }

  /** Guest physical address behind graphics address `address`; undefined without a present entry. */
  translate(address: number): Gpa | undefined {
    const index = Math.floor(address / PAGE_SIZE);
    if (index >= ENTRIES) return undefined;
    const entry = this.#shadow.getBigUint64(8 * index, true);
    if ((entry & PRESENT) === 0n) return undefined;
    return gpa(Number(entry - (entry % BigInt(PAGE_SIZE))) + (address % PAGE_SIZE));
  }

  /** Track no longer. */
  release(): void {
    const kernel = this.#kernel;
    if (this.#slot !== undefined)
      kvmSymbol(kernel, 'kvm_slot_page_track_remove_page')(this.#kvm, this.#slot, this.#gfn);
    kvmSymbol(kernel, 'kvm_page_track_unregister_notifier')(this.#kvm, this);
    this.#slot = undefined;
  }

  /** The guest has written somewhere that KVM emulates; it need not be this page. */
  trackWrite(at: Gpa, data: Uint8Array): void {
    const offset = at - this.#gfn * PAGE_SIZE;
    if (offset < 0 || offset + data.length > PAGE_SIZE) return;
    this.#writes++;
    data.forEach((byte, i) => {
      this.#shadow.setUint8(offset + i, byte);
    });
    if (vgpuTrackWrite.on) {
      const entry = this.#shadow.getBigUint64(offset - (offset % 8), true);
      vgpuTrackWrite(this.#kernel.stream, { device: this.#name, gpa: at, length: data.length, entry });
    }
  }

  trackFlushSlot(slot: object): void {
    if (slot === this.#slot) this.#slot = undefined;
  }
}
