/** One build's exit path. The benchmark takes it as built, and with the event sites taken out (event-sites.ts). */

import { readFileSync } from 'node:fs';
import { readArchive } from '../../lang/object/archive.ts';
import { exitPath } from './observe.ts';

const library = { archive: readArchive(readFileSync('dist/libgvm.a'), 'libgvm.a'), includes: 'lang/library/include' };

/** Milliseconds of the processor for a run with so many exits. */
export const exits = (count: number): number => exitPath(library, count);
