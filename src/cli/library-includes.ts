/** The guest library's include files: what they declare, for who looks for a function of it. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A function or variable of the guest library. */
export interface LibrarySymbol {
  readonly name: string;
  /** The include file that declares it, as a source names it. */
  readonly include: string;
  /** What stands beside the declaration; empty if nothing does. */
  readonly comment: string;
}

/** The include files in `folder`, as a source names them. */
export const includeFiles = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.inc'))
    .sort();

/** All that the include files in `folder` declare. */
export const librarySymbols = (folder: string): LibrarySymbol[] =>
  includeFiles(folder).flatMap((include) =>
    [...readFileSync(join(folder, include), 'utf8').matchAll(/^\s*extern\s+([^;\n]*);?(.*)/gm)].flatMap(
      ([, names, comment]) =>
        names!.split(',').map((name) => ({ name: name.trim(), include, comment: comment!.trim() })),
    ),
  );
