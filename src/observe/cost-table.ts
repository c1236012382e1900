/**
 * What the host's work costs in time: each step is charged what it takes, in order of magnitude, on a server of some 3 GHz with
 * mitigations on. The figures are a model: they rank roads, they do not measure them. A user may give others.
 *
 * Where a figure rests on a published one, that stands beside it; all others are estimates. [svm]: cycles of an AMD host in a mail to the
 * Linux kernel list of December 2020, https://lkml.iu.edu/hypermail/linux/kernel/2012.2/00527.html.
 */

import { type Event, events, type Layer } from '../event.ts';

/** Nanoseconds of a step, by the event that marks it; what is not listed costs what its layer does. */
const eventCost: Readonly<Record<string, number>> = {
  // [svm]: 1376 cycles, some 450 ns, from before VMRUN to behind it. What the handlers and mitigations around it add is estimated.
  kvm_exit: 600,
  kvm_entry: 400,
  // That a write which stays in the kernel, with an eventfd, is faster by 30 % and more than one that goes to QEMU was measured for
  // ioregionfd, https://sbrksb.github.io/2020/12/10/intro.html. With the return of KVM_RUN and the next call of it. [svm]: 576 cycles on the way out and 576 in, some 380 ns; the system call's own
  // way in and out, with separate page tables, is estimated.
  kvm_userspace_exit: 650,
  kvm_page_fault: 800,
  // That decoding and walking make MMIO much dearer than ports is in commit 68c3b4d1676d of Linux, "speed up wildcard MMIO EVENTFD"; the
  // figure is estimated.
  kvm_emulate_insn: 700,
  kvm_mmu_set_spte: 100,
  // With the system call that brought them: 104 ns for a write to /dev/null (Linux in a VM, without separate page tables),
  // https://levkropp.github.io/kevlar/blog/042-m6.6-benchmarks.html. What mitigations, VFIO and its checks add is estimated.
  vfio_device_read: 350,
  vfio_device_write: 350,
  vmbuf_read_guest: 200,
  // Details of a step that is charged already.
  kvm_ioctl: 0,
  kvm_vm_ioctl: 0,
  kvm_vcpu_ioctl: 0,
  kvm_device_ioctl: 0,
  kvm_mmu_pagetable_walk: 0,
  kvm_mmu_paging_element: 0,
  kvm_mmu_walker_error: 0,
  kvm_mmu_get_page: 0,
  memory_region_ram_device_read: 0,
  memory_region_ram_device_write: 0,
};
/** All estimated. */
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
