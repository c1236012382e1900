/**
 * Every rule by which the modeled kernel refuses a request, as it stands in the sources: refuse(ERRNO, 'rule'), or a
 * function that does so and says more, refuseParameter(kernel, ERRNO, 'rule').
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A call of anything so called that takes arguments. */
const CALL = /\brefuse\w*\((?!\s*\))/g;
const LITERALS =
  /^\s*(?:kernel,\s*)?(E[A-Z0-9]+),\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)\s*[,)]/;
/** Declarations, and what hands on a refusal that stands elsewhere. */
const HANDED_ON = /^(?:kernel: \w+, )?errno(: number)?, because(: string)?\)/;

/** `folder`: src/linux. Each call with its place, and the rule if it is written there, as words. */
export function* refusalSites(folder) {
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (!name.endsWith('.ts')) continue;
    const source = readFileSync(join(folder, name), 'utf8');
    for (const call of source.matchAll(CALL)) {
      const start = call.index + call[0].length;
      const rest = source.slice(start, start + 1000);
      if (HANDED_ON.test(rest)) continue;
      const literals = LITERALS.exec(rest);
      const place = `${name}:${source.slice(0, start).split('\n').length}`;
      if (literals === null) {
        if (call[0] === 'refuse(') yield { place };
        continue;
      }
      const [, errno, single, double, template] = literals;
      const rule = (single ?? double ?? template).replace(/\$\{[^}]*\}/g, '…').replace(/\\(.)/g, '$1');
      yield { place, refusal: { errno, part: name.split('/')[0], rule } };
    }
  }
}

/** Rules by errno, part and text, each once. */
export function refusalsIn(folder) {
  const found = new Map();
  for (const { refusal } of refusalSites(folder)) {
    if (refusal !== undefined) found.set(`${refusal.errno} ${refusal.part} ${refusal.rule}`, refusal);
  }
  return [...found.values()];
}

/** esbuild: the list in the place of the empty one. */
export const refusalList = (folder) => ({
  name: 'refusals',
  setup(build) {
    build.onLoad({ filter: /explain\/refusals\.ts$/ }, () => ({
      contents: `export const refusals = ${JSON.stringify(refusalsIn(folder))};`,
    }));
  },
});
