/**
 * The decoder against iced-x86: every opcode of the four legacy maps after twelve sets of prefixes. Both must call the same bytes
 * instructions, of the same length and name, apart from instructions that the table leaves out.
 */

import { Code, Decoder, DecoderOptions, Mnemonic } from 'iced-x86';
import { expect, test } from 'vitest';
import { decode } from '../../../lang/isa/decode.ts';
import { format } from '../../../lang/isa/format.ts';
import { mnemonics } from '../../../lang/isa/table.ts';

const PREFIXES = [
  [],
  [0x66],
  [0xf3],
  [0xf2],
  [0x48],
  [0x66, 0x41],
  [0x67],
  [0x4c],
  [0xf0],
  [0x44],
  [0xf3, 0x48],
  [0x2e, 0x66, 0xf3, 0x65],
];
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** iced's names where ours differ: the other spelling, or what the operand size tells in ours. */
const NAMES: Record<string, string> = {
  je: 'jz',
  jne: 'jnz',
  sete: 'setz',
  setne: 'setnz',
  cmove: 'cmovz',
  cmovne: 'cmovnz',
  sal: 'shl',
  reservednop: 'nop',
  prefetchit0: 'nop',
  prefetchit1: 'nop',
  sysretq: 'sysret',
  sysexitq: 'sysexit',
  // Shadow stacks are off in the modeled CPU, where these are NOPs (SDM vol. 2, RDSSP).
  rdsspd: 'nop',
  rdsspq: 'nop',
};

/** The same name for operand sizes that we put into the mnemonic. */
const UNSIZED: Record<string, string> = { popfw: 'popf', pushfw: 'pushf', iretw: 'iret', retfw: 'retf', retfq: 'retf' };

/** 16 bytes from a small congruential generator, so that failures repeat. */
function filler(seed: number): number[] {
  let state = seed;
  return Array.from({ length: 16 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) & 0xff;
  });
}

function compare(bytes: Uint8Array, known: ReadonlySet<string>): string | undefined {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const theirs = decoder.decode();
  const { code, mnemonic, length } = theirs;
  theirs.free();
  decoder.free();
  const lower = Mnemonic[mnemonic]!.toLowerCase();
  const name = NAMES[lower] ?? lower;
  const ours = decode(bytes, 0, bytes.length, 'long');
  if ('failure' in ours) {
    if (code === Code.INVALID || !known.has(name)) return undefined;
    // movsd and cmpsd are also SSE instructions.
    return ours.failure === 'unsupported' && /^(movsd|cmpsd)$/.test(name)
      ? undefined
      : `${ours.failure}, iced: ${name}`;
  }
  if (code === Code.INVALID) return `${format(ours)}, iced: invalid`;
  if (ours.length !== length) return `${format(ours)} has ${ours.length} bytes, iced: ${length}`;
  return ours.mnemonic === name || UNSIZED[ours.mnemonic] === name ? undefined : `${format(ours)}, iced: ${name}`;
}

test('the decoder and iced-x86 agree on every opcode', () => {
  const known = new Set(mnemonics());
  const wrong: string[] = [];
  let seed = 1;
  for (const map of MAPS) {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (const prefixes of PREFIXES) {
        for (let modrm = 0; modrm < 256; modrm += 5) {
          const bytes = Uint8Array.from([...prefixes, ...map, opcode, modrm, ...filler(seed++)]);
          const difference = compare(bytes, known);
          if (difference) wrong.push(`${Buffer.from(bytes).toString('hex')}: ${difference}`);
        }
      }
    }
  }
  expect(wrong).toEqual([]);
});
