/**
 * The language's corpus: files of cases `=== title`, source, and a last line `--- ` with what NASM 2.16.01 makes of it: hexadecimal bytes,
 * `refused`, or `refused here: BYTES`, where NASM takes what gvm will not. `CORPUS=update npx vitest run test/lang/language` writes these lines from
 * nasm.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AssembleOptions, assemble, preprocess } from '../../../lang/assembler/assemble.ts';
import { formatDiagnostic } from '../../../lang/assembler/diagnostics.ts';
import { toFlat } from '../../../lang/object/flat.ts';

export interface Case {
  readonly title: string;
  readonly source: string;
  /** What the corpus says; empty in a case that is new. */
  readonly expected: string;
}

/** Files that the cases include, and what they find in the environment. */
const FILES: Readonly<Record<string, string>> = {
  'a.inc': '%define X 5\n%include "b.inc"\n',
  'b.inc': 'db X\n',
  'data.bin': '0123456789',
};
const ENVIRONMENT: Readonly<Record<string, string>> = { GVM_TEST: 'tested' };

export const corpusFiles: readonly string[] = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt'));

export const corpusPath = (name: string): string => join(import.meta.dirname, name);

export function casesOf(name: string): Case[] {
  const blocks = readFileSync(corpusPath(name), 'utf8').split(/^=== /m).slice(1);
  return blocks.map((block) => {
    const [, title, body] = /^(.*)\n([\s\S]*)$/.exec(block)!;
    const [source, expected = ''] = body!.split(/^---(?= |$)/m);
    return { title: title!, source: source!, expected: expected.trim() };
  });
}

const OPTIONS: AssembleOptions = {
  includePath: (name) => (FILES[name] === undefined ? undefined : { name, text: FILES[name] }),
  binaryPath: (name) => (FILES[name] === undefined ? undefined : new TextEncoder().encode(FILES[name])),
  environment: (name) => ENVIRONMENT[name],
  format: 'bin',
};

/** The source as `-E` gives it; undefined where it depends on where labels are, which only assembling tells. */
export function preprocessed(source: string): string | undefined {
  const result = preprocess({ name: 'main.asm', text: source }, OPTIONS);
  return 'text' in result ? result.text : undefined;
}

/** Flat bytes as hexadecimal digits, or `refused`, with what was said. */
export function assembled(source: string): { result: string; said: readonly string[] } {
  const result = assemble({ name: 'main.asm', text: source }, OPTIONS);
  const object = 'object' in result ? toFlat(result.object) : result;
  const said = 'diagnostics' in object ? object.diagnostics : 'warnings' in result ? result.warnings : [];
  return {
    result: 'bytes' in object ? Buffer.from(object.bytes).toString('hex') : 'refused',
    said: said.map(formatDiagnostic),
  };
}

/** The same by nasm. */
export function byNasm(source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-corpus-'));
  try {
    for (const [name, contents] of Object.entries({ ...FILES, 'main.asm': source })) {
      writeFileSync(join(folder, name), contents);
    }
    const args = ['-f', 'bin', '--before', 'bits 64', '-o', 'main.out', 'main.asm'];
    const { status } = spawnSync('nasm', args, { cwd: folder, env: { ...process.env, ...ENVIRONMENT } });
    return status === 0 ? readFileSync(join(folder, 'main.out')).toString('hex') : 'refused';
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function writeCases(name: string, cases: readonly Case[]): void {
  const text = cases.map((each) => `=== ${each.title}\n${each.source}--- ${each.expected}`.trimEnd()).join('\n');
  writeFileSync(corpusPath(name), `${text}\n`);
}
