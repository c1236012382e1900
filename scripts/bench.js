/** `npm run bench`: bundles test/bench/main.ts and runs it, so that what is measured is what ships. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(new URL('.', import.meta.url).pathname, '..');
const folder = mkdtempSync(join(tmpdir(), 'gvm-bench-'));
await build({
  entryPoints: [join(root, 'test/bench/main.ts')],
  outfile: join(folder, 'bench.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
});
const { status } = spawnSync(process.execPath, [join(folder, 'bench.mjs'), ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: root,
});
rmSync(folder, { recursive: true });
process.exit(status ?? 1);
