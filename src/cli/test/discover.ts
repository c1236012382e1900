/** The tests under the paths a user names: sources, and goldens that have lost theirs. */

import { type Dirent, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileError } from '../file-error.ts';
import { UsageError } from '../usage-error.ts';

export interface Found {
  /** `.gasm` files, in the order of their names. */
  readonly sources: readonly string[];
  /** `.golden` files that no source stands beside. */
  readonly orphans: readonly string[];
}

/** Which of the tests are wanted. */
export interface Selection {
  /** Regular expression that the path has to match. */
  readonly filter: RegExp | undefined;
  /** Part `index` (from 1) of `count` equal parts. */
  readonly shard: { readonly index: number; readonly count: number } | undefined;
}

/** Everything under `paths`: files as they are, folders with all below them but hidden folders and node_modules. */
export function discover(paths: readonly string[], selection: Selection): Found {
  const files = [...new Set(paths.flatMap(filesUnder))].sort();
  const wanted = (file: string) => selection.filter === undefined || selection.filter.test(file);
  const { shard } = selection;
  const sources = files
    .filter((file) => file.endsWith('.gasm') && wanted(file))
    .filter((_, index) => shard === undefined || index % shard.count === shard.index - 1);
  const orphans = files.filter(
    (file) => file.endsWith('.golden') && wanted(file) && !existsSync(file.replace(/\.golden$/, '.gasm')),
  );
  // One shard is enough to report them.
  return { sources, orphans: shard === undefined || shard.index === 1 ? orphans : [] };
}

function filesUnder(path: string): string[] {
  if (!isFolder(path)) {
    if (!path.endsWith('.gasm')) throw new UsageError(`gvm test: ${path} is no test: a test is a .gasm file`);
    return [path];
  }
  return entriesOf(path).flatMap((entry) => {
    const below = path === '.' ? entry.name : join(path, entry.name);
    if (entry.isDirectory()) return /^\.|^node_modules$/.test(entry.name) ? [] : filesUnder(below);
    return /\.(gasm|golden)$/.test(entry.name) ? [below] : [];
  });
}

const isFolder = (path: string): boolean => orUsage(path, () => statSync(path).isDirectory());
const entriesOf = (path: string): Dirent[] => orUsage(path, () => readdirSync(path, { withFileTypes: true }));

function orUsage<R>(path: string, look: () => R): R {
  try {
    return look();
  } catch (error) {
    throw new UsageError(`gvm test: ${path}: ${fileError(error)}`);
  }
}
