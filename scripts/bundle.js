/** One file out of the sources, for the build and for the bench: what is measured is made as what ships. */

import { writeFileSync } from 'node:fs';
import { build, transform } from 'esbuild';
import { knownConstants } from './known-constants.js';

/** How the bundler tells Node's lexer of a CommonJS file's exports: dead code, which minifying it again would remove. */
const EXPORTED_NAMES = /^0 && \(module\.exports = \{[^}]*\}\);$/m;

/** Options for a script that is run by itself: an ES module, in which the packages' CommonJS finds `require`. */
export const asModule = {
  format: 'esm',
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);",
  },
};

/**
 * Bundle one entry. `options` are esbuild's, `minify` those of the text that is written: the bundler's own minification would join the
 * variables before they can be told from constants.
 */
export async function bundle(entry, outfile, { format, minify = {}, ...options }) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format,
    write: false,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    ...options,
  });
  const { text } = outputFiles[0];
  const known = knownConstants(text, format === 'esm' ? 'module' : 'script');
  const { code } = await transform(known, {
    ...minify,
    format,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    logOverride: { 'assign-to-constant': 'error' },
  });
  writeFileSync(outfile, code + (EXPORTED_NAMES.exec(text)?.[0] ?? ''));
}
