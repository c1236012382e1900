/** What `encode` says besides bytes: fixups, warnings, refusals. The bytes themselves are tested against nasm. */

import { describe, expect, test } from 'vitest';
import { encode } from '../../../lang/isa/encode.ts';
import { formsOf } from '../../../lang/isa/forms.ts';
import type { Encoding, SourceOperand } from '../../../lang/isa/instruction.ts';
import { registerNamed } from '../../../lang/isa/registers.ts';
import { mnemonics } from '../../../lang/isa/table.ts';

const register = (name: string): SourceOperand => ({ kind: 'register', register: registerNamed(name)! });
const unknown: SourceOperand = { kind: 'immediate', value: undefined };
const immediate = (value: bigint): SourceOperand => ({ kind: 'immediate', value });

function encoding(mnemonic: string, operands: SourceOperand[], prefixes: string[] = []): Encoding {
  const result = encode({ mnemonic, prefixes, operands });
  if (!('bytes' in result)) throw new Error(result.reason);
  return result;
}

function refusal(mnemonic: string, operands: SourceOperand[], prefixes: string[] = []) {
  const result = encode({ mnemonic, prefixes, operands });
  if ('bytes' in result) throw new Error(`${mnemonic} was taken`);
  return result;
}

describe('fixups', () => {
  test('a 64-bit register takes an unknown value whole, other operands of 64 bits take 32 bits sign-extended', () => {
    expect(encoding('mov', [register('rax'), unknown]).fixups).toEqual([
      { offset: 2, bytes: 8, kind: 'absolute', signed: false, operand: 1 },
    ]);
    expect(encoding('mov', [register('eax'), unknown]).fixups).toEqual([
      { offset: 1, bytes: 4, kind: 'absolute', signed: false, operand: 1 },
    ]);
    expect(encoding('add', [register('rbx'), unknown]).fixups).toEqual([
      { offset: 3, bytes: 4, kind: 'absolute', signed: true, operand: 1 },
    ]);
    expect(encoding('push', [unknown]).fixups).toEqual([
      { offset: 1, bytes: 4, kind: 'absolute', signed: true, operand: 0 },
    ]);
  });

  test('a rip-relative address is relative to the end of the instruction, immediate included', () => {
    const memory: SourceOperand = { kind: 'memory', width: 32, displacement: 5n, relative: true };
    const { bytes, fixups } = encoding('mov', [memory, immediate(1n)]);
    expect(bytes.length).toBe(10);
    expect(fixups).toEqual([{ offset: 2, bytes: 4, kind: 'relative', signed: true, operand: 0 }]);
  });

  test('branches are as wide as they are told, near where they are not', () => {
    expect(encoding('jmp', [{ kind: 'immediate', value: undefined, width: 8 }]).fixups[0]?.bytes).toBe(1);
    expect(encoding('jz', [{ kind: 'immediate', value: undefined, width: 32 }]).fixups[0]).toMatchObject({
      offset: 2,
      bytes: 4,
      kind: 'relative',
    });
    expect(encoding('jmp', [unknown]).fixups[0]?.bytes).toBe(4);
    expect(encoding('loop', [unknown]).fixups[0]?.bytes).toBe(1);
    expect([...encoding('jmp', [immediate(-2n)]).bytes]).toEqual([0xeb, 0xfe]);
  });

  test('two fields of one instruction have a fixup each', () => {
    const memory: SourceOperand = { kind: 'memory', width: 64, base: registerNamed('rbx')!, displacement: undefined };
    expect(encoding('mov', [memory, unknown]).fixups.map(({ offset, operand }) => [offset, operand])).toEqual([
      [3, 0],
      [7, 1],
    ]);
  });
});

describe('warnings are those of nasm', () => {
  test.each([
    ['add', 'al', 300n, 'byte data exceeds bounds'],
    ['add', 'rax', 0xffffffffn, 'signed dword value exceeds bounds'],
    ['add', 'rax', 0x80000000n, 'signed dword immediate exceeds bounds'],
    ['add', 'ax', 0xfffffff0n, 'word value exceeds bounds'],
    ['mov', 'eax', 0x1ffffffffn, 'dword data exceeds bounds'],
  ])('%s %s, %d: %s', (mnemonic, name, value, warning) => {
    expect(encoding(mnemonic, [register(name), immediate(value)]).warnings).toEqual([warning]);
  });

  test('none for values that fit as signed or as unsigned numbers', () => {
    for (const [name, value] of [
      ['al', 255n],
      ['al', -128n],
      ['eax', 0xffffffffn],
      ['ax', -1n],
      ['rax', -1n],
      ['rax', 2n ** 64n - 1n],
    ] as const) {
      expect(encoding('add', [register(name), immediate(value)]).warnings).toBeUndefined();
    }
  });

  test('lock before an instruction that cannot be locked', () => {
    expect(encoding('mov', [register('eax'), register('ecx')], ['lock']).warnings).toEqual([
      'instruction is not lockable',
    ]);
    expect(
      encoding('inc', [{ kind: 'memory', width: 32, base: registerNamed('rax')!, displacement: 0n }], ['lock'])
        .warnings,
    ).toBeUndefined();
  });
});

describe('refusals name what is wrong and what would be right', () => {
  test('a register of the wrong kind', () => {
    const { reason, operand, forms } = refusal('out', [register('dx'), register('ebx')]);
    expect(reason).toBe('`out` does not take ebx as its second operand');
    expect(operand).toBe(1);
    expect(forms).toContain('out dx, eax');
  });

  test('sizes that differ', () => {
    const { reason, operand } = refusal('mov', [register('eax'), register('bx')]);
    expect(reason).toContain('mismatch in operand sizes');
    expect(operand).toBe(1);
  });

  test('memory without a size', () => {
    const memory: SourceOperand = { kind: 'memory', base: registerNamed('rax')!, displacement: 0n };
    expect(refusal('inc', [memory])).toMatchObject({
      operand: 0,
      reason: expect.stringContaining('operation size not specified'),
    });
    expect(refusal('mov', [memory, immediate(5n)])).toMatchObject({ operand: 0 });
  });

  test('too many operands, an unknown mnemonic, an unknown prefix', () => {
    expect(refusal('hlt', [register('eax')]).reason).toBe('`hlt` takes 0 operands, not 1');
    expect(refusal('moov', []).reason).toBe('there is no instruction `moov`');
    expect(refusal('nop', [], ['o8']).reason).toBe('there is no prefix `o8`');
  });

  test('impossible addresses', () => {
    const at = (base: string, index: string): SourceOperand => ({
      kind: 'memory',
      base: registerNamed(base)!,
      index: registerNamed(index)!,
      scale: 2,
      displacement: 0n,
    });
    expect(refusal('mov', [register('eax'), at('rax', 'rsp')]).reason).toBe('`rsp` cannot be an index');
    expect(refusal('mov', [register('eax'), at('rax', 'ecx')]).reason).toContain('differ in size');
    expect(refusal('mov', [register('eax'), at('rax', 'cx')]).reason).toContain(
      '`cx` cannot be part of a 64-bit address',
    );
  });

  test('high bytes beside a register that needs REX', () => {
    expect(refusal('mov', [register('ah'), register('r8b')]).reason).toContain('REX');
  });
});

test('forms are listed for every mnemonic, without what only nasm tolerates', () => {
  expect(formsOf('out')).toEqual([
    'out imm8, al',
    'out imm8, ax',
    'out imm8, eax',
    'out dx, al',
    'out dx, ax',
    'out dx, eax',
  ]);
  expect(formsOf('jz')).toEqual(['jz rel8', 'jz rel32']);
  expect(formsOf('movsb')).toEqual(['movsb']);
  for (const mnemonic of mnemonics())
    expect([mnemonic, formsOf(mnemonic).length > 0 || /^(retn?w|ud[012].?)$/.test(mnemonic)]).toEqual([mnemonic, true]);
});
