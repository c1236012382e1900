/**
 * Exits that are served without leaving the guest's code, as KVM does for a few of its own (EXIT_FASTPATH_REENTER_GUEST;
 * arch/x86/kvm/x86.c: vcpu_enter_guest). What serves them is the same as for any exit, user space included, which is let
 * run where it is going to make KVM_RUN again at once. What is left out is to look for something to do between the exit and the next
 * entry, when it is certain that there is nothing: {@link QuickExits.begin} asks for
 * what run-loop.ts looks after, and {@link Attention} says whether any of it has changed.
 */

import { watch } from '../../event.ts';
import type { QuickExits as Server } from '../../hardware/vcpu/quick-exits.ts';
import type { Attention } from '../core/attention.ts';
import type { ProgramPart } from '../core/process.ts';
import { handleIo } from './pio.ts';
import { QUICK, type QuickEntry } from './quick-entry.ts';
import { saveRunState } from './run-state.ts';
import type { KvmVcpu } from './vcpu.ts';
import { handleEptMisconfig } from './vmx.ts';

/** One vCPU's. Its functions are its own, and not its class's: for the engine the vCPU is a constant in them then. */
export class QuickExits implements Server, QuickEntry {
  result: number = QUICK.NONE;
  servedAt = 0;
  readonly #vcpu: KvmVcpu;
  /** The task priority that the local APIC knows of; -1, which no guest sets, if no exit is to be served here until the next entry. */
  #priority = -1;
  /** The count of {@link Attention} at the entry, when all was looked after. */
  #attention = 0;

  constructor(vcpu: KvmVcpu) {
    this.#vcpu = vcpu;
  }

  begin(): void {
    const vcpu = this.#vcpu;
    const { cpu, vm } = vcpu;
    const ready =
      !watch.on &&
      !vcpu.eventRequested &&
      vcpu.injected === undefined &&
      cpu.modificationLog.page === undefined &&
      vcpu.dirtyRing === undefined &&
      vm.vcpus.length === 1 &&
      (vcpu.lapic === undefined ? !vcpu.run.requestInterruptWindow : cpu.taskPriority === vcpu.lapic.taskPriorityClass);
    this.#priority = ready ? cpu.taskPriority : -1;
    this.#attention = vcpu.kernel.attention.count;
    this.servedAt = cpu.retired;
  }

  take(): number {
    const { result } = this;
    this.result = QUICK.NONE;
    return result;
  }

  readonly isReady = (): boolean => this.#vcpu.cpu.taskPriority === this.#priority;

  readonly servePort = (): boolean => {
    // A KVM_RUN within user space's part is an entry of its own.
    const lookedAfter = this.#attention;
    this.#vcpu.stats.exits++;
    return this.#served(handleIo(this.#vcpu), lookedAfter);
  };

  readonly serveMemory = (): boolean => {
    const lookedAfter = this.#attention;
    this.#vcpu.stats.exits++;
    return this.#served(handleEptMisconfig(this.#vcpu), lookedAfter);
  };

  /** What the exit's handler has come to: whether the guest goes on. */
  #served(handled: number, lookedAfter: number): boolean {
    const vcpu = this.#vcpu;
    let result = handled;
    if (result === 0) {
      const { between } = vcpu.kernel.current;
      if (between !== undefined && between.taken === false) result = this.#userSpace(between, lookedAfter);
    }
    if (result === 1 && vcpu.kernel.attention.count === lookedAfter) {
      this.servedAt = vcpu.cpu.retired;
      return true;
    }
    this.result = result;
    return false;
  }

  readonly recall = (): void => {
    this.result = 1;
  };

  /** KVM_RUN returns, and user space does its part; 1 if it then calls KVM_RUN as it always does, and the access is completed. */
  #userSpace(between: ProgramPart, lookedAfter: number): number {
    const vcpu = this.#vcpu;
    const { kernel, vm, run, completion } = vcpu;
    saveRunState(vcpu);
    vm.inUserSpace = true;
    const goesOn = between.take(0);
    vm.inUserSpace = false;
    if (!goesOn) return QUICK.LEFT;
    if (completion === undefined || kernel.attention.count !== lookedAfter || !run.asksNothing) return QUICK.LEFT;
    if (vcpu.lapic === undefined && !run.keepsPriority(vcpu.cr8)) return QUICK.LEFT;
    between.taken = false;
    kernel.memory.code.sharedChanged();
    run.clearFlags();
    vcpu.completion = undefined;
    return completion(vcpu);
  }
}
