/**
 * `node scripts/lock-step.js [PROGRAMS] [SEED]`: random programs, interpreted and translated, for longer than the test suite does,
 * and without its overhead.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asModule, bundle } from './bundle.js';
import { launcherFlags } from './launcher-flags.js';

const [programs = '100000', seed = '1000'] = process.argv.slice(2);
const root = join(new URL('.', import.meta.url).pathname, '..');
const folder = mkdtempSync(join(tmpdir(), 'gvm-lock-step-'));
const outfile = join(folder, 'long-run.mjs');
await bundle(join(root, 'test/hardware/lock-step/long-run.ts'), outfile, asModule);
const { status } = spawnSync(process.execPath, [...launcherFlags(), outfile, programs, seed], { stdio: 'inherit' });
rmSync(folder, { recursive: true });
process.exitCode = status ?? 1;
