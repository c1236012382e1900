/** Every rule by which the modeled kernel refuses a request, as it stands in the sources: refuse(ERRNO, 'rule'). */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const CALL = /\brefuse\(\s*(E[A-Z0-9]+),\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;

/** `folder`: src/linux. Rules by errno, part and text, each once. */
export function refusalsIn(folder) {
  const found = new Map();
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (!name.endsWith('.ts')) continue;
    const [part] = name.split('/');
    for (const [, errno, single, double, template] of readFileSync(join(folder, name), 'utf8').matchAll(CALL)) {
      const rule = (single ?? double ?? template).replace(/\$\{[^}]*\}/g, '…').replace(/\\(.)/g, '$1');
      found.set(`${errno} ${part} ${rule}`, { errno, part, rule });
    }
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
