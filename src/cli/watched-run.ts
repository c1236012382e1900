/** A run with somebody watching: a trace file, a causal report, statistics. */

import type { GuestLibrary } from './guest-program.ts';
import type { Machine } from './machine.ts';
import type { Output } from './output.ts';
import { run } from './run.ts';
import type { RunOptions } from './run-options.ts';
import type { Watcher } from './watcher.ts';

/** Run as {@link run} does, with the watchers told of the run and of its end. */
export function watchedRun(
  options: RunOptions,
  library: GuestLibrary,
  output: Output,
  watchers: readonly Watcher[],
): number {
  let status: number;
  let machine: Machine | undefined;
  try {
    status = run(options, library, output, (seen) => {
      machine = seen.machine;
      const ends = watchers.map(({ observe }) => observe(seen));
      return () => {
        for (const ended of ends) ended?.();
      };
    });
    for (const watcher of watchers) {
      if (machine?.interrupted === true) watcher.abandon();
      else watcher.finish();
    }
  } catch (error) {
    for (const watcher of watchers) watcher.abandon();
    throw error;
  }
  return status;
}
