/** Assembles the guest library into an archive: at build time, and for tests that run from the sources. */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assemble } from '../../lang/assembler/assemble.ts';
import { formatDiagnostic } from '../../lang/assembler/diagnostics.ts';
import { buildLibrary as assembleLibrary } from '../../lang/object/library-archive.ts';
import { recordedShapes } from '../../lang/syntax/line-shapes.ts';
import type { PreparedShapes } from '../../lang/syntax/prepared-shapes.ts';
import { includePath } from './guest-program.ts';
import { USUAL_LINES } from './usual-lines.ts';

/** The archive of all `.gasm` files of `folder`, whose includes lie in `folder`/include. A mistake in them is thrown as text. */
export function libraryArchive(folder: string): Uint8Array {
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.gasm'))
    .sort()
    .map((name) => ({ name: `lang/library/${name}`, text: readFileSync(join(folder, name), 'utf8') }));
  const result = assembleLibrary(sources, (name) => {
    const path = join(folder, 'include', name);
    return existsSync(path) ? { name: `lang/library/include/${name}`, text: readFileSync(path, 'utf8') } : undefined;
  });
  if ('archive' in result) return result.archive;
  throw new Error(result.diagnostics.map(formatDiagnostic).join('\n'));
}

/** The shapes of usual lines, and of those in the library and in these programs. A program that is there to be refused gives those it has. */
export function shapesOf(folder: string, programs: readonly string[]): PreparedShapes {
  libraryArchive(folder);
  const include = includePath([], join(folder, 'include'));
  assemble({ name: 'usual lines', text: USUAL_LINES }, { includePath: include });
  for (const name of programs) assemble({ name, text: readFileSync(name, 'utf8') }, { includePath: include });
  return recordedShapes();
}

/** Write the archive to `target`. */
export function buildLibrary(folder: string, target: string): void {
  writeFileSync(target, libraryArchive(folder));
}
