/**
 * Exits after which the guest mostly goes on at once, where nothing but the exit itself is to be done before that: the hypervisor serves them
 * from where they are met, and not behind the CPU's loop.
 */

/** The hypervisor, as it serves an exit without leaving the guest's code or the CPU's loop. */
export interface QuickExits {
  /** Whether it may serve one now. Nothing is changed by asking. */
  readonly isReady: () => boolean;
  /** Serve an exit for a port. True if the guest goes on behind it, with RAX and SLOT.RIP as the exit has left them and else as it was. */
  readonly servePort: () => boolean;
  /** Serve an EPT misconfiguration. True if the guest goes on as the exit has left it. */
  readonly serveMemory: () => boolean;
  /** The guest might have gone on after all that these know, but has to be entered anew. */
  readonly recall: () => void;
}
