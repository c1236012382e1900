/**
 * How a command looks at a run: it is called when the host is powered on, before the first host line, and may subscribe to
 * events. What it returns is called when the guest has ended, while the virtual machine still stands.
 */

import type { GuestProgram } from './guest-program.ts';
import type { Machine } from './machine.ts';

export type Observer = (run: { readonly machine: Machine; readonly program: GuestProgram }) => (() => void) | undefined;
