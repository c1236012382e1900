/** Instructions that gvm leaves out: names and lengths against iced-x86. */

import { Decoder, Mnemonic } from 'iced-x86';
import { describe, expect, test } from 'vitest';
import { decode } from '../../../lang/isa/decode.ts';
import { foreignInstruction } from '../../../lang/isa/foreign.ts';
import { Generator } from '../../oracle/generator.ts';

const CASES = 60_000;
const PREFIXES = [[], [0x66], [0xf3], [0xf2]];

function randomBytes(random: Generator): Uint8Array {
  const byte = () => random.below(256);
  const starts = [
    () => [...random.pick(PREFIXES), ...(random.once(3) ? [0x40 | random.below(16)] : []), 0x0f],
    () => [...random.pick(PREFIXES), 0x0f, random.pick([0x38, 0x3a])],
    () => [0xd8 | random.below(8)],
    () => [0xc5],
    () => [0xc4, 0xe0 | random.pick([1, 2, 3]), byte()],
    () => [
      0x62,
      0xf0 | random.pick([1, 2, 3, 5, 6]),
      0x7c | (random.below(2) << 7) | random.below(4),
      0x08 | (random.below(3) << 5),
    ],
  ];
  return Uint8Array.from([...random.pick(starts)(), ...Array.from({ length: 15 }, byte)].slice(0, 15));
}

const is3dNow = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('hex')
    .match(/^(66|f2|f3)?(4.)?0f0f/) !== null;

describe('instructions that gvm leaves out', () => {
  test('have the names and the lengths that iced-x86 gives them', { timeout: 60_000 }, () => {
    const random = new Generator(2);
    const wrong: string[] = [];
    let compared = 0;
    for (let each = 0; each < CASES; each++) {
      const bytes = randomBytes(random);
      const ours = decode(bytes, 0, bytes.length, 'long');
      if (!('failure' in ours) || ours.failure !== 'unsupported') continue;
      const decoder = new Decoder(64, bytes, 0);
      const theirs = decoder.decode();
      // 3DNow! has its names behind its operands.
      if (!theirs.isInvalid && !is3dNow(bytes)) {
        compared++;
        const name = Mnemonic[theirs.mnemonic]!.toLowerCase();
        const found = foreignInstruction(bytes);
        if (found?.mnemonic !== name || found.length !== theirs.length)
          wrong.push(
            `${Buffer.from(bytes).toString('hex')}: ${found?.mnemonic} ${found?.length}, iced ${name} ${theirs.length}`,
          );
      }
      theirs.free();
      decoder.free();
    }
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(compared).toBeGreaterThan(CASES / 10);
  });

  test('opcodes of no instruction have no name', () => {
    expect(foreignInstruction(Uint8Array.of(0xc5, 0xf8, 0x04, 0xc0))?.mnemonic).toBeUndefined();
    expect(foreignInstruction(Uint8Array.of(0x90))).toBeUndefined();
  });
});
