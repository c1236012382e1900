/** `node scripts/lock-step.js [PROGRAMS] [SEED]`: random programs, interpreted and translated, for longer than the test suite does. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const [programs = '100000', seed = '1000'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/hardware/lock-step.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, GVM_LOCK_STEP_PROGRAMS: programs, GVM_LOCK_STEP_SEED: seed },
  },
);
process.exitCode = status ?? 1;
