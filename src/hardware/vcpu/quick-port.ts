/**
 * Port accesses of translated code that are served where they stand. The guest has exited, and is entered again: but if the
 * hypervisor finds that nothing else is to be done before that, it comes back into the very code that it was called from.
 */

import type { EventStream } from '../../event.ts';
import { PORT, SERVED } from './execution.ts';
import { EXIT_REASON } from './exit.ts';
import type { QuickExits } from './quick-exits.ts';
import { SLOT } from './state.ts';
import type { Parts } from './wiring.ts';

/** One vCPU's, served by one hypervisor. */
export class QuickPort {
  /**
   * The access at SLOT.RIP, by its exit qualification and the length of its instruction: 0 to go on behind it, {@link PORT} if
   * nothing of it has been done, {@link SERVED} if the hypervisor has to look around first.
   *
   * Hot, and so a function of this object's own: for the engine all that it reaches are constants then.
   */
  readonly access: (qualification: number, length: number) => number;

  constructor(cpu: Parts, stream: EventStream, { isReady, servePort, recall }: QuickExits) {
    const { mmu, memory, event, state } = cpu;
    const { guest, tlb } = mmu;
    const { code } = memory;
    const { words } = state;
    this.access = (qualification, length) => {
      // Who may be refused a port is rare.
      if (!isReady() || guest.privilege !== 0) return PORT;
      const { flushes } = tlb;
      const { changes } = code;
      event.exit.instructionLength = length;
      event.leave(EXIT_REASON.IO_INSTRUCTION, qualification);
      stream.left(words[2 * SLOT.RIP]!, words[2 * SLOT.RIP + 1]!);
      if (!servePort()) return SERVED;
      // Nor is there anything now that is looked at before each instruction: of new flags and debug registers the hypervisor knows, and
      // who sets a breakpoint flushes the TLB.
      if (tlb.flushes === flushes && code.changes === changes) return 0;
      recall();
      return SERVED;
    };
  }
}
