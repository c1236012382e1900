/** `gvm asm`: one source to a flat binary or an ELF object, or to what the preprocessor or make wants of it. */

import { writeFileSync } from 'node:fs';
import { type AssembleOptions, assemble, preprocess } from '../../lang/assembler/assemble.ts';
import type { Diagnostic } from '../../lang/assembler/diagnostics.ts';
import { Listing } from '../../lang/assembler/listing.ts';
import type { WarningSettings } from '../../lang/assembler/warning-classes.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { writeObject } from '../../lang/object/write-object.ts';
import { Dependencies } from './dependencies.ts';
import { EXIT } from './exit-status.ts';
import { fileError } from './file-error.ts';
import { binaryFiles, includePath, readUserFile } from './guest-program.ts';
import { diagnosticsJson, diagnosticsText } from './report-diagnostics.ts';
import { symbolMap } from './symbol-map.ts';
import { UsageError } from './usage-error.ts';

/** A rule for make that is asked for. */
export interface DependencyOptions {
  /** `-M`: the rule is all that is wanted. */
  readonly only: boolean;
  /** Where the rule goes; undefined: stdout. */
  readonly file: string | undefined;
  readonly target: string | undefined;
  /** `-MG`: a file that is missing will be made. */
  readonly missing: boolean;
  readonly phony: boolean;
}

export interface AsmOptions {
  readonly file: string;
  readonly format: 'bin' | 'elf64';
  readonly output: string | undefined;
  readonly debug: boolean;
  readonly listing: string | undefined;
  readonly map: string | undefined;
  readonly preprocessOnly: boolean;
  readonly dependencies: DependencyOptions | undefined;
  readonly includes: readonly string[];
  readonly defines: Readonly<Record<string, string>>;
  readonly undefines: readonly string[];
  readonly preIncludes: readonly string[];
  readonly warnings: WarningSettings;
  readonly maxErrors: number;
  /** Diagnostics as JSON on stdout. */
  readonly json: boolean;
  /** Folder of the guest library's includes. */
  readonly library: string;
}

/** Where the words of a run of the assembler go. */
export interface AsmOutput {
  message(text: string): void;
  /** To stdout, as it is. */
  print(content: string | Uint8Array): void;
}

/** Assemble and write; returns the exit status. */
export function asm(options: AsmOptions, output: AsmOutput): number {
  const source = { name: options.file, text: new TextDecoder().decode(readUserFile(options.file)) };
  const files = new Dependencies();
  files.add(options.file);
  const listing = options.listing === undefined ? undefined : new Listing();
  const assembling = assemblerOptions(options, files, listing);
  const report = (diagnostics: readonly Diagnostic[], failed: boolean): number => {
    if (options.json) output.print(`${diagnosticsJson(diagnostics)}\n`);
    else if (diagnostics.length > 0) output.message(diagnosticsText(diagnostics));
    return failed ? EXIT.ASSEMBLY : EXIT.OK;
  };

  if (options.preprocessOnly || options.dependencies?.only === true) {
    const result = preprocess(source, assembling);
    if ('diagnostics' in result) return report(result.diagnostics, true);
    if (options.dependencies?.only === true) writeRule(options, options.dependencies, files, output);
    else write(options.output, result.text, output);
    return report(result.warnings, false);
  }

  const result = assemble(source, assembling);
  if ('diagnostics' in result) return report(result.diagnostics, true);
  const { object, warnings } = result;
  const image = options.format === 'bin' ? toFlat(object) : { bytes: writeObject(object, { debug: options.debug }) };
  if ('diagnostics' in image) return report([...warnings, ...image.diagnostics], true);
  write(outputName(options), image.bytes, output);
  if (listing !== undefined) write(options.listing, listing.text(warnings), output);
  if (options.map !== undefined) write(options.map, symbolMap(object, options.format), output);
  if (options.dependencies !== undefined) writeRule(options, options.dependencies, files, output);
  return report(warnings, false);
}

function assemblerOptions(options: AsmOptions, files: Dependencies, listing: Listing | undefined): AssembleOptions {
  const { includes, library, defines, undefines, preIncludes, format, warnings, maxErrors, debug } = options;
  const missing = options.dependencies?.only === true && options.dependencies.missing;
  const findText = includePath(includes, library);
  const findBytes = binaryFiles(includes);
  return {
    includePath: (name, from) => {
      const found = findText(name, from);
      if (found !== undefined || missing) files.add(found?.name ?? name);
      return found ?? (missing ? { name, text: '' } : undefined);
    },
    environment: (name) => process.env[name],
    binaryPath: (name, from) => {
      const found = findBytes(name, from);
      if (found !== undefined || missing) files.add(found?.name ?? name);
      return found?.bytes ?? (missing ? new Uint8Array(0) : undefined);
    },
    defines,
    undefines,
    preIncludes,
    format,
    warnings,
    maxErrors,
    lineTable: debug,
    ...(listing === undefined ? {} : { listing }),
  };
}

function writeRule(options: AsmOptions, rule: DependencyOptions, files: Dependencies, output: AsmOutput): void {
  write(rule.file, files.rule(rule.target ?? outputName(options), rule.phony), output);
}

/** To a file, or to stdout where there is none. */
function write(target: string | undefined, content: string | Uint8Array, output: AsmOutput): void {
  if (target === undefined) {
    output.print(content);
    return;
  }
  try {
    writeFileSync(target, content);
  } catch (error) {
    throw new UsageError(`gvm: ${target}: ${fileError(error)}`);
  }
}

/** As NASM names its output: the source without its ending, plus `.o` for an object. */
function outputName({ output, file, format }: AsmOptions): string {
  if (output !== undefined) return output;
  const base = file.replace(/\.[^./]*$/, '');
  const name = format === 'elf64' ? `${base}.o` : base;
  return name === file ? `${file}.bin` : name;
}
