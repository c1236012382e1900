/** NASM as an oracle: many lines in one run, the bytes of each line or the error it has. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether nasm can be run here. */
export const hasNasm = spawnSync('nasm', ['-v']).status === 0;

/** Value of the label `here`: so high that no displacement or immediate is mistaken for it, yet a signed 32-bit number. */
export const HERE = 0x71727374;

/** What nasm makes of one line. */
export interface Answer {
  /** Undefined where nasm refuses the line. */
  readonly bytes: Uint8Array | undefined;
  readonly error: string | undefined;
  /** Values that lose bits: `byte data exceeds bounds`. */
  readonly warnings: readonly string[];
}

/** What nasm makes of each line. The label `here` is defined, at a distance. */
export function assembleLines(lines: readonly string[]): readonly Answer[] {
  const directory = mkdtempSync(join(tmpdir(), 'gvm-nasm-'));
  try {
    const source = join(directory, 'lines.asm');
    const run = (skip: ReadonlyMap<number, string>, output: string) => {
      // A section of its own gives `here` its value without so many bytes in the file.
      const text = lines.map((line, i) => (skip.has(i) ? '' : line)).join('\n');
      writeFileSync(source, `bits 64\n${text}\nsection far vstart=${HERE} nobits\nhere: resb 1\n`);
      return spawnSync(
        'nasm',
        ['-f', 'bin', '-w-all', '-w+number-overflow', '-o', output, '-l', `${output}.list`, source],
        {
          encoding: 'utf8',
          maxBuffer: 1 << 28,
        },
      );
    };
    const binary = join(directory, 'lines.bin');
    const errors = new Map<number, string>();
    const warnings = new Map<number, string[]>();
    for (let attempt = 0; ; attempt++) {
      const result = run(errors, binary);
      if (result.status === 0) {
        for (const [, line, text] of result.stderr.matchAll(/:(\d+): warning: (.*) \[-w/g)) {
          const at = Number(line) - 2;
          warnings.set(at, [...(warnings.get(at) ?? []), text!]);
        }
        break;
      }
      if (attempt === 4) throw new Error(`nasm keeps failing: ${result.stderr.slice(0, 500)}`);
      for (const [, line, message] of result.stderr.matchAll(/:(\d+): error: (.*)/g))
        errors.set(Number(line) - 2, message!);
    }
    const bytes = readFileSync(binary);
    const starts = listingOffsets(readFileSync(`${binary}.list`, 'utf8'), lines.length);
    return lines.map((_, i) => ({
      bytes: errors.has(i) ? undefined : slice(bytes, starts, i),
      error: errors.get(i),
      warnings: warnings.get(i) ?? [],
    }));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Offset and length in the image of each line, from nasm's listing. */
function listingOffsets(listing: string, count: number): readonly { at: number; length: number }[] {
  const found: { at: number; length: number }[] = Array.from({ length: count }, () => ({ at: 0, length: 0 }));
  for (const each of listing.split('\n')) {
    const fields = /^ *(\d+) ([0-9A-F]{8}) ([0-9A-F[\]()]+)-?/.exec(each);
    const line = fields && found[Number(fields[1]) - 2];
    if (!line) continue;
    if (line.length === 0) line.at = Number.parseInt(fields[2]!, 16);
    line.length += fields[3]!.replace(/[[\]()]/g, '').length / 2;
  }
  return found;
}

function slice(bytes: Uint8Array, starts: readonly { at: number; length: number }[], i: number): Uint8Array {
  const { at, length } = starts[i]!;
  return bytes.subarray(at, at + length);
}
