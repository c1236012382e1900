/** Values of one class are one to the encoder: whatever instruction they stand in, only the bytes of their field differ. */

import { describe, expect, test } from 'vitest';
import { encode } from '../../../lang/isa/encode.ts';
import type { SourceInstruction, SourceOperand, ValueField } from '../../../lang/isa/instruction.ts';
import { VALUE_CLASSES, valueClass } from '../../../lang/isa/value-class.ts';
import { generate } from './generate.ts';
import { nasmText } from './nasm-text.ts';

const LEAST = -0x8000_0000;
const MOST = 0x7fff_ffff;

/** The first value of each class, and the one behind the last. */
const starts = [LEAST];
for (let power = 7; power <= 17; power++) {
  for (const centre of [2 ** power, -(2 ** power), 0]) {
    for (let value = centre - 300; value <= centre + 300; value++) starts.push(value);
  }
}
const values = [...new Set([...starts, MOST])].sort((a, b) => a - b);

/** Some values of each class: its ends, and what lies between. */
const classes: number[][] = Array.from({ length: VALUE_CLASSES }, () => []);
for (const value of values) classes[valueClass(value)!]!.push(value);
const samples = classes.map((members) => {
  return [...new Set([members[0]!, members[Math.floor(members.length / 3)]!, members.at(-1)!])];
});

/** An instruction with another value in one of its operands. */
function withValue(source: SourceInstruction, index: number, value: number): SourceInstruction {
  const operands = source.operands.map((operand, i): SourceOperand => {
    if (i !== index || operand.kind === 'register') return operand;
    return operand.kind === 'memory'
      ? { ...operand, displacement: BigInt(value) }
      : { ...operand, value: BigInt(value) };
  });
  return { ...source, operands };
}

/** The bytes without those of the operand's field, and where that lies; undefined where there is something to say. */
function apartFrom(source: SourceInstruction, operand: number): string | undefined {
  const fields: ValueField[] = [];
  const result = encode(source, fields);
  if ('reason' in result || result.warnings !== undefined) return undefined;
  const field = fields.find((each) => each.operand === operand);
  const bytes = [...result.bytes];
  if (field !== undefined) bytes.splice(field.offset, field.bytes);
  return `${bytes} ${field?.offset} ${field?.bytes} ${JSON.stringify(result.fixups)}`;
}

/** Every form with a value in it, once. */
function forms(): Map<string, { source: SourceInstruction; operand: number }> {
  const found = new Map<string, { source: SourceInstruction; operand: number }>();
  for (const [text, source] of generate(nasmText)) {
    source.operands.forEach((each, operand) => {
      const value = each.kind === 'memory' ? each.displacement : each.kind === 'immediate' ? each.value : undefined;
      if (value === undefined) return;
      const form = text.replaceAll(/-?\b(?:0x[0-9a-f]+|\d+)\b/g, 'N');
      found.set(`${operand} ${form}`, { source, operand });
    });
  }
  return found;
}

describe('classes of values', () => {
  test('0 and 1 are classes of their own, and what does not fit 32 bits is in none', () => {
    expect(values.filter((value) => valueClass(value) === valueClass(0))).toEqual([0]);
    expect(values.filter((value) => valueClass(value) === valueClass(1))).toEqual([1]);
    for (const value of [LEAST - 1, MOST + 1, Number.NaN]) expect(valueClass(value)).toBeUndefined();
    expect(samples.every((each) => each.length > 0)).toBe(true);
  });

  test('in every form, the values of a class differ in their field alone', () => {
    const all = forms();
    expect(all.size).toBeGreaterThan(3000);
    const wrong: string[] = [];
    for (const [form, { source, operand }] of all) {
      for (const members of samples) {
        const [first, ...others] = members.map((value) => apartFrom(withValue(source, operand, value), operand));
        if (others.some((each) => each !== first)) wrong.push(`${form}: ${members}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('and the field holds the value', () => {
    for (const value of [-129, 5, 300]) {
      const fields: ValueField[] = [];
      const source = [...generate(nasmText)].find(([text]) => /^add rcx, -?\d+$/.test(text))![1];
      const result = encode(withValue(source, 1, value), fields);
      const [{ offset, bytes }] = fields as [ValueField];
      expect(Buffer.from((result as { bytes: Uint8Array }).bytes).readIntLE(offset, bytes)).toBe(value);
    }
  });
});
