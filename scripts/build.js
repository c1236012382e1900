/**
 * Builds dist/: the command line as one file, so that start-up loads one file, and the guest library as an archive of
 * objects, so that a run assembles the user's program only.
 */

import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(new URL('.', import.meta.url).pathname, '..');
const dist = join(root, 'dist');

/** Bundle one entry. Packages written as CommonJS still ask for `require`. */
const bundle = (entry, outfile, minify) =>
  build({
    entryPoints: [join(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    minify,
    keepNames: false,
    logLevel: 'warning',
    banner: { js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);" },
  });

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
await bundle('src/cli/main.ts', join(dist, 'gvm.js'), true);
chmodSync(join(dist, 'gvm.js'), 0o755);

const librarian = join(dist, 'librarian.js');
await bundle('src/cli/librarian.ts', librarian, false);
const { buildLibrary } = await import(pathToFileURL(librarian).href);
buildLibrary(join(root, 'lang/library'), join(dist, 'libgvm.a'));
rmSync(librarian);
