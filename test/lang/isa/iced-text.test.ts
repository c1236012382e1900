/**
 * Disassembly against iced-x86: every encoding of the generated lines, as text. iced writes NASM's syntax with other habits, which are
 * listed here; everything else must be the same.
 */

import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { expect, test } from 'vitest';
import { decode } from '../../../lang/isa/decode.ts';
import { encode } from '../../../lang/isa/encode.ts';
import { format } from '../../../lang/isa/format.ts';
import type { Instruction } from '../../../lang/isa/instruction.ts';
import { generate } from './generate.ts';
import { nasmText } from './nasm-text.ts';

/** Other spellings of the same mnemonic. */
const SPELLINGS: Readonly<Record<string, string>> = {
  je: 'jz',
  jne: 'jnz',
  sete: 'setz',
  setne: 'setnz',
  cmove: 'cmovz',
  cmovne: 'cmovnz',
  pushf: 'pushfq',
  popf: 'popfq',
  iret: 'iretd',
};

/** Words that say what the operands say already, or that only an assembler needs. */
const SIZE_WORDS = /\b(byte|word|dword|qword|oword|fword|tword|strict|near|short|abs|nosplit|rel|a32|o16|o32|o64) /g;

/** A text with numbers in decimal, immediates as unsigned numbers of the operand size, and without words of size. */
function plain(text: string, { width }: Instruction): string {
  const words = text
    .toLowerCase()
    .replace(SIZE_WORDS, '')
    .replace(/0x[0-9a-f]+|\b\d+\b/g, (number) => `${BigInt(number)}`)
    .replace(/\[\d+\]/g, (place) => `[${BigInt.asIntN(64, BigInt(place.slice(1, -1)))}]`)
    .replace(/\*1\b/g, '')
    // In 64-bit mode these segments have no base, and iced leaves them out.
    .replace(/\[[cdes]s:/g, '[')
    .trim();
  const [, prefix = '', name = '', rest = ''] = /^((?:(?:lock|rep|repe|repne|[c-gs]s) )*)(\S+) ?(.*)$/.exec(words)!;
  const operands = rest
    .split(', ')
    .map((each) => (/^-?\d+$/.test(each) ? `${BigInt.asUintN(width, BigInt(each))}` : each));
  return `${prefix}${habits(SPELLINGS[name] ?? name, operands)}`;
}

const isSegment = (operand: string | undefined) => /^[c-gs]s$/.test(operand ?? '');

/** Where the two write the same instruction with other operands. */
function habits(name: string, operands: readonly string[]): string {
  const [first = '', second, third] = operands;
  // iced says that the source of these is a 32-bit or 64-bit register, of which 16 bits are read.
  const family = (operand = '') => operand.replace(/^[er](?=[a-ds][xipl]$|[bs]p$)/, '').replace(/^(r\d+)[wd]$/, '$1');
  if (name === 'lar' || name === 'lsl' || (name === 'mov' && isSegment(first)))
    return `${name} ${first}, ${family(second)}`;
  if (name === 'xchg' && first === second && /^([er])?ax$/.test(first)) return 'nop ';
  if (name === 'xchg') return `${name} ${[...operands].sort().join(', ')}`;
  if (name === 'imul' && first === second && third !== undefined) return `${name} ${first}, ${third}`;
  if (name.startsWith('loop')) return `${name} ${first}`;
  // A segment has no meaning for an address that is only computed.
  if (name === 'lea') return `${name} ${first}, ${second?.replace(/\[[c-gs]s:/, '[')}`;
  return `${name} ${operands.join(', ')}`;
}

/** iced 1.21 writes 0 for a number whose low 32 bits are zero. */
const ICED_PRINTS_ZERO = /0x[1-9a-f][0-9a-f]*00000000$/;

test('every encoding is disassembled to the text that iced has for it', () => {
  const formatter = new Formatter(FormatterSyntax.Nasm);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.spaceAfterOperandSeparator = true;
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const source of generate(nasmText).values()) {
    const encoded = encode(source);
    if (!('bytes' in encoded)) continue;
    const { bytes } = encoded;
    const hex = Buffer.from(bytes).toString('hex');
    const ours = decode(bytes, 0, bytes.length, 'long');
    if (seen.has(hex) || 'failure' in ours || ICED_PRINTS_ZERO.test(format(ours))) continue;
    seen.add(hex);
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    const theirs = decoder.decode();
    const [mine, other] = [format(ours, 0n), formatter.format(theirs)].map((text) => plain(text, ours));
    theirs.free();
    decoder.free();
    if (mine !== other) wrong.push(`${hex}: ${mine}, iced: ${other}`);
  }
  formatter.free();
  expect(wrong).toEqual([]);
  expect(seen.size).toBeGreaterThan(15_000);
});
