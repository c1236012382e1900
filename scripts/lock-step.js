/** `node scripts/lock-step.js [PROGRAMS] [SEED]`: random programs, interpreted and translated. */

import { longRun } from './long-run.js';

const [programs = '100000', seed = '1000'] = process.argv.slice(2);
await longRun('test/hardware/lock-step/long-run.ts', programs, seed);
