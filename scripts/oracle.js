/**
 * The silicon test for longer: `node scripts/oracle.js [CASES] [SEED]` compares CASES cases of every instruction form with
 * the host CPU (the test suite does 200).
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const [cases = '2000', seed = '2'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/hardware/silicon.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, GVM_ORACLE_CASES: cases, GVM_ORACLE_SEED: seed },
  },
);
process.exitCode = status ?? 1;
