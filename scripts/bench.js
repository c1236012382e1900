/** `npm run bench`: bundles test/bench/main.ts and runs it, so that what is measured is what ships. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

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
  build({
    entryPoints: [join(root, entry)],
    outfile: join(folder, outfile),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Branches on false go.
    minifySyntax: true,
    plugins,
    logLevel: 'warning',
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
    },
  });

/** V8's bounds of inlining as the command sets them. Its patience with short runs would only make the warm-up longer. */
const flags = [
  ...readFileSync(join(root, 'scripts/launcher.cjs'), 'utf8').matchAll(/setFlagsFromString\('(--max-inlined[^']+)'\)/g),
].map(([, flag]) => flag);

const run = (name, stdio) =>
  spawnSync(process.execPath, [...flags, join(folder, name), ...process.argv.slice(2)], {
    stdio,
    cwd: root,
    encoding: 'utf8',
  });

/** The exit path of this build against one without event sites, in turn: the median of the ratios. */
async function eventSites() {
  await bundle('test/bench/untraced.ts', 'with.mjs');
  await bundle('test/bench/untraced.ts', 'without.mjs', [withoutEvents]);
  const time = (name) => Number(run(name, ['ignore', 'pipe', 'inherit']).stdout);
  const ratios = Array.from({ length: 7 }, () => time('with.mjs') / time('without.mjs')).sort((a, b) => a - b);
  console.log(`event sites, tracing off, of the exit path: ${((ratios[3] - 1) * 100).toFixed(1)} %   less than 2 %`);
}

// They stand beside the command, and so beside what is measured.
for (const file of ['report.html', 'libgvm.a']) copyFileSync(join(root, 'dist', file), join(folder, file));
await bundle('test/bench/main.ts', 'bench.mjs');
const { status } = run('bench.mjs', 'inherit');
await eventSites();
rmSync(folder, { recursive: true });
process.exit(status ?? 1);
