/** gvm's exit statuses, once: what they mean and what `gvm --help` says of them. */

export const EXIT = {
  OK: 0,
  GUEST_FAILED: 1,
  USAGE: 2,
  ASSEMBLY: 3,
  GUEST_CRASHED: 4,
  HOST_FAILED: 5,
  MISMATCH: 6,
  SKIPPED: 77,
  LIMIT: 124,
  INTERRUPTED: 130,
} as const;

export const exitStatusHelp = `Exit status:
  0    the guest ended well
  1    the guest ended with a failure (its code is on stderr)
  2    usage: an option, file, device or host command that cannot be used
  3    the program does not assemble or link
  4    the guest crashed: oops, triple fault, unimplemented instruction
  5    the host side failed: a driver or the VMM gave up
  6    a test failed (gvm test)
  77   the guest skipped all of its own tests
  124  the limit of instructions or of time was reached
  130  interrupted`;

/**
 * The value that the guest's library writes to isa-debug-exit after an oops (lang/library/panic.gasm); any other value is
 * what the program returned.
 */
export const GUEST_OOPS = 0x7f;
