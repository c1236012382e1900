/**
 * The encoder against NASM 2.16: every line that `generate.ts` makes from the table has NASM's bytes, or both refuse it. Where nasm is
 * not installed, `vectors/nasm.txt` stands in for it with a part of the lines; GVM_VECTORS=write rewrites that file from nasm.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encode } from '../../../lang/isa/encode.ts';
import type { SourceInstruction } from '../../../lang/isa/instruction.ts';
import { generate } from './generate.ts';
import { assembleLines, hasNasm } from './nasm.ts';
import { nasmText } from './nasm-text.ts';

const VECTORS = new URL('./vectors/nasm.txt', import.meta.url);
const lines = [...generate(nasmText)];

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Bytes as the encoder gives them, with nasm's in the fields that wait for a fixup; `refused` where it refuses. */
function encoded(source: SourceInstruction, expected: string): string {
  const result = encode(source);
  if (!('bytes' in result)) return 'refused';
  const bytes = Uint8Array.from(result.bytes);
  const theirs = Buffer.from(expected, 'hex');
  for (const { offset, bytes: count } of result.fixups) {
    expect(bytes.subarray(offset, offset + count).every((each) => each === 0)).toBe(true);
    bytes.set(theirs.subarray(offset, offset + count), offset);
  }
  return hex(bytes);
}

describe('encode makes the bytes nasm makes', () => {
  test.skipIf(!hasNasm)('every generated line (needs nasm)', () => {
    expect(lines.length).toBeGreaterThan(30_000);
    const answers = assembleLines(lines.map(([text]) => text)).map(({ bytes }) => (bytes ? hex(bytes) : 'refused'));
    expect(answers.filter((each) => each !== 'refused').length).toBeGreaterThan(20_000);
    const wrong = lines.flatMap(([text, source], i) => {
      const ours = encoded(source, answers[i]!);
      return ours === answers[i] ? [] : [`${text}: nasm ${answers[i]}, gvm ${ours}`];
    });
    if (process.env.GVM_VECTORS === 'write') {
      const kept = lines.flatMap(([text], i) => (i % 16 === 0 ? [`${text} = ${answers[i]}`] : []));
      writeFileSync(VECTORS, `${kept.join('\n')}\n`);
    }
    expect(wrong).toEqual([]);
  });

  test.skipIf(!hasNasm)('and warns of values that lose bits where nasm does (needs nasm)', () => {
    const answers = assembleLines(lines.map(([text]) => text));
    const wrong = lines.flatMap(([text, source], i) => {
      const result = encode(source);
      if (!('bytes' in result)) return [];
      const ours = (result.warnings ?? []).filter((each) => each !== 'instruction is not lockable').join();
      // NASM says some things twice, in other words where a field is sign-extended.
      const theirs = [...new Set(answers[i]!.warnings)]
        .join()
        .replace('immediate exceeds bounds,dword data', 'immediate');
      return ours === theirs ? [] : [`${text}: nasm '${theirs}', gvm '${ours}'`];
    });
    expect(wrong).toEqual([]);
  });

  test('the committed vectors', () => {
    const sources = new Map(lines);
    const vectors = readFileSync(VECTORS, 'utf8').trimEnd().split('\n');
    expect(vectors.length).toBeGreaterThan(1500);
    let found = 0;
    for (const vector of vectors) {
      const [text = '', expected = ''] = vector.split(' = ');
      const source = sources.get(text);
      if (!source) continue;
      found++;
      expect(`${text} = ${encoded(source, expected)}`).toBe(vector);
    }
    // A vector whose line the generator no longer makes is stale: rewrite the file.
    expect(found).toBe(vectors.length);
  });
});
