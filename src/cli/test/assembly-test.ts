/** Tests of the assembler in a source: the bytes of lines, and the errors of lines. */

import { assemble } from '../../../lang/assembler/assemble.ts';
import type { Diagnostic } from '../../../lang/assembler/diagnostics.ts';
import type { IncludePath } from '../../../lang/assembler/preprocessor/preprocessor-options.ts';
import { outermost } from '../../../lang/syntax/source.ts';
import type { Expectations, ExpectedBytes, ExpectedError } from './expectations.ts';

/** Assemble `text` and compare; returns what does not hold, each a line `NAME:LINE: …`. */
export function checkAssembly(
  name: string,
  text: string,
  include: IncludePath,
  expected: Pick<Expectations, 'bytes' | 'errors'>,
): string[] {
  const format = /^\s*org\b/im.test(text) ? 'bin' : 'elf64';
  const assembled = assemble({ name, text }, { includePath: include, format });
  if ('diagnostics' in assembled) return compareErrors(name, assembled.diagnostics, expected);
  const missing = expected.errors.map(({ line, text: words }) => `${name}:${line}: no error here; expected: ${words}`);
  const { object, lines } = assembled;
  const bytesOf = (line: number): number[] =>
    lines.rows
      .filter((each) => each.file === name && each.line === line)
      .flatMap(({ section, offset, end }) => [...object.sections[section]!.data.subarray(offset, end)]);
  return [...missing, ...expected.bytes.flatMap((each) => compareBytes(name, each, bytesOf(each.line)))];
}

function compareBytes(name: string, { line, bytes }: ExpectedBytes, got: readonly number[]): string[] {
  const text = (all: readonly number[]) =>
    all.length === 0 ? 'nothing' : all.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return text(bytes) === text(got) ? [] : [`${name}:${line}: expected ${text(bytes)}, assembled ${text(got)}`];
}

function compareErrors(
  name: string,
  diagnostics: readonly Diagnostic[],
  { errors, bytes }: Pick<Expectations, 'bytes' | 'errors'>,
): string[] {
  const problems: string[] = [];
  const left: ExpectedError[] = [...errors];
  for (const diagnostic of diagnostics) {
    if (diagnostic.severity !== 'error') continue;
    const span = diagnostic.span === undefined ? undefined : outermost(diagnostic.span);
    const line = span === undefined ? 0 : span.origin.file.line(span.start);
    const at = left.findIndex((each) => each.line === line && diagnostic.message.includes(each.text));
    if (at >= 0) left.splice(at, 1);
    else problems.push(`${name}:${line}: unexpected error: ${diagnostic.message}`);
  }
  problems.push(...left.map(({ line, text }) => `${name}:${line}: no such error; expected: ${text}`));
  if (errors.length === 0 && bytes.length > 0) problems.push(`${name}: it does not assemble, so no line has its bytes`);
  return problems;
}
