/** `gvm test` over many small programs, whole process. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Figure, median } from './measure.ts';

const PROGRAMS = 200;
const SAMPLE = 'programs/lessons/01-hello-port';

export function testRunnerFigure(): Figure {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-bench-test-'));
  for (let number = 0; number < PROGRAMS; number++)
    for (const end of ['gasm', 'golden']) copyFileSync(`${SAMPLE}.${end}`, join(folder, `p${number}.${end}`));
  const times = Array.from({ length: 3 }, () => {
    const start = performance.now();
    const { status } = spawnSync(process.execPath, ['dist/gvm.js', 'test', folder], { stdio: 'ignore' });
    if (status !== 0) throw new Error(`gvm test of ${SAMPLE} ends with status ${status}`);
    return performance.now() - start;
  });
  rmSync(folder, { recursive: true });
  return {
    name: `gvm test of ${PROGRAMS} small programs, each`,
    value: `${(median(times) / PROGRAMS).toFixed(1)} ms`,
    limit: 'at most 15 ms on two cores',
  };
}
