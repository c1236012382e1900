/** One file out of the sources, for the build and for the bench: what is measured is made as what ships. */

import { writeFileSync } from 'node:fs';
import { build, transform } from 'esbuild';

/** A variable of the bundle's top level with its value; the bundler prints these at the start of a line. */
const TOP_LEVEL = /^var ([A-Za-z_$][\w$]*) = /gm;
/** What a CommonJS file already has, and a package may define once more. */
const GIVEN = new Set(['__dirname', '__filename', 'require', 'module', 'exports']);
/** A name that is given a value, by whatever operator; not a property, nor an arrow function's parameter. */
const ASSIGNED = /(?<![\w$.#])([A-Za-z_$][\w$]*)\s*(?:(?:[-+*/%&|^]|\*\*|<<|>>>?|\?\?|\|\||&&)?=(?![=>])|\+\+|--)/g;
const COUNTED = /(?:\+\+|--)([A-Za-z_$][\w$]*)/g;

/**
 * Give the bundle back the `const` of its sources, which the bundler makes `var`. V8 puts the value of a constant into its optimised code:
 * the bit of a flag is then a number there, and a function of a module is called without being looked up, or is inlined. As variables they
 * are loaded and checked at each use, a fifth of the instructions of a VM exit. A name that is given a value anywhere else, in whatever
 * scope, stays as it is; what this reading misses, the bundler refuses afterwards as an assignment to a constant.
 */
function keepConstants(text) {
  const times = new Map();
  for (const pattern of [ASSIGNED, COUNTED])
    for (const [, name] of text.matchAll(pattern)) times.set(name, (times.get(name) ?? 0) + 1);
  return text.replace(TOP_LEVEL, (declaration, name) =>
    times.get(name) === 1 && !GIVEN.has(name) ? `const ${name} = ` : declaration,
  );
}

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
  const { code } = await transform(keepConstants(text), {
    ...minify,
    format,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    logOverride: { 'assign-to-constant': 'error' },
  });
  writeFileSync(outfile, code + (EXPORTED_NAMES.exec(text)?.[0] ?? ''));
}
