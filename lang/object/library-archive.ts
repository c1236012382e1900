/** Building libgvm.a: the guest library's sources, assembled once, so that a run only links what a program uses. */

import { assemble } from '../assembler/assemble.ts';
import type { Diagnostic } from '../assembler/diagnostics.ts';
import type { IncludePath } from '../assembler/preprocessor/preprocessor.ts';
import { type ArchiveMember, writeArchive } from './archive.ts';
import { writeObject } from './write-object.ts';

/**
 * Assembles each source into a member (`start.gasm` → `start.o`) with line information. Sources are taken in the order given, so that
 * equal sources give equal bytes.
 */
export function buildLibrary(
  sources: readonly { readonly name: string; readonly text: string }[],
  includePath: IncludePath,
): { readonly archive: Uint8Array } | { readonly diagnostics: readonly Diagnostic[] } {
  const members: ArchiveMember[] = [];
  for (const source of sources) {
    const result = assemble(source, { includePath });
    if ('diagnostics' in result) return { diagnostics: result.diagnostics };
    const base = source.name.slice(source.name.lastIndexOf('/') + 1);
    members.push({
      name: base.replace(/\.[^.]*$/, '.o'),
      bytes: writeObject(result.object, { debug: true }),
    });
  }
  return { archive: writeArchive(members) };
}
