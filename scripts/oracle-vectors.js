/** `node scripts/oracle-vectors.js`: asks the host CPU anew for test/oracle/vectors.bin.gz, and compares. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(new URL('.', import.meta.url).pathname, '..');
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', 'test/hardware/vectors.test.ts'],
  { cwd: root, stdio: 'inherit', env: { ...process.env, GVM_VECTORS: 'write' } },
);
process.exitCode = status ?? 1;
