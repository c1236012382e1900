/** `gvm asm`: one source to a flat binary or an ELF object. */

import { writeFileSync } from 'node:fs';
import { toFlat } from '../../lang/object/flat.ts';
import type { ObjectFile } from '../../lang/object/object-file.ts';
import { writeObject } from '../../lang/object/write-object.ts';
import { assembleSource, assemblyError, includePath, readUserFile } from './guest-program.ts';
import { UsageError } from './usage-error.ts';

export interface AsmOptions {
  readonly file: string;
  readonly format: 'bin' | 'elf64';
  readonly output: string | undefined;
  readonly debug: boolean;
  readonly includes: readonly string[];
  readonly defines: Readonly<Record<string, string>>;
  /** Folder of the guest library's includes. */
  readonly library: string;
}

/** Assemble and write; errors are thrown as {@link UsageError}s with status 3. Returns the file written. */
export function asm(options: AsmOptions, warn: (text: string) => void): string {
  const text = new TextDecoder().decode(readUserFile(options.file));
  const include = includePath(options.includes, options.library);
  const object = assembleSource(
    options.file,
    text,
    include,
    { defines: options.defines, format: options.format },
    warn,
  );
  const bytes = options.format === 'bin' ? flat(object) : writeObject(object, { debug: options.debug });
  const target = options.output ?? defaultName(options.file, options.format);
  try {
    writeFileSync(target, bytes);
  } catch (error) {
    throw new UsageError(`gvm: ${target}: ${(error as Error).message}`);
  }
  return target;
}

function flat(object: ObjectFile): Uint8Array {
  const result = toFlat(object);
  if ('diagnostics' in result) throw assemblyError(result.diagnostics);
  return result.bytes;
}

/** As NASM names its output: the source without its ending, plus `.o` for an object. */
function defaultName(file: string, format: 'bin' | 'elf64'): string {
  const base = file.replace(/\.[^./]*$/, '');
  const name = format === 'elf64' ? `${base}.o` : base;
  return name === file ? `${file}.bin` : name;
}
