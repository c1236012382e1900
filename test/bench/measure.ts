/** Timing for benchmarks: medians of several runs, after a warm-up. */

import { spawnSync } from 'node:child_process';

/**
 * The environment for whole processes, without what only tells of this machine: Node reads the certificates that NODE_EXTRA_CA_CERTS
 * names whenever it starts, 40 ms that flatter every ratio to a short run.
 */
export const plainEnvironment: NodeJS.ProcessEnv = { ...process.env };
delete plainEnvironment.NODE_EXTRA_CA_CERTS;

/** Exits between two looks at the clock, and looks: so many that V8 has long settled, which takes it the first half million. */
export const WINDOW = 2048;
export const WINDOWS = 3000;

/** Milliseconds that `work` takes: the median of `runs`, after one run that does not count. */
export function milliseconds(runs: number, work: () => void): number {
  work();
  const times = Array.from({ length: runs }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  });
  return median(times);
}

/** What a command writes on stdout, and its milliseconds of CPU, as bash tells. */
export interface Timed {
  readonly text: string;
  readonly user: number;
  readonly system: number;
}

/** Run a command to its end. */
export function timedCommand(words: readonly string[]): Timed {
  const { stdout, stderr } = spawnSync('bash', ['-c', 'TIMEFORMAT="%U %S"; time "$@"', 'bash', ...words], {
    encoding: 'latin1',
  });
  const [, user, system] = /^([\d.]+) ([\d.]+)$/m.exec(stderr)!;
  return { text: stdout.trim(), user: Number(user) * 1000, system: Number(system) * 1000 };
}

/** The middle one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** The lower quartile: what a thing takes where other load, which only ever adds, has mostly let it be. */
export function lowerQuartile(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 2]!;
}

/** One line of the table. `limit` is what the figure should at most (or, for rates, at least) be. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly limit: string;
}

/** Print figures as a table. */
export function printFigures(figures: readonly Figure[]): void {
  const wide = Math.max(...figures.map(({ name }) => name.length));
  for (const { name, value, limit } of figures) console.log(`${name.padEnd(wide)}  ${value.padStart(16)}   ${limit}`);
}
