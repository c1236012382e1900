/**
 * What the host's work costs in time: each step is charged what it takes, in order of magnitude, on a server of some 3 GHz with eIBRS, which
 * needs no separate page tables for user space. The figures are a model: they rank roads, they do not measure them. A user may give others.
 *
 * Where a figure rests on published ones, they stand beside it; all others are estimates, and say what of.
 *
 * [outl] Suraj Jitindar Singh, "x86/speculation: Mitigate eIBRS PBRSB predictions with WRMSR", kvm@vger.kernel.org, 5 October 2022, Testing:
 *   kvm-unit-tests' outl_to_kernel, a port write that stays in the kernel, takes 2008 cycles on VMX, 2026 with the mitigation of Linux 6.0.
 * [coalesced] Peng Hao, "kvm/x86: add coalesced pio support", Linux commit 0804c849f1df, 2018, table of `perf kvm stat`: a write to port 0xcf8 by
 *   way of QEMU 2.79 µs at least and 3.41 on average, collected in the kernel 0.41 µs and 0.66.
 * [bsearch] Sasha Levin, "KVM: Intelligent device lookup on I/O bus", Linux commit 743eeb0b, 2011: 274,000 exits to user space a second, 3.65 µs each.
 * [pti] Martin Cracauer, "Microbenchmarking the page table isolation patches in Linux 4.4.13" (it is 4.14.13), 12 January 2018, Xeon W3580, first
 *   table: read of one byte from /dev/zero 127 ns, 537 with separate page tables; mmap_and_touch 268,322 µs for 262,144 page faults, 1.02 µs each.
 * [kevlar] a write to /dev/null 104 ns, Linux in a VM, https://levkropp.github.io/kevlar/blog/042-m6.6-benchmarks.html.
 * [fast] Michael S. Tsirkin, "KVM: VMX: speed up wildcard MMIO EVENTFD", Linux commit 68c3b4d1676d, 2014: page walk and emulation make MMIO much
 *   slower than ports; without them an eventfd in memory is as fast as one at a port.
 */

import { type Event, events, type Layer } from '../event.ts';

/** Nanoseconds of a step, by the event that marks it; what is not listed costs what its layer does. */
const eventCost: Readonly<Record<string, number>> = {
  // [outl]: both of these and kvm_pio together are 670 ns. How much of it is before and how much behind the handler is estimated.
  kvm_exit: 350,
  kvm_entry: 270,
  // [coalesced]: 2.38 µs more than a write that stays in the kernel, of which 200 ns are charged by QEMU's own events; with the return of KVM_RUN
  // and the next call of it. The whole way comes to 3.05 µs then: [coalesced] has 2.79 to 3.41, [bsearch] 3.65.
  kvm_userspace_exit: 2180,
  // [pti]: a process that touches memory for the first time pays so much; that KVM asks for the page instead is estimated to cost the same.
  kvm_page_fault: 1000,
  // That it is dear is in [fast]; the figure is estimated from what is done: a walk of the guest's tables, two copies, decoding, a look-up.
  kvm_emulate_insn: 700,
  // Estimated: a locked exchange of the entry, and counters.
  kvm_mmu_set_spte: 100,
  // The system call that brings them is 130 ns of it: [pti], [kevlar]. What VFIO and its checks add is estimated.
  vfio_device_read: 350,
  vfio_device_write: 350,
  // Estimated: a look-up of the slot, and a copy from user space.
  vmbuf_read_guest: 200,
  // Details of a step that is charged already.
  kvm_ioctl: 0,
  kvm_vm_ioctl: 0,
  kvm_vcpu_ioctl: 0,
  kvm_device_ioctl: 0,
  kvm_x86_add_msi_route: 0,
  kvm_x86_remove_msi_route: 0,
  x86_gsi_interrupt: 0,
  serial_read: 0,
  serial_write: 0,
  serial_update_parameters: 0,
  msix_write_config: 0,
  acpi_pci_up_read: 0,
  acpi_pci_down_read: 0,
  acpi_pci_features_read: 0,
  acpi_pci_rmv_read: 0,
  acpi_pci_sel_read: 0,
  acpi_pci_acpi_index_read: 0,
  acpi_pci_sel_write: 0,
  acpi_pci_ej_write: 0,
  acpi_pci_eject_slot: 0,
  acpi_pci_unplug: 0,
  acpi_pci_unplug_request: 0,
  acpi_pci_acpi_index_write: 0,
  kvm_mmu_pagetable_walk: 0,
  kvm_mmu_paging_element: 0,
  kvm_mmu_walker_error: 0,
  kvm_mmu_get_page: 0,
  memory_region_ram_device_read: 0,
  memory_region_ram_device_write: 0,
};
/** All estimated: some calls through tables, a few cache misses. */
const layerCost: Readonly<Record<Layer, number>> = {
  guest: 0,
  vcpu: 0,
  kvm: 50,
  qemu: 100,
  // Charged where they arrive: their own events, with the text of strace, are too dear to be listened to always.
  syscall: 0,
  host: 0,
  vfio: 100,
  mdev: 50,
  driver: 80,
};

export class CostTable {
  readonly #own: ReadonlyMap<string, number>;

  /** `own`: nanoseconds by the name of an event, instead of the model's. */
  constructor(own: ReadonlyMap<string, number> = new Map()) {
    this.#own = own;
  }

  /** Modeled nanoseconds of the step that `event` marks. */
  of({ title, layer }: Event): number {
    return this.#own.get(title) ?? eventCost[title] ?? layerCost[layer];
  }

  /** All events that steps are charged by. */
  charged(): readonly Event[] {
    return events().filter((event) => this.of(event) > 0);
  }
}

export const modeledCosts = new CostTable();
