/** `incbin "file", skip, length` (NASM manual §3.2.3). */

import type { Body } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import { stringBytes } from '../syntax/literals.ts';
import type { Origin } from '../syntax/source.ts';
import type { Assembly, Work } from './assembly.ts';
import { BytesWork } from './data-work.ts';
import type { IncludePath } from './preprocessor/preprocessor.ts';

/** The file's bytes; the include path gives them as text with one character a byte. */
export function incbin(
  body: Extract<Body, { kind: 'incbin' }>,
  origin: Origin,
  assembly: Assembly,
  includePath: IncludePath,
): Work | undefined {
  const name = new TextDecoder().decode(stringBytes(body.file.image));
  const file = includePath(name, origin.file.name);
  if (file === undefined) {
    assembly.diagnostics.error(spanOf(body.file, body.file, origin), `cannot find the file \`${name}\``);
    return undefined;
  }
  const [skip, length] = body.arguments.map((each) => assembly.number(each, 'an argument of `incbin`') ?? 0n);
  const bytes = Uint8Array.from(file.text, (character) => character.charCodeAt(0));
  const start = Number(skip ?? 0n);
  return new BytesWork(bytes.subarray(start, length === undefined ? undefined : start + Number(length)));
}
