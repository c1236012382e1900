/** An instruction known again by its first bytes is planned as the decoder would have it planned. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode } from '../../lang/isa/decode.ts';
import { FormCompiler } from '../../src/hardware/vcpu/interpreter/form.ts';
import { MetInstructions } from '../../src/hardware/vcpu/interpreter/met-instructions.ts';
import { meanings } from '../../src/hardware/vcpu/meanings.ts';

const PAGE = 4096;
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x2e];

const byte = fc.integer({ min: 0, max: 255 });
const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length });
/** What says what an instruction does, more or less; whatever follows is a number. */
const beginning = fc
  .tuple(
    fc.oneof(fc.constant<number[]>([]), fc.array(fc.constantFrom(...PREFIXES), { maxLength: 2 })),
    fc.option(fc.integer({ min: 0x40, max: 0x4f }), { nil: undefined }),
    fc.oneof(
      bytes(3),
      bytes(2).map(([opcode, modrm]) => [0x0f, opcode!, modrm!, 0x24]),
    ),
  )
  .map(([prefixes, rex, rest]) => [...prefixes, ...(rex === undefined ? [] : [rex]), ...rest]);
const numbers = fc.oneof(
  bytes(9),
  fc.constantFrom([0x80, 0, 0, 0, 0, 0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
);
const offset = fc.oneof(fc.integer({ min: 0, max: PAGE - 1 }), fc.integer({ min: PAGE - 12, max: PAGE - 1 }));

test('what is recalled is what is decoded and planned', () => {
  const forms = new FormCompiler(meanings, {});
  const met = new MetInstructions();
  const memory = new Uint8Array(2 * PAGE);
  let recalled = 0;
  const check = (at: number, instruction: readonly number[]): void => {
    memory.fill(0);
    memory.set(instruction, at);
    const known = met.recall(memory, at, PAGE, at);
    const decoded = decode(memory, at, PAGE, 'long');
    if ('failure' in decoded) {
      expect(known).toBeUndefined();
      return;
    }
    const plan = forms.plan(decoded, at);
    if (plan === undefined) {
      expect(known).toBeUndefined();
      return;
    }
    if (known !== undefined) {
      recalled++;
      expect(known).toEqual({ plan, meaning: decoded.row.meaning, length: decoded.length });
    }
    met.keep(decoded, memory, at, at, plan);
  };
  fc.assert(
    fc.property(beginning, numbers, numbers, offset, offset, (begin, first, second, here, there) => {
      check(here, [...begin, ...first]);
      check(there, [...begin, ...second]);
      check(here, [...begin, ...second]);
    }),
    { seed: 7, numRuns: 60_000 },
  );
  expect(recalled).toBeGreaterThan(10_000);
});
