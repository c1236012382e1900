/** A vitest assertion for goldens: `expectGolden('programs/x/y.gasm')` runs the program from these sources, as `gvm test` does. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'vitest';
import { readArchive } from '../lang/object/archive.ts';
import type { GuestLibrary } from '../src/cli/guest-program.ts';
import { DEFAULT_MAX_INSNS } from '../src/cli/run-options.ts';
import { runTest } from '../src/cli/test/run-test.ts';

const root = new URL('..', import.meta.url).pathname;

/** The guest library as built, and its includes. */
export const library: GuestLibrary = {
  archive: readArchive(readFileSync(join(root, 'dist/libgvm.a')), 'libgvm.a'),
  includes: join(root, 'lang/library/include'),
};

/** The test in `file` (a .gasm with its golden, or with expectations of its own) passes; what it says if not is the message. */
export function expectGolden(file: string): void {
  const { outcome, report } = runTest(file, library, {
    limit: DEFAULT_MAX_INSNS,
    update: false,
    coverage: false,
    prefixes: ['CHECK'],
  });
  assert(outcome === 'PASS' || outcome === 'XFAIL', `${outcome}: ${file}\n${report.join('\n')}`);
}
