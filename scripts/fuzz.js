/** `node scripts/fuzz.js [CASES] [SEED]`: random bytes as code, for longer than the test suite does. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const [cases = '1000000', seed = '2'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/hardware/fuzz.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, GVM_FUZZ_CASES: cases, GVM_FUZZ_SEED: seed },
  },
);
process.exitCode = status ?? 1;
