/** `node scripts/random-c.js [kernels|csmith] [PROGRAMS] [SEED]`: random C programs on the host's CPU, interpreted and translated. */

import { longRun } from './long-run.js';

const [writer = 'kernels', programs = '1000', seed = '1'] = process.argv.slice(2);
await longRun('test/oracle/random-c/long-run.ts', writer, programs, seed);
