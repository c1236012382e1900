/** Real tools as oracles: nasm, ld, readelf, objdump on files in a folder that goes away afterwards. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AssembleOptions, assemble } from '../../../lang/assembler/assemble.ts';
import { formatDiagnostic } from '../../../lang/assembler/diagnostics.ts';
import { Listing } from '../../../lang/assembler/listing.ts';
import { toFlat } from '../../../lang/object/flat.ts';
import type { ObjectFile } from '../../../lang/object/object-file.ts';
import { inFolder } from '../../in-folder.ts';

export const has = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;

/** A tool's standard output; throws with its errors where it fails. */
export function run(tool: string, args: readonly string[]): string {
  const result = spawnSync(tool, [...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

/** What nasm makes of a source, or undefined where it refuses it. Further files lie beside it. */
export function nasm(
  format: 'bin' | 'elf64',
  text: string,
  files: Readonly<Record<string, string>> = {},
): Uint8Array | undefined {
  return inFolder((folder) => {
    writeFileSync(join(folder, 'main.asm'), format === 'bin' ? `bits 64\n${text}` : text);
    for (const [name, contents] of Object.entries(files)) writeFileSync(join(folder, name), contents);
    const output = join(folder, 'main.out');
    const args = ['-f', format, '-w-all', `-I${folder}/`, '-o', output, join(folder, 'main.asm')];
    return spawnSync('nasm', args).status === 0 ? readFileSync(output) : undefined;
  });
}

/** Assembles; a mistake in the source fails the test with its text. */
export function object(text: string, options: Partial<AssembleOptions> = {}): ObjectFile {
  const result = assemble({ name: 'main.asm', text }, { includePath: () => undefined, ...options });
  if ('object' in result) return result.object;
  throw new Error(result.diagnostics.map(formatDiagnostic).join('\n'));
}

/** Flat bytes as hex. */
export function flat(text: string, files: Readonly<Record<string, string>> = {}): string {
  const includePath: AssembleOptions['includePath'] = (name) =>
    files[name] === undefined ? undefined : { name, text: files[name] };
  const result = toFlat(object(text, { includePath, format: 'bin' }));
  if ('diagnostics' in result) throw new Error(result.diagnostics.map(formatDiagnostic).join('\n'));
  return Buffer.from(result.bytes).toString('hex');
}

/** All errors and warnings of a source as text. */
export function complaints(text: string, files: Readonly<Record<string, string>> = {}): string[] {
  const includePath: AssembleOptions['includePath'] = (name) =>
    files[name] === undefined ? undefined : { name, text: files[name] };
  const result = assemble({ name: 'main.asm', text }, { includePath });
  return ('object' in result ? result.warnings : result.diagnostics).map(formatDiagnostic);
}

/**
 * Bytes, complaints and line table of a source. For a listing every line and every call is made anew: so it comes out when nothing is kept
 * of an earlier one.
 */
export function outcome(text: string, keeps: boolean, options: Partial<AssembleOptions> = {}): string {
  const listing = keeps ? {} : { listing: new Listing() };
  const result = assemble(
    { name: 'main.asm', text },
    { includePath: () => undefined, format: 'bin', ...options, ...listing },
  );
  const said = 'object' in result ? result.warnings : result.diagnostics;
  const image = 'object' in result ? toFlat(result.object) : undefined;
  const bytes = image !== undefined && 'bytes' in image ? Buffer.from(image.bytes).toString('hex') : '';
  const rows = 'object' in result ? result.lines.rows : [];
  const lines = rows.map(({ section, offset, end, file, line }) => `${section}:${offset}-${end} ${file}:${line}`);
  return [bytes, ...said.map(formatDiagnostic), ...lines].join('\n');
}
