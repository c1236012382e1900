/** A comparison for longer than the test suite makes it, and without that one's overhead. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asModule, bundle } from './bundle.js';
import { launcherFlags } from './launcher-flags.js';

const root = join(new URL('.', import.meta.url).pathname, '..');

/** Bundle `entry`, a path in the project, and run it there with these arguments; its status becomes the process's. */
export async function longRun(entry, ...words) {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-long-run-'));
  const outfile = join(folder, 'long-run.mjs');
  await bundle(join(root, entry), outfile, asModule);
  const { status } = spawnSync(process.execPath, [...launcherFlags(), outfile, ...words], {
    stdio: 'inherit',
    cwd: root,
  });
  rmSync(folder, { recursive: true });
  process.exitCode = status ?? 1;
}
