/** `node scripts/random-c.js [kernels|csmith] [PROGRAMS] [SEED]`: random C programs on the host's CPU, interpreted and translated. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asModule, bundle } from './bundle.js';
import { launcherFlags } from './launcher-flags.js';

const [writer = 'kernels', programs = '1000', seed = '1'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const folder = mkdtempSync(join(tmpdir(), 'gvm-random-c-'));
const outfile = join(folder, 'long-run.mjs');
await bundle(join(root, 'test/oracle/random-c/long-run.ts'), outfile, asModule);
const { status } = spawnSync(process.execPath, [...launcherFlags(), outfile, writer, programs, seed], {
  stdio: 'inherit',
  cwd: root,
});
rmSync(folder, { recursive: true });
process.exitCode = status ?? 1;
