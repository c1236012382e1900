/** `gvm/testing`: a guest program as a test of the user's own test runner, be it vitest, jest or node:test. */

import { fileURLToPath } from 'node:url';
import { type GuestLibrary, installedLibrary } from '../guest-program.ts';
import { DEFAULT_MAX_INSNS } from '../run-options.ts';
import { runTest } from './run-test.ts';

let found: GuestLibrary | undefined;
const own = (): GuestLibrary => {
  found ??= installedLibrary();
  return found;
};

/**
 * Run the program `file`, a path or a URL (a .gasm with its golden beside it, with expectations of its own, or one that tests itself) as `gvm test`
 * does. Throws an error with the report if it does not pass. `library`: the guest library to link with, gvm's own if absent.
 */
export function expectGolden(file: string | { readonly href: string }, library: GuestLibrary = own()): void {
  const path = typeof file === 'string' ? file : fileURLToPath(file?.href);
  if (!path.endsWith('.gasm')) throw new TypeError(`expectGolden takes a .gasm file, not ${path}`);
  const { outcome, report } = runTest(path, library, {
    maxInsns: DEFAULT_MAX_INSNS,
    update: false,
    coverage: false,
    prefixes: ['CHECK'],
  });
  if (outcome !== 'PASS' && outcome !== 'XFAIL') throw new Error(`${outcome}: ${path}\n${report.join('\n')}`);
}
