/** V8's flags as the launcher sets them for this Node, but for its patience with short runs, which a long one does without. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const launcher = join(new URL('.', import.meta.url).pathname, 'launcher.cjs');
const FLAG = /^ {2}\[(\d+), '(--[^']+)'\],$/gm;
const PATIENCE = '--interrupt-budget';

/** All that the launcher would set, in its order. */
export const allLauncherFlags = () => {
  const v8 = Number.parseInt(process.versions.v8, 10);
  const flags = [...readFileSync(launcher, 'utf8').matchAll(FLAG)];
  if (flags.length === 0) throw new Error('the launcher no longer sets flags where this looks for them');
  return flags.filter(([, newest]) => v8 <= Number(newest)).map(([, , flag]) => flag);
};

export const launcherFlags = () => allLauncherFlags().filter((flag) => !flag.startsWith(PATIENCE));
