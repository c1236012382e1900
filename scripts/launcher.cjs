#!/usr/bin/env node
/**
 * Starts the bundle of the command (gvm-run.cjs, gvm-asm.cjs; gvm.cjs for those without one of their own) with V8's code cache beside it. A cache of another V8 is
 * rejected by V8 itself, and the run is only slower. The build sets GVM_RECORD_CODE to have the cache written. CommonJS, since loading an ES module costs 3 ms more.
 */

const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

const V8 = Number.parseInt(process.versions.v8, 10);
// Flags, each with the newest V8 that is known to have it: for one that it has not, V8 prints a line at each start.
for (const [newest, flag] of [
  // A short run ends before optimised code pays: let V8 see more of it first. Measured: a sixth of a run of vm-buffer.gasm.
  // It has to be the same for the cache, whose V8 flags must be equal. Newer ones have a compiler in between for that.
  [11, '--interrupt-budget=1000000'],
  // An exit goes through some twenty functions, each its own layer: with more of them in one another a port write to an mdev driver takes
  // a sixth less. Nothing is inlined before it is hot.
  [13, '--max-inlined-bytecode-size=1000'],
  [13, '--max-inlined-bytecode-size-cumulative=6000'],
  // Translated code says which of its branches are hardly ever taken: V8 then puts what they lead to behind all other code. 100 kB of
  // guest code take a third of the time.
  [13, '--experimental-wasm-branch-hinting'],
])
  if (V8 <= newest) setFlagsFromString(flag);

const OWN_BUNDLE = ['run', 'asm'];
/** Options of gvm run whose work is in the whole bundle alone: src/cli/run-extras.ts. */
const EXTRAS = /^--(trace-out|causal|walk|watch)(=|$)/;
const whole = process.argv.some((word) => EXTRAS.test(word));
const name = OWN_BUNDLE.includes(process.argv[2]) && !whole ? `gvm-${process.argv[2]}` : 'gvm';
const filename = join(__dirname, `${name}.cjs`);
// The bundler writes ASCII, which this encoding reads fastest.
const source = readFileSync(filename, 'latin1');
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, `${name}.cache`));
} catch {
  // None, as while it is being made.
}
const script = new Script(source, { filename, cachedData });
const bundle = { exports: {} };
script.runInThisContext()(require, bundle, bundle.exports, filename, __dirname);
if (process.env.GVM_RECORD_FORMS !== undefined)
  writeFileSync(process.env.GVM_RECORD_FORMS, JSON.stringify(bundle.exports.compiledForms()));
if (process.env.GVM_RECORD_CODE !== undefined) writeFileSync(process.env.GVM_RECORD_CODE, script.createCachedData());
