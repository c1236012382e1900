/**
 * `node scripts/lock-step.js [PROGRAMS] [SEED]`: random programs, interpreted and translated, for longer than the test suite does,
 * and without its overhead.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const [programs = '100000', seed = '1000'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const folder = mkdtempSync(join(tmpdir(), 'gvm-lock-step-'));
const outfile = join(folder, 'long-run.mjs');
await build({
  entryPoints: [join(root, 'test/hardware/lock-step/long-run.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
});
const { status } = spawnSync(process.execPath, [outfile, programs, seed], { stdio: 'inherit' });
rmSync(folder, { recursive: true });
process.exitCode = status ?? 1;
