/** `incbin "file", skip, length` (NASM manual §3.2.3). */

import type { Body } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import { stringBytes } from '../syntax/literals.ts';
import type { Origin } from '../syntax/source.ts';
import type { Assembly, Work } from './assembly.ts';
import { BytesWork } from './data-work.ts';

/** Finds a file for `incbin`: `name` as written, `from` the file that asks. */
export type BinaryPath = (name: string, from: string) => Uint8Array | undefined;

/** The file's bytes, or the part of them that is asked for. */
export function incbin(
  body: Extract<Body, { kind: 'incbin' }>,
  origin: Origin,
  assembly: Assembly,
  binaryPath: BinaryPath,
): Work | undefined {
  const name = new TextDecoder().decode(stringBytes(body.file.image));
  const bytes = binaryPath(name, origin.file.name);
  if (bytes === undefined) {
    assembly.diagnostics.error(spanOf(body.file, body.file, origin), `cannot find the file \`${name}\``);
    return undefined;
  }
  const [skip, length] = body.arguments.map((each) => assembly.number(each, 'an argument of `incbin`') ?? 0n);
  const negative = body.arguments.find((_, i) => ([skip, length][i] ?? 0n) < 0n);
  if (negative !== undefined) assembly.error(negative, 'an offset or a length in a file is not negative');
  const start = Number(skip ?? 0n);
  return new BytesWork(bytes.subarray(start, length === undefined ? undefined : start + Number(length)));
}
