/**
 * What KVM exports to other parts of the kernel that hold a kvm pointer (EXPORT_SYMBOL_GPL): the types of these symbols, and how to
 * get one. Whoever calls them need not know KVM; without it they are not there.
 */

import type { Gpa, Hva } from '../../address.ts';
import type { AddressSpace } from './mm.ts';

/** A device on an in-kernel bus: `struct kvm_io_device`. 0 if it took the access. */
export interface KvmIoDevice {
  read(address: number, data: Uint8Array): number;
  write(address: number, data: Uint8Array): number;
}

/** `struct kvm_page_track_notifier_node`. */
export interface KvmPageTrackNotifier {
  trackWrite(gpa: Gpa, data: Uint8Array): void;
  trackFlushSlot(slot: object): void;
}

export type KvmBus = 'KVM_MMIO_BUS' | 'KVM_PIO_BUS';

/** `kvm` is the opaque pointer that VFIO gave; a slot is opaque as well. */
export interface KvmSymbols {
  kvm_get_kvm(kvm: object): void;
  kvm_put_kvm(kvm: object): void;
  /** `kvm->mm`: the memory of the VM's process. */
  kvm_mm(kvm: object): AddressSpace;
  gfn_to_memslot(kvm: object, gfn: number): object | undefined;
  /** Where frame `gfn` lies in the VM's process; undefined without a slot. */
  gfn_to_hva(kvm: object, gfn: number): Hva | undefined;
  /** 0 or -ENOSPC. */
  kvm_io_bus_register_dev(kvm: object, bus: KvmBus, address: number, length: number, device: KvmIoDevice): number;
  kvm_io_bus_unregister_dev(kvm: object, bus: KvmBus, device: KvmIoDevice): void;
  kvm_page_track_register_notifier(kvm: object, notifier: KvmPageTrackNotifier): void;
  kvm_page_track_unregister_notifier(kvm: object, notifier: KvmPageTrackNotifier): void;
  kvm_slot_page_track_add_page(kvm: object, slot: object, gfn: number): void;
  kvm_slot_page_track_remove_page(kvm: object, slot: object, gfn: number): void;
}

/** symbol_get, of a symbol that a holder of a kvm pointer may rely on. */
export const kvmSymbol = <N extends keyof KvmSymbols>(
  kernel: { readonly symbols: ReadonlyMap<string, unknown> },
  name: N,
): KvmSymbols[N] => kernel.symbols.get(name) as KvmSymbols[N];
