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

/** The exit path of this build against one without event sites: the median of some processes, in each of which V8 decides anew. */
async function eventSites() {
  const builds = ['with.mjs', 'without.mjs'];
  await bundle('test/bench/untraced.ts', builds[0]);
  await bundle('test/bench/untraced.ts', builds[1], [withoutEvents]);
  await bundle('test/bench/event-sites.ts', 'event-sites.mjs');
  const paths = builds.map((name) => join(folder, name));
  const more = Array.from({ length: 5 }, () =>
    Number(run('event-sites.mjs', ['ignore', 'pipe', 'inherit'], ...paths).stdout),
  ).sort((a, b) => a - b);
  const percent = (part) => `${(part * 100).toFixed(1)} %`;
  console.log(
    `event sites, tracing off, of the exit path: ${percent(more[2])} (${percent(more[0])} to ${percent(more[4])})   less than 2 %`,
  );
}

// They stand beside the command, and so beside what is measured.
for (const file of ['report.html', 'libgvm.a']) copyFileSync(join(root, 'dist', file), join(folder, file));
await bundle('test/bench/main.ts', 'bench.mjs');
const { status } = run('bench.mjs', 'inherit', ...process.argv.slice(2));
if (process.argv[2] === undefined) await eventSites();
rmSync(folder, { recursive: true });
process.exit(status ?? 1);
