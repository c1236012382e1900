/** struct kvm_vcpu_stat, in its order: each counts since the vCPU was made. */
export class VcpuStats {
  halt_successful_poll = 0;
  halt_attempted_poll = 0;
  halt_wakeup = 0;
  halt_poll_success_ns = 0;
  halt_poll_fail_ns = 0;
  halt_wait_ns = 0;
  pf_taken = 0;
  pf_fixed = 0;
  pf_emulate = 0;
  pf_spurious = 0;
  pf_fast = 0;
  pf_mmio_spte_created = 0;
  pf_guest = 0;
  exits = 0;
  io_exits = 0;
  mmio_exits = 0;
  signal_exits = 0;
  irq_window_exits = 0;
  nmi_window_exits = 0;
  halt_exits = 0;
  request_irq_exits = 0;
  insn_emulation = 0;
  insn_emulation_fail = 0;
  hypercalls = 0;
  irq_injections = 0;
  nmi_injections = 0;
  req_event = 0;
}
