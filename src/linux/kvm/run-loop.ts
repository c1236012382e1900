/**
 * KVM_RUN: finish what user space was asked for, then enter the guest until an exit needs user space again or a signal
 * comes (arch/x86/kvm/x86.c: kvm_arch_vcpu_ioctl_run, vcpu_run, vcpu_enter_guest).
 */

import { watch } from '../../event.ts';
import { EXIT_REASON, type ExitReason } from '../../hardware/vcpu/exit.ts';
import { EINTR, EINVAL } from '../uapi/errno.ts';
import { KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE } from '../uapi/kvm.ts';
import {
  KVM_EXIT_DIRTY_RING_FULL,
  KVM_EXIT_INTR,
  KVM_EXIT_IRQ_WINDOW_OPEN,
  KVM_EXIT_SHUTDOWN,
  RUN_CR8,
  RUN_DIRTY_REGS,
  RUN_VALID_REGS,
} from '../uapi/kvm-run.ts';
import { acceptApicEvents } from './apic-events.ts';
import { completeInjection } from './injection.ts';
import { block, injectPending, signalled } from './interrupts.ts';
import { QUICK } from './quick-entry.ts';
import { isReadyForInterrupt, saveRunState } from './run-state.ts';
import { SYNCED_SETS, takeRegisters } from './sync-regs.ts';
import { kvmDirtyRingExit, kvmEntry, kvmExit, kvmUserspaceExit } from './trace.ts';
import type { KvmVcpu } from './vcpu.ts';
import { handleExit } from './vmx.ts';

/** The VMX preemption timer is 32 bits wide: a longer limit takes several entries. Up to here counts are small integers for the engine. */
const TIMER_MAX = 2 ** 30;
const NEVER = Number.POSITIVE_INFINITY;
/** CR8 holds the task priority in four bits. */
const CR8_BITS = 0xf;

/** KVM_RUN: 0 with `exit_reason` set, or -EINTR, -EINVAL, or what a page fault came to (-EFAULT, -ENOMEM). */
export function runVcpu(vcpu: KvmVcpu, argument: number): number {
  const { kernel } = vcpu.vm;
  if (argument !== 0) return kernel.refuse(EINVAL, 'the argument of KVM_RUN is 0');
  // Whoever runs the vCPU within a turn of another's has changed all that this one knows of it.
  kernel.attention.call();
  vcpu.vm.runningVcpu = vcpu;
  vcpu.vm.inUserSpace = false;
  // User space may have written guest code through a view of its memory, which no kernel sees.
  kernel.memory.code.sharedChanged();
  const result = arrive(vcpu);
  vcpu.vm.runningVcpu = undefined;
  // It had returned before user space did its part, in which somebody may have begun to listen.
  if (result === QUICK.LEFT) return 0;
  if (watch.on && kvmUserspaceExit.on) kvmUserspaceExit(kernel.stream, { reason: vcpu.run.exitReason, result });
  return result;
}

/** As {@link runVcpu}; or {@link QUICK.LEFT}. */
function arrive(vcpu: KvmVcpu): number {
  const { run } = vcpu;
  run.clearFlags();
  let result = takeRunState(vcpu);
  const { completion } = vcpu;
  if (result > 0 && completion !== undefined) {
    vcpu.completion = undefined;
    result = completion(vcpu);
  }
  if (result > 0) result = run.immediateExit ? -EINTR : loop(vcpu);
  if (result !== QUICK.LEFT) saveRunState(vcpu);
  return result;
}

/** What user space says in kvm_run before it runs the vCPU: 1, or -EINVAL. */
function takeRunState(vcpu: KvmVcpu): number {
  const { run, vm } = vcpu;
  const { words } = run;
  if (unknownSets(words, RUN_VALID_REGS) || unknownSets(words, RUN_DIRTY_REGS))
    return vm.kernel.refuse(EINVAL, 'kvm_valid_regs and kvm_dirty_regs name register sets that are not offered');
  if (words[RUN_DIRTY_REGS >> 2] !== 0) {
    const error = takeRegisters(vcpu);
    if (error < 0) return error;
  }
  // With a local APIC in the kernel the task priority is the guest's alone.
  const cr8 = vcpu.lapic === undefined ? words[RUN_CR8 >> 2]! : vcpu.cr8;
  if (cr8 > CR8_BITS || words[(RUN_CR8 >> 2) + 1] !== 0)
    return vm.kernel.refuse(EINVAL, 'kvm_run.cr8 has bits that CR8 has not');
  if (vcpu.cr8 !== cr8) vcpu.setCr8(cr8);
  if (run.requestInterruptWindow) vcpu.eventRequested = true;
  return 1;
}

const unknownSets = (words: Uint32Array, at: number) =>
  (words[at >> 2]! & ~SYNCED_SETS) !== 0 || words[(at >> 2) + 1] !== 0;

/** vcpu_run; {@link QUICK.LEFT}. */
function loop(vcpu: KvmVcpu): number {
  const { kernel } = vcpu.vm;
  for (;;) {
    if (kernel.clock.nextDeadline !== NEVER) kernel.clock.expire();
    if (kernel.current.pendingSignal !== undefined && signalled(vcpu)) {
      vcpu.stats.signal_exits++;
      vcpu.run.exit(KVM_EXIT_INTR);
      return -EINTR;
    }
    if (vcpu.mpState !== KVM_MP_STATE_RUNNABLE) {
      const woken = block(vcpu);
      if (woken <= 0) return woken;
    }
    const result = enterGuest(vcpu);
    if (result !== 1) return result;
    if (vcpu.lapic === undefined && vcpu.run.requestInterruptWindow && isReadyForInterrupt(vcpu)) {
      vcpu.run.exit(KVM_EXIT_IRQ_WINDOW_OPEN);
      vcpu.stats.request_irq_exits++;
      return 0;
    }
  }
}

/**
 * VM entry with a budget of instructions. The timer is set anew at each entry, and so at those that a quick exit stands for. What such an
 * exit has come to is not the timer's, though the last exit of a KVM_RUN within it was.
 */
function runFor({ cpu, quick }: KvmVcpu, budget: number): ExitReason {
  const end = cpu.retired + budget;
  quick.begin();
  for (let most = Math.min(budget, TIMER_MAX); ; ) {
    const reason = cpu.run(most);
    if (reason !== EXIT_REASON.PREEMPTION_TIMER || quick.result !== QUICK.NONE) return reason;
    most = Math.min(quick.servedAt + TIMER_MAX, end) - cpu.retired;
    if (most <= 0) return reason;
  }
}

/** vcpu_enter_guest; {@link QUICK.LEFT}. */
function enterGuest(vcpu: KvmVcpu): number {
  const { cpu, quick, vm } = vcpu;
  const { kernel, mmu } = vm;
  if (vcpu.dirtyRing?.softFull === true) {
    vcpu.run.exit(KVM_EXIT_DIRTY_RING_FULL);
    if (kvmDirtyRingExit.on) kvmDirtyRingExit(kernel.stream, { vcpu: vcpu.id });
    return 0;
  }
  // Hot: to ask the VM for the sum of its vCPUs is a call of its own.
  const alone = vm.vcpus.length === 1;
  let budget = vm.instructionLimit - (alone ? cpu.retired : vm.retired);
  if (budget <= 0) {
    kernel.current.pendingSignal = 'SIGXCPU';
    return 1;
  }
  // An instruction is a nanosecond: the guest is stopped where the next timer is due.
  if (kernel.clock.nextDeadline !== NEVER) budget = Math.min(budget, kernel.clock.nextDeadline - kernel.clock.now);
  if (vcpu.eventRequested) {
    if (vcpu.tripleFault) {
      vcpu.tripleFault = false;
      vcpu.run.exit(KVM_EXIT_SHUTDOWN);
      return 0;
    }
    vcpu.stats.req_event++;
    if (vcpu.apicEvents.pending) acceptApicEvents(vcpu);
    if (vcpu.mpState === KVM_MP_STATE_INIT_RECEIVED) return 1;
    injectPending(vcpu);
  }
  const pointer = mmu.eptPointer();
  if (pointer < 0) {
    // vmx_cancel_injection
    vcpu.eventRequested = vcpu.injected !== undefined;
    return pointer;
  }
  if (pointer !== vcpu.eptPointer) {
    vcpu.eptPointer = pointer;
    cpu.setEptPointer(pointer);
    // kvm_mmu_load: what the root's page has been before is unknown.
    cpu.invalidateEpt();
  }
  if (watch.on && kvmEntry.on) kvmEntry(kernel.stream, { vcpu: vcpu.id, rip: cpu.rip, immediateExit: false });
  // The counter is invariant: it goes on while the processor is halted, the host works, or another vCPU has its turn.
  cpu.tscOffset = alone ? kernel.clock.slept : kernel.clock.now - cpu.retired;
  const reason = runFor(vcpu, budget);
  if (quick.result !== QUICK.NONE) return quick.take();
  if (watch.on && kvmExit.on)
    kvmExit(kernel.stream, {
      vcpu: vcpu.id,
      reason,
      rip: cpu.rip,
      info1: cpu.exit.qualification,
      info2: cpu.exit.idtVectoring,
      intrInfo: reason === EXIT_REASON.EXCEPTION_NMI ? cpu.exit.interruption : 0,
      errorCode: 0,
    });
  vcpu.stats.exits++;
  if (vcpu.injected !== undefined || cpu.exit.idtVectoring !== 0) completeInjection(vcpu);
  // The CPU keeps the task priority itself (TPR shadow).
  if (vcpu.lapic !== undefined) vcpu.syncTaskPriority(vcpu.lapic);
  return handleExit(vcpu, reason);
}
