/** The launcher sets flags of V8's, which differ from one V8 to the next: for one that it does not know it prints a line at each start. */

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
// @ts-expect-error: a script of the build, in JavaScript.
import { allLauncherFlags } from '../../scripts/launcher-flags.js';

test('V8 knows each flag that is set for it', () => {
  const { stdout } = spawnSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
  const known = [...stdout.matchAll(/^ {2}(--[\w-]+) /gm)].map(([, flag]) => flag);
  expect(known.length).toBeGreaterThan(100);
  for (const flag of allLauncherFlags()) expect(known).toContain(flag.split('=')[0]);
});
