/** `npm run bench`: bundles test/bench/main.ts and runs it, so that what is measured is what ships. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asModule, bundle as bundleTo } from './bundle.js';
import { launcherFlags } from './launcher-flags.js';

const root = join(new URL('.', import.meta.url).pathname, '..');
const folder = mkdtempSync(join(tmpdir(), 'gvm-bench-'));

/** Every `event.on` is false: what the sites of events cost is out of this build. */
const withoutEvents = {
  name: 'without-events',
  setup(build) {
    build.onLoad({ filter: /\/src\/(hardware|linux|qemu)\/.*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(/[\w.#]+\.on\b(?!\s*[=(:])/g, 'false'),
      loader: 'ts',
    }));
  },
};

const bundle = (entry, outfile, plugins = []) =>
  bundleTo(join(root, entry), join(folder, outfile), {
    ...asModule,
    // Branches on false go.
    minify: { minifySyntax: true },
    plugins,
  });

const run = (name, stdio, ...rest) =>
  spawnSync(process.execPath, [...launcherFlags(), join(folder, name), ...rest], {
    stdio,
    cwd: root,
    encoding: 'utf8',
  });

/** Pairs of processes, one of each build, in turn: a drifting machine hits both, and V8 decides anew in each. */
const PAIRS = 11;

/** A port write to an mdev driver in this build against one without event sites. */
async function eventSites() {
  await bundle('test/bench/main.ts', 'without-events.mjs', [withoutEvents]);
  const road = (name) => Number(run(name, ['ignore', 'pipe', 'inherit'], 'road', 'mdev').stdout);
  const more = Array.from({ length: PAIRS }, () => road('bench.mjs') / road('without-events.mjs') - 1).sort(
    (a, b) => a - b,
  );
  const percent = (part) => `${(part * 100).toFixed(1)} %`;
  const [least, middle, most] = [0, (PAIRS - 1) / 2, PAIRS - 1].map((at) => percent(more[at]));
  console.log(`event sites, tracing off, of the exit path: ${middle} (${least} to ${most})   less than 2 %`);
}

// They stand beside the command, and so beside what is measured.
for (const file of ['report.html', 'libgvm.a']) copyFileSync(join(root, 'dist', file), join(folder, file));
await bundle('test/bench/main.ts', 'bench.mjs');
const { status } = run('bench.mjs', 'inherit', ...process.argv.slice(2));
if (process.argv[2] === undefined) await eventSites();
rmSync(folder, { recursive: true });
process.exit(status ?? 1);
