/** A program as the user names it: a source that is assembled and linked with the guest library, or an ELF image taken as it is. */

import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { assemble } from '../../lang/assembler/assemble.ts';
import type { IncludePath } from '../../lang/assembler/preprocessor/preprocessor-options.ts';
import type { WarningSettings } from '../../lang/assembler/warning-classes.ts';
import { type Archive, readArchive } from '../../lang/object/archive.ts';
import { KERNEL_LAYOUT, link } from '../../lang/object/link.ts';
import { isElf, readElf } from '../../lang/object/read-elf.ts';
import { type Symbolizer, symbolizer } from '../../lang/object/symbolize.ts';
import { MiB } from '../address.ts';
import { type Directives, readDirectives } from './directives.ts';
import { EXIT } from './exit-status.ts';
import { fileError } from './file-error.ts';
import { includeFiles, librarySymbols } from './library-includes.ts';
import { assemblyError, diagnosticsJson, diagnosticsText } from './report-diagnostics.ts';
import { UsageError } from './usage-error.ts';

/** What a program is linked with, and where it finds its includes. */
export interface GuestLibrary {
  readonly archive: Archive;
  /** Folder of the library's include files. */
  readonly includes: string;
}

/** Whether a source file, as an object names it, is one of the library's. */
export const isLibraryFile = (file: string, library: GuestLibrary): boolean =>
  file.startsWith('lang/library/') || file.startsWith(library.includes);

export interface GuestProgram {
  /** The name the user gave. */
  readonly name: string;
  /** ET_EXEC ELF64, as it is loaded. */
  readonly image: Uint8Array;
  /** Names and source lines of its addresses; linked when first asked for, since most runs never ask. */
  readonly symbolizer: () => Symbolizer;
  /** What it is linked with. */
  readonly library: GuestLibrary;
  readonly directives: Directives;
}

/** How the user wants a source to be read. */
export interface SourceOptions {
  readonly includes: readonly string[];
  readonly defines: Readonly<Record<string, string>>;
  readonly warnings?: WarningSettings;
  /** Diagnostics as JSON. */
  readonly json?: boolean;
}

/** What a program has to define: the library calls it once the machine is set up. */
const ENTRY = 'init_module';
const MACHINE_SECTION = '.gvm';

/** Of a file of the user's: what a string still holds, and as far as a device without end is read. */
const MAX_BYTES = MiB(256);
const CHUNK_BYTES = 65536;

/** The bytes of a file of the user's. */
export function readUserFile(path: string): Uint8Array {
  try {
    const stat = statSync(path);
    if (stat.size > MAX_BYTES) throw tooLarge();
    return stat.isFile() ? readFileSync(path) : readToEnd(path);
  } catch (error) {
    throw new UsageError(`gvm: ${path}: ${fileError(error)}`);
  }
}

/** What a pipe or a device gives. */
function readToEnd(path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const parts: Uint8Array[] = [];
    for (let bytes = 0; bytes <= MAX_BYTES; ) {
      const part = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(fd, part);
      if (count === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, count));
      bytes += count;
    }
  } finally {
    closeSync(fd);
  }
  throw tooLarge();
}

const tooLarge = () => Object.assign(new Error(`more than ${MAX_BYTES} bytes`), { code: 'EFBIG' });

/** `%include`: beside the file that asks, then in `folders`, then among the library's includes. */
export function includePath(folders: readonly string[], library: string): IncludePath {
  const find: IncludePath = (name, from) => {
    const path = findFile(name, [dirname(from), ...folders, library]);
    return path === undefined ? undefined : { name: path, text: readFileSync(path, 'utf8') };
  };
  return Object.assign(find, { known: () => includeFiles(library) });
}

/** `incbin`: beside the file that asks, then in `folders`; with the name it was found by. */
export function binaryFiles(
  folders: readonly string[],
): (name: string, from: string) => { readonly name: string; readonly bytes: Uint8Array } | undefined {
  return (name, from) => {
    const path = findFile(name, [dirname(from), ...folders]);
    return path === undefined ? undefined : { name: path, bytes: readFileSync(path) };
  };
}

function findFile(name: string, folders: readonly string[]): string | undefined {
  return folders
    .map((folder) => (isAbsolute(name) ? name : join(folder, name)))
    .find((path) => existsSync(path) && statSync(path).isFile());
}

/** A file that the build has put beside the command. */
export const builtFile = (name: string): string => join(dirname(new URL(import.meta.url).pathname), name);

/** Folder of the library's include files in this installation. */
export const installedIncludes = (): string => builtFile('../lang/library/include');

/** The library as built: `libgvm.a` beside the command, and its includes. */
export const installedLibrary = (): GuestLibrary => ({
  archive: readArchive(readUserFile(builtFile('libgvm.a')), 'libgvm.a'),
  includes: installedIncludes(),
});

/** An image made from C tells its machine in a section of its own, in the lines that a source would have (gvm.h). */
function machineOf(image: Uint8Array, path: string): string {
  const section = readElf(image, path).sections.find(({ name }) => name === MACHINE_SECTION);
  return section === undefined ? '' : new TextDecoder().decode(section.data);
}

/** Read, assemble and link the program at `path`. */
export function buildProgram(
  path: string,
  library: GuestLibrary,
  options: SourceOptions,
  warn: (text: string) => void,
): GuestProgram {
  const bytes = readUserFile(path);
  if (isElf(bytes))
    return {
      name: path,
      image: bytes,
      symbolizer: () => symbolizer(bytes, path),
      library,
      directives: readDirectives(path, machineOf(bytes, path)),
    };
  const text = new TextDecoder().decode(bytes);
  const include = includePath(options.includes, library.includes);
  const findBytes = binaryFiles(options.includes);
  const assembled = assemble(
    { name: path, text },
    {
      includePath: include,
      binaryPath: (name, from) => findBytes(name, from)?.bytes,
      environment: (variable) => process.env[variable],
      defines: options.defines,
      whoDeclares: (name) => librarySymbols(library.includes).find((each) => each.name === name)?.include,
      ...(options.warnings === undefined ? {} : { warnings: options.warnings }),
    },
  );
  if ('diagnostics' in assembled) throw assemblyError(assembled.diagnostics, options.json);
  const { object, warnings } = assembled;
  if (warnings.length > 0) warn(options.json ? diagnosticsJson(warnings) : diagnosticsText(warnings));
  const entry = object.symbols.find(({ name, section }) => name === ENTRY && section !== 'undefined');
  if (entry === undefined) {
    throw new UsageError(
      `${path}: error: the program does not define \`${ENTRY}\`, where it begins\n   = note: write \`global ${ENTRY}\` and the label \`${ENTRY}:\``,
      EXIT.ASSEMBLY,
    );
  }
  if (entry.binding === 'local') {
    throw new UsageError(
      `${path}: error: \`${ENTRY}\` is not global: the guest library, which calls it, cannot see it\n   = note: write \`global ${ENTRY}\``,
      EXIT.ASSEMBLY,
    );
  }
  const linkAs = (strip: boolean): Uint8Array => {
    const linked = link([object], [library.archive], { ...KERNEL_LAYOUT, strip });
    if ('diagnostics' in linked) throw assemblyError(linked.diagnostics);
    return linked.image;
  };
  return {
    name: path,
    image: linkAs(true),
    symbolizer: () => symbolizer(linkAs(false), path),
    library,
    directives: readDirectives(path, text),
  };
}
