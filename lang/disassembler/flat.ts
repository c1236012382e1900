/** Flat bytes → NASM source that assembles to them again (`-f bin`). */

import { dataLine, decodeLines, lineOf, targetOffset } from './instruction-line.ts';
import { assembledBytes, sameBytes } from './reassemble.ts';
import { SourceText } from './source-text.ts';

/** The source: `org`, a label for each branch target that is the start of a line, and a comment with address and bytes. */
export function disassembleFlat(bytes: Uint8Array, origin: bigint): string {
  const lines = decodeLines(bytes, 0, bytes.length);
  const texts = new Set(lines.flatMap(({ instruction }) => (instruction === undefined ? [] : [lineOf(instruction)])));
  const assembled = assembledBytes(texts);
  const starts = new Set(lines.map(({ offset }) => offset));
  const label = (offset: number) => `L_${(origin + BigInt(offset)).toString(16)}`;
  const targets = new Set<number>();
  for (const line of lines) {
    const target = targetOffset(line);
    if (target !== undefined && starts.has(target)) targets.add(target);
  }

  const out = new SourceText();
  out.line('bits 64');
  if (origin !== 0n) out.line(`org 0x${origin.toString(16)}`);
  for (const line of lines) {
    const { offset, length, instruction } = line;
    const own = bytes.subarray(offset, offset + length);
    if (targets.has(offset)) out.label(label(offset));
    const target = targetOffset(line);
    const names = target !== undefined && targets.has(target) ? { target: label(target) } : {};
    const text = instruction === undefined ? undefined : lineOf(instruction, names);
    const isSame = instruction !== undefined && sameBytes(assembled.get(lineOf(instruction)) ?? EMPTY, own);
    if (text !== undefined && isSame) out.statement(text, origin + BigInt(offset), own);
    else out.data(dataLine(own), origin + BigInt(offset), text);
  }
  return out.text();
}

const EMPTY = new Uint8Array(0);
