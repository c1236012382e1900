/** Building libgvm.a: the guest library's sources, assembled once, so that a run only links what a program uses. */

import { assemble } from '../assembler/assemble.ts';
import type { Diagnostic } from '../assembler/diagnostics.ts';
import type { IncludePath } from '../assembler/preprocessor/preprocessor-options.ts';
import { type ArchiveMember, writeArchive } from './archive.ts';
import { STT_FILE } from './elf64.ts';
import type { ObjectFile, ObjectSymbol } from './object-file.ts';
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
      bytes: writeObject(withoutConstants(result.object), { debug: true }),
    });
  }
  return { archive: writeArchive(members) };
}

/**
 * Leaves out the `equ` constants, as `strip --strip-unneeded` does: each member has all those of the files it includes, two thirds
 * of its symbols, and every run would read them again.
 */
function withoutConstants(object: ObjectFile): ObjectFile {
  const isConstant = ({ binding, section, type }: ObjectSymbol) =>
    binding === 'local' && section === 'absolute' && type !== STT_FILE;
  const kept = object.symbols.filter((symbol) => !isConstant(symbol));
  const numbers = new Map(kept.map((symbol, number) => [symbol, number]));
  const numberOf = (old: number): number => {
    const number = old < 0 ? old : numbers.get(object.symbols[old]!);
    if (number === undefined) throw new Error(`a relocation of ${object.name} refers to a constant`);
    return number;
  };
  const sections = object.sections.map((section) => ({
    ...section,
    relocations: section.relocations.map((each) => ({ ...each, symbol: numberOf(each.symbol) })),
  }));
  return { ...object, sections, symbols: kept };
}
