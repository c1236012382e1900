/** What the run loop knows of exits that are served without leaving the guest's code (quick-exits.ts). */

/** What such an exit has come to, beside an exit handler's results. */
export const QUICK = {
  /** None was served, or the guest has gone on behind it. */
  NONE: 3,
  /** KVM_RUN has returned, and user space has done its part. */
  LEFT: 2,
} as const;

/** One entry into the guest, in the course of which exits may be served so. */
export interface QuickEntry {
  /** How the last exit ended if the guest could not go on at once: an exit handler's result, or {@link QUICK}. */
  readonly result: number;
  /** What had retired when the last one was served, or the guest entered. */
  readonly servedAt: number;
  /** The guest is about to be entered. */
  begin(): void;
  /** The {@link result}, which is then no longer here. */
  take(): number;
}
