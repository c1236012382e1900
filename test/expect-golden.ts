/** A vitest assertion for goldens: `expectGolden('programs/x/y.gasm')` runs the program from these sources, as `gvm test` does. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readArchive } from '../lang/object/archive.ts';
import type { GuestLibrary } from '../src/cli/guest-program.ts';
import { expectGolden as expectGoldenWith } from '../src/cli/test/expect-golden.ts';

const root = new URL('..', import.meta.url).pathname;

/** The guest library as built, and its includes. */
export const library: GuestLibrary = {
  archive: readArchive(readFileSync(join(root, 'dist/libgvm.a')), 'libgvm.a'),
  includes: join(root, 'lang/library/include'),
};

/** The test in `file` (a .gasm with its golden, or with expectations of its own) passes; what it says if not is the message. */
export const expectGolden = (file: string): void => expectGoldenWith(file, library);
