/** One build's time on the exit path: prints milliseconds of the processor. The benchmark runs it as built, and with the event sites taken out. */

import { readFileSync } from 'node:fs';
import { readArchive } from '../../lang/object/archive.ts';
import { exitPath } from './observe.ts';

const library = { archive: readArchive(readFileSync('dist/libgvm.a'), 'libgvm.a'), includes: 'lang/library/include' };
const count = 300_000;
exitPath(library, count);
const times = Array.from({ length: 3 }, () => exitPath(library, count) - exitPath(library, 0));
console.log(Math.min(...times));
