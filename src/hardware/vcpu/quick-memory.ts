/**
 * Accesses to memory without a slot behind it, served in the CPU's own loop. The instruction has exited with all that it has found written
 * back, whoever ran it; its hypervisor emulates it. If then nothing is to be done before the next entry, the loop goes on, which looks for
 * itself at what it runs next.
 */

import type { Execution } from './execution.ts';
import { EXIT_REASON } from './exit.ts';
import type { PendingEvent } from './pending-event.ts';
import type { QuickExits } from './quick-exits.ts';

/** One vCPU's, served by one hypervisor. */
export class QuickMemory {
  /**
   * The exit that has been met: whether the guest goes on, with less than `limit` retired. If not, the hypervisor has the exit or what has
   * become of it to look after. A function of the object's own, as `QuickPort.access` is.
   */
  readonly serves: (limit: number) => boolean;

  constructor({ exit }: PendingEvent, execution: Execution, { isReady, serveMemory, recall }: QuickExits) {
    this.serves = (limit) => {
      if (exit.reason !== EXIT_REASON.EPT_MISCONFIG || !isReady() || !serveMemory()) return false;
      if (execution.retired < limit) return true;
      recall();
      return false;
    };
  }
}
