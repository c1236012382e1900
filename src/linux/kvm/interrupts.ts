/**
 * Interrupts on their way into a vCPU: what is delivered at an entry, when the guest must be left because it can take one,
 * and what ends a halt (arch/x86/kvm/x86.c: kvm_check_and_inject_events, kvm_vcpu_running, vcpu_block; irq.c).
 */

import { INTERRUPTIBILITY, INTERRUPTION } from '../../hardware/vcpu/exit.ts';
import { EAGAIN, EINTR } from '../uapi/errno.ts';
import {
  KVM_MP_STATE_HALTED,
  KVM_MP_STATE_INIT_RECEIVED,
  KVM_MP_STATE_RUNNABLE,
  KVM_MP_STATE_UNINITIALIZED,
} from '../uapi/kvm.ts';
import { KVM_GUESTDBG_BLOCKIRQ } from '../uapi/kvm-debug.ts';
import { KVM_EXIT_INTR } from '../uapi/kvm-run.ts';
import { SIGNAL } from '../uapi/signal.ts';
import { acceptApicEvents } from './apic-events.ts';
import { exceptionEvent, interruptEvent, isException, nmiEvent } from './injected-event.ts';
import { injectEvent } from './injection.ts';
import type { KvmVcpu } from './vcpu.ts';

const NONE = -1;
/**
 * Fidelity: a vCPU that this many timers in a row have not woken counts as asleep for ever, or a masked periodic timer
 * would keep the model busy without end.
 */
const FRUITLESS_TIMERS = 65536;

const RFLAGS_RF = 1n << 16n;
/** #DB #BP #OF #DF #MC: traps and aborts, which leave RF as it is. */
const NOT_FAULTS: ReadonlySet<number> = new Set([1, 3, 4, 8, 18]);
/** exception_type. */
const isFault = (vector: number): boolean => !NOT_FAULTS.has(vector);

/** kvm_check_and_inject_events: called before each entry for which something was requested. */
export function injectPending(vcpu: KvmVcpu): void {
  const { cpu, lapic } = vcpu;
  if (vcpu.nmisArrived > 0) processNmis(vcpu);
  vcpu.eventRequested = false;
  if (lapic !== undefined) cpu.setControl(8, BigInt(lapic.taskPriorityClass));
  const { injected } = vcpu;
  const exception = injected !== undefined && isException(injected) ? undefined : vcpu.takeException();
  if (exception !== undefined) {
    const { vector, errorCode } = exception;
    if (isFault(vector)) cpu.rflags |= RFLAGS_RF;
    injectEvent(vcpu, exceptionEvent(vector, errorCode), false);
  } else if (injected !== undefined) injectEvent(vcpu, injected, true);
  const blocked = (vcpu.guestDebug & KVM_GUESTDBG_BLOCKIRQ) !== 0;
  if (exception === undefined && injected === undefined && !blocked) injectInterrupt(vcpu);
  // What could not be delivered now brings the guest back as soon as it can.
  cpu.nmiWindow = !blocked && vcpu.nmisPending > 0;
  cpu.interruptWindow = (!blocked && hasInterrupt(vcpu)) || (lapic === undefined && vcpu.run.requestInterruptWindow);
  if (lapic !== undefined) cpu.tprThreshold = threshold(vcpu);
}

function injectInterrupt(vcpu: KvmVcpu): void {
  const { cpu } = vcpu;
  if (vcpu.nmisPending > 0 && cpu.nmiReady) {
    vcpu.nmisPending--;
    injectEvent(vcpu, nmiEvent, false);
  } else if (cpu.interruptible && hasInterrupt(vcpu)) injectEvent(vcpu, interruptEvent(takeInterrupt(vcpu)), false);
}

/** process_nmi: while one is under way another waits behind it; else two come one after the other. */
export function processNmis(vcpu: KvmVcpu): void {
  const underWay = (vcpu.cpu.interruptibility & INTERRUPTIBILITY.NMI) !== 0 || vcpu.injected?.type === INTERRUPTION.NMI;
  vcpu.nmisPending = Math.min(vcpu.nmisPending + vcpu.nmisArrived, underWay ? 1 : 2);
  vcpu.nmisArrived = 0;
  vcpu.eventRequested = true;
}

/**
 * signal_pending, by the mask of KVM_SET_SIGNAL_MASK. SIGXCPU ends KVM_RUN in any case: it is the host's own limit, which Linux
 * makes good with SIGKILL.
 */
export function signalled({ kernel, signalMask }: KvmVcpu): boolean {
  const signal = kernel.current.pendingSignal;
  if (signal === undefined) return false;
  if (signalMask === undefined || signal === 'SIGXCPU') return true;
  return ((signalMask >> BigInt(SIGNAL[signal] - 1)) & 1n) === 0n;
}

/** kvm_cpu_has_injectable_intr. */
function hasInterrupt({ interrupt, lapic, vm }: KvmVcpu): boolean {
  if (lapic === undefined) return interrupt !== NONE;
  return (vm.irqchip!.pic.output && lapic.listensToPic) || lapic.pending() >= 0;
}

/** kvm_cpu_get_interrupt: the vector, acknowledged. */
function takeInterrupt(vcpu: KvmVcpu): number {
  const { lapic, vm } = vcpu;
  if (lapic === undefined) {
    const vector = vcpu.interrupt;
    vcpu.interrupt = NONE;
    return vector;
  }
  const { pic } = vm.irqchip!;
  if (pic.output && lapic.listensToPic) return pic.acknowledge();
  const vector = lapic.pending();
  lapic.acknowledge(vector);
  return vector;
}

/** update_cr8_intercept: the CPU leaves when CR8 falls below this, because an interrupt waits for that. */
function threshold({ lapic }: KvmVcpu): number {
  const requested = lapic!.requested();
  if (requested < 0) return 0;
  const tpr = lapic!.taskPriorityClass;
  return requested >> 4 > tpr ? 0 : requested >> 4;
}

/** kvm_arch_vcpu_runnable: what ends a halt. A processor that waits for its start-up message waits for nothing else. */
const wakes = (vcpu: KvmVcpu): boolean =>
  vcpu.mpState === KVM_MP_STATE_RUNNABLE ||
  vcpu.apicEvents.pending ||
  vcpu.exceptionPending ||
  (vcpu.mpState !== KVM_MP_STATE_INIT_RECEIVED &&
    (vcpu.nmisArrived > 0 || (vcpu.nmisPending > 0 && vcpu.cpu.nmiReady))) ||
  (vcpu.mpState === KVM_MP_STATE_HALTED && (vcpu.unhalted || (vcpu.cpu.interruptible && hasInterrupt(vcpu))));

/** kvm_arch_vcpu_ioctl_run for a processor that nobody has started: it takes what has come, and runs the next time at the earliest. */
function awaitStart(vcpu: KvmVcpu): number {
  acceptApicEvents(vcpu);
  return vcpu.kernel.refuse(EAGAIN, `vCPU ${vcpu.id} waits for another to start it`);
}

/**
 * vcpu_block: sleep until something wakes the vCPU. 1 to run again, -EINTR for a signal or when user space has something to
 * do first, -EAGAIN for an application processor that nobody has started.
 */
export function block(vcpu: KvmVcpu): number {
  if (vcpu.mpState === KVM_MP_STATE_UNINITIALIZED) return awaitStart(vcpu);
  const { clock } = vcpu.kernel;
  const start = clock.now;
  const halts = vcpu.mpState === KVM_MP_STATE_HALTED && !wakes(vcpu);
  const result = sleepUntilWoken(vcpu);
  const slept = clock.now - start;
  // The counter is invariant: it goes on while the processor is halted.
  vcpu.cpu.tscOffset += slept;
  if (halts && (result > 0 || signalled(vcpu))) vcpu.halts.ended(Math.round(slept), result > 0);
  if (result < 0) return result;
  acceptApicEvents(vcpu);
  vcpu.eventRequested = true;
  if (vcpu.mpState === KVM_MP_STATE_INIT_RECEIVED) return 1;
  vcpu.unhalted = false;
  vcpu.mpState = KVM_MP_STATE_RUNNABLE;
  return 1;
}

function sleepUntilWoken(vcpu: KvmVcpu): number {
  const { kernel } = vcpu;
  for (let fruitless = 0; !wakes(vcpu); fruitless++) {
    // Other threads of the process run while this one sleeps. The model has one thread: it is theirs now.
    const othersRun = signalled(vcpu) || vcpu.vm.userSpaceReady();
    if (othersRun || fruitless >= FRUITLESS_TIMERS || !kernel.clock.sleep()) {
      if (signalled(vcpu)) vcpu.stats.signal_exits++;
      vcpu.run.exit(KVM_EXIT_INTR);
      return -EINTR;
    }
  }
  return 1;
}
