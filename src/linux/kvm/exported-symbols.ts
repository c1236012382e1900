/** The symbols that KVM exports to drivers with a kvm pointer (core/kvm-symbols.ts). */

import type { KvmBus, KvmSymbols } from '../core/kvm-symbols.ts';
import { kvmOf } from './guest-memory.ts';
import { type Memslot, slotHva } from './memslots.ts';
import {
  kvm_page_track_register_notifier,
  kvm_page_track_unregister_notifier,
  kvm_slot_page_track_add_page,
  kvm_slot_page_track_remove_page,
} from './page-track-api.ts';

const busOf = (kvm: object, bus: KvmBus) => {
  const vm = kvmOf(kvm);
  return bus === 'KVM_MMIO_BUS' ? vm.mmioBus : vm.pioBus;
};

export const exportedSymbols: KvmSymbols = {
  kvm_get_kvm: (kvm) => void kvmOf(kvm).get(),
  kvm_put_kvm: (kvm) => kvmOf(kvm).put(),
  kvm_mm: (kvm) => kvmOf(kvm).mm,
  gfn_to_memslot: (kvm, gfn) => kvmOf(kvm).memslots.find(gfn),
  gfn_to_hva(kvm, gfn) {
    const slot = kvmOf(kvm).memslots.find(gfn);
    return slot === undefined ? undefined : slotHva(slot, gfn);
  },
  kvm_io_bus_register_dev: (kvm, bus, address, length, device) => busOf(kvm, bus).register(address, length, device),
  kvm_io_bus_unregister_dev: (kvm, bus, device) => void busOf(kvm, bus).unregister(device),
  kvm_page_track_register_notifier,
  kvm_page_track_unregister_notifier,
  // A driver has its slots from gfn_to_memslot.
  kvm_slot_page_track_add_page: (kvm, slot, gfn) => kvm_slot_page_track_add_page(kvm, slot as Memslot, gfn),
  kvm_slot_page_track_remove_page: (kvm, slot, gfn) => kvm_slot_page_track_remove_page(kvm, slot as Memslot, gfn),
};
