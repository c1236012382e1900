#!/usr/bin/env node
/**
 * Starts gvm.cjs with V8's code cache beside it (gvm.cache). A cache of another V8 is rejected by V8 itself, and the run is
 * only slower. The build sets GVM_RECORD_CODE to have the cache written.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

// A short run ends before optimised code pays: let V8 see more of it first. Measured: a sixth of a run of vm-buffer.gasm.
// It has to be the same for the cache, whose V8 flags must be equal.
setFlagsFromString('--interrupt-budget=1000000');

const folder = dirname(fileURLToPath(import.meta.url));
const filename = join(folder, 'gvm.cjs');
const source = readFileSync(filename, 'utf8');
let cachedData;
try {
  cachedData = readFileSync(join(folder, 'gvm.cache'));
} catch {
  // None, as while it is being made.
}
const script = new Script(`(function (require, module, exports, __filename, __dirname) {${source}\n})`, {
  filename,
  cachedData,
});
const module = { exports: {} };
script.runInThisContext()(createRequire(filename), module, module.exports, filename, folder);
if (process.env.GVM_RECORD_FORMS !== undefined)
  writeFileSync(process.env.GVM_RECORD_FORMS, JSON.stringify(module.exports.compiledForms()));
if (process.env.GVM_RECORD_CODE !== undefined) writeFileSync(process.env.GVM_RECORD_CODE, script.createCachedData());
