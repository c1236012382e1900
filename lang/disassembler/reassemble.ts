/** Whether a line of disassembly means the bytes it came from: it is assembled again. */

import { assemble } from '../assembler/assemble.ts';
import { toFlat } from '../object/flat.ts';

/** Bytes that each text assembles to by itself, wherever it stands; a text that does not assemble is missing. */
export function assembledBytes(texts: ReadonlySet<string>): ReadonlyMap<string, Uint8Array> {
  let lines = [...texts];
  for (;;) {
    const text = `default abs\n${lines.join('\n')}\n`;
    const result = assemble(
      { name: 'disassembly', text },
      { includePath: () => undefined, format: 'bin', maxErrors: Number.POSITIVE_INFINITY },
    );
    if ('object' in result) {
      const flat = toFlat(result.object);
      if ('diagnostics' in flat) throw new Error('disassembly without names has no undefined symbols');
      const starts = new Map(result.lines.rows.map(({ line, offset }) => [line, offset]));
      const found = new Map<string, Uint8Array>();
      let end = flat.bytes.length;
      // From the last line on, as each one ends where the next begins.
      for (let i = lines.length - 1; i >= 0; i--) {
        const start = starts.get(i + FIRST_LINE);
        if (start === undefined) continue;
        found.set(lines[i]!, flat.bytes.subarray(start, end));
        end = start;
      }
      return found;
    }
    const wrong = new Set(result.diagnostics.map(({ span }) => span?.origin.file.line(span.start)));
    const kept = lines.filter((_, i) => !wrong.has(i + FIRST_LINE));
    if (kept.length === lines.length) throw new Error(`disassembly cannot be read: ${result.diagnostics[0]?.message}`);
    lines = kept;
  }
}

/** Number of the first text's line. */
const FIRST_LINE = 2;

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
