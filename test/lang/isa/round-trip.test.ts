/** Bytes that the encoder makes decode to the same length, and their disassembly is taken by nasm back to the same bytes. */

import { describe, expect, test } from 'vitest';
import { decode } from '../../../lang/isa/decode.ts';
import { encode } from '../../../lang/isa/encode.ts';
import { format } from '../../../lang/isa/format.ts';
import { generate } from './generate.ts';
import { assembleLines, hasNasm } from './nasm.ts';
import { nasmText } from './nasm-text.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Every different encoding among the generated lines: bytes by their hexadecimal text. */
const encodings = new Map<string, { bytes: Uint8Array; text: string }>();
for (const [text, source] of generate(nasmText)) {
  const result = encode(source);
  if ('bytes' in result) encodings.set(hex(result.bytes), { bytes: result.bytes, text });
}

/** What NASM assembles and a CPU does not run, or a piece of an instruction. */
const NO_INSTRUCTION =
  /^(mov cs,|ud[01]$|ud2b$|mov (cr(1|5|6|7|9|1\d)|dr(8|9|1\d)),|mov \w+, (cr(1|5|6|7|9|1\d)|dr(8|9|1\d))$)/;

/** Encodings with a prefix that says nothing to the CPU: their disassembly is the instruction without it. */
const REDUNDANT = /^(gs (ins|stos|scas)|retn?w|mov [d-gs]s, qword)/;

describe('decode and format undo encode', () => {
  test('every encoding decodes, whole', () => {
    const wrong: string[] = [];
    for (const { bytes, text } of encodings.values()) {
      const instruction = decode(bytes, 0, bytes.length, 'long');
      if (NO_INSTRUCTION.test(text)) {
        if (!('failure' in instruction)) wrong.push(`${text} should not decode`);
      } else if ('failure' in instruction) wrong.push(`${text}: ${hex(bytes)} ${instruction.failure}`);
      else if (instruction.length !== bytes.length) wrong.push(`${text}: ${hex(bytes)} length ${instruction.length}`);
    }
    expect(wrong).toEqual([]);
  });

  test('cut anywhere, it is truncated', () => {
    for (const { bytes, text } of encodings.values()) {
      if (NO_INSTRUCTION.test(text)) continue;
      for (let limit = 0; limit < bytes.length; limit++) {
        const cut = decode(bytes, 0, limit, 'long');
        if (!('failure' in cut) || cut.failure !== 'truncated')
          expect(`${text}, ${limit} bytes: ${JSON.stringify(cut, (_, v) => `${v}`)}`).toBe('truncated');
      }
    }
  });

  test.skipIf(!hasNasm)('disassembly assembles to the same bytes (needs nasm)', () => {
    const lines: { text: string; expected: string }[] = [];
    for (const [expected, { bytes, text }] of encodings) {
      const instruction = decode(bytes, 0, bytes.length, 'long');
      if (!('failure' in instruction) && !REDUNDANT.test(text)) lines.push({ text: format(instruction), expected });
    }
    expect(lines.length).toBeGreaterThan(15_000);
    const answers = assembleLines(lines.map(({ text }) => text));
    const wrong = lines.flatMap(({ text, expected }, i) => {
      const { bytes, error } = answers[i]!;
      return bytes && hex(bytes) === expected ? [] : [`${text}: ${bytes ? hex(bytes) : error}, not ${expected}`];
    });
    expect(wrong).toEqual([]);
  });
});
