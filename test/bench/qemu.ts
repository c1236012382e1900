/** Debian's QEMU, on its own translator or on the host's KVM, if that is one to be measured. */

import { closeSync, openSync } from 'node:fs';

export type Accelerator = 'tcg' | 'kvm';
/** A write to it ends a run, as isa-debug-exit does. */
export const EXIT_PORT = 0x501;

/** The command that boots a multiboot image; what it writes to port 0xe9 goes to `debug`, a character device. */
export const qemu = (accelerator: Accelerator, kernel: string, debug: string): readonly string[] => [
  ...['qemu-system-x86_64', '-accel', accelerator, '-m', '64', '-nodefaults', '-display', 'none', '-no-reboot'],
  ...['-device', `isa-debug-exit,iobase=0x${EXIT_PORT.toString(16)},iosize=4`, '-debugcon', debug, '-kernel', kernel],
];

/** Whether this process may use the host's KVM. */
export function kvmOpens(): boolean {
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return true;
  } catch {
    return false;
  }
}
