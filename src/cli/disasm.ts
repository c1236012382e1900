/** `gvm disasm`: an ELF file or flat bytes as NASM source. */

import { readFileSync } from 'node:fs';
import { disassembleFlat } from '../../lang/disassembler/flat.ts';
import { disassembleProgram, type SourceLines } from '../../lang/disassembler/object.ts';
import { programOfImage, programOfObject } from '../../lang/disassembler/program.ts';
import { ET_REL } from '../../lang/object/elf64.ts';
import { ObjectFault } from '../../lang/object/object-file.ts';
import { isElf, readElf } from '../../lang/object/read-elf.ts';
import { readObject } from '../../lang/object/read-object.ts';
import { readUserFile } from './guest-program.ts';
import { shellWord } from './shell-word.ts';
import { UsageError } from './usage-error.ts';

/** The source text; `origin` is the address of flat bytes. */
export function disasm(path: string, origin: bigint | undefined): string {
  const bytes = readUserFile(path);
  if (!isElf(bytes) && path.endsWith('.gasm'))
    throw new UsageError(
      `gvm disasm: ${path} is a source: gvm asm ${shellWord(path)} -o FILE makes what can be taken apart`,
    );
  if (!isElf(bytes)) return disassembleFlat(bytes, origin ?? 0n);
  if (origin !== undefined) throw new UsageError(`gvm disasm: --org is for flat files; ${path} is an ELF file`);
  try {
    const file = readElf(bytes, path);
    const program = file.type === ET_REL ? programOfObject(readObject(bytes, path)) : programOfImage(file);
    return disassembleProgram(program, sourceLines());
  } catch (error) {
    if (error instanceof ObjectFault) throw new UsageError(`gvm disasm: ${error.message}`);
    throw error;
  }
}

/** Lines of source files that are there to be read; each file is read once. */
function sourceLines(): SourceLines {
  const files = new Map<string, readonly string[]>();
  return (name, line) => {
    let lines = files.get(name);
    if (lines === undefined) {
      try {
        lines = readFileSync(name, 'utf8').split(/\r\n?|\n/);
      } catch {
        lines = [];
      }
      files.set(name, lines);
    }
    return lines[line - 1];
  };
}
