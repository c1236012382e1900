/** Assemble ∘ disassemble ∘ assemble is the identity: over random bytes, random instructions of the table, and for nasm too. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { disassembleFlat } from '../../../lang/disassembler/flat.ts';
import { encode } from '../../../lang/isa/encode.ts';
import { toFlat } from '../../../lang/object/flat.ts';
import { inFolder } from '../../in-folder.ts';
import { has, object } from '../assembler/tools.ts';
import { generate } from '../isa/generate.ts';
import { nasmText } from '../isa/nasm-text.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function assembled(text: string): string {
  const result = toFlat(object(text, { format: 'bin' }));
  if (!('bytes' in result)) throw new Error('flat output of a disassembly names nothing');
  return hex(result.bytes);
}

const again = (bytes: Uint8Array, origin = 0n) => assembled(disassembleFlat(bytes, origin));

/** Every different encoding of the generated lines. */
const encodings = [
  ...new Map(
    [...generate(nasmText).values()].flatMap((source) => {
      const result = encode(source);
      return 'bytes' in result ? [[hex(result.bytes), result.bytes] as const] : [];
    }),
  ).values(),
];

describe('assembling a disassembly gives the bytes', () => {
  test('of random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.bigInt(0n, 1n << 47n), (bytes, origin) => {
        expect(again(bytes, origin)).toBe(hex(bytes));
      }),
    );
  });

  test('of random instructions of the table', () => {
    const instructions = fc.array(fc.constantFrom(...encodings), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(instructions, (list) => {
        const bytes = Uint8Array.from(list.flatMap((each) => [...each]));
        expect(again(bytes)).toBe(hex(bytes));
      }),
    );
  });

  test('of every instruction of the table at once', () => {
    const bytes = Uint8Array.from(encodings.flatMap((each) => [...each]));
    expect(bytes.length).toBeGreaterThan(80_000);
    expect(again(bytes)).toBe(hex(bytes));
  });

  test.skipIf(!has('nasm'))('with nasm as the assembler (needs nasm)', () => {
    const bytes = Uint8Array.from(encodings.flatMap((each) => [...each]));
    const theirs = inFolder((folder) => {
      writeFileSync(join(folder, 'main.asm'), disassembleFlat(bytes, 0x7c00n));
      const args = ['-f', 'bin', '-w-all', '-o', join(folder, 'main.bin'), join(folder, 'main.asm')];
      expect(spawnSync('nasm', args, { encoding: 'utf8' }).stderr).toBe('');
      return readFileSync(join(folder, 'main.bin'));
    });
    expect(hex(theirs)).toBe(hex(bytes));
  });
});

describe('the source', () => {
  test('has labels for targets, and data for what is no instruction or not the one an assembler makes', () => {
    const bytes = Uint8Array.of(0xeb, 0x02, 0x2e, 0x90, 0x06, 0xd9, 0x03, 0xc3, 0xe8, 0xf7, 0xff, 0xff, 0xff, 0xc3);
    expect(disassembleFlat(bytes, 0x7c00n)).toBe(
      [
        'bits 64',
        'org 0x7c00',
        '        jmp short L_7c04                        ; 00007c00  eb 02',
        '        db 0x2e, 0x90                           ; 00007c02  nop',
        'L_7c04:',
        '        db 0x06                                 ; 00007c04',
        '        db 0xd9                                 ; 00007c05',
        '        db 0x03, 0xc3                           ; 00007c06  add eax, ebx',
        '        call L_7c04                             ; 00007c08  e8 f7 ff ff ff',
        '        ret                                     ; 00007c0d  c3',
        '',
      ].join('\n'),
    );
  });
});
