/** Rules of decoding in 64-bit mode, from the SDM (vol. 2 chapters 2–4 and appendix A). */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decode } from '../../../lang/isa/decode.ts';
import { format } from '../../../lang/isa/format.ts';
import type { Instruction } from '../../../lang/isa/instruction.ts';

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

function instruction(text: string): Instruction {
  const bytes = bytesOf(text);
  const result = decode(bytes, 0, bytes.length, 'long');
  if ('failure' in result) throw new Error(`${text}: ${result.failure}`);
  return result;
}

function failure(text: string): string {
  const bytes = bytesOf(text);
  const result = decode(bytes, 0, bytes.length, 'long');
  return 'failure' in result ? result.failure : format(result);
}

describe('disassembly', () => {
  test.each([
    ['48 89 d8', 'mov rax, rbx'],
    ['ef', 'out dx, eax'],
    ['66 ef', 'out dx, ax'],
    ['48 ef', 'out dx, eax'],
    ['88 e0', 'mov al, ah'],
    ['40 88 e0', 'mov al, spl'],
    ['c7 45 fc 78 56 34 12', 'mov dword [rbp-4], 0x12345678'],
    ['48 c7 c0 ff ff ff ff', 'mov rax, -1'],
    ['8b 04 25 00 10 00 00', 'mov eax, [abs 0x1000]'],
    ['65 48 8b 04 25 28 00 00 00', 'mov rax, [gs:0x28]'],
    ['f3 a4', 'rep movsb'],
    ['f3 a6', 'repe cmpsb'],
    ['f2 ae', 'repne scasb'],
    ['67 f3 48 ab', 'rep a32 stosq'],
    ['f0 0f b1 11', 'lock cmpxchg [rcx], edx'],
    ['0f 1f 44 00 00', 'nop dword [byte rax+rax]'],
    ['66 90', 'o16 nop'],
    ['49 90', 'xchg r8, rax'],
    ['f3 90', 'pause'],
    ['f3 0f 1e fa', 'endbr64'],
    ['cf', 'iretd'],
    ['48 cf', 'iretq'],
    ['c4 e2 70 f2 c2', 'andn eax, ecx, edx'],
    ['0f 05', 'syscall'],
    ['48 0f 07', 'o64 sysret'],
    ['6a ff', 'push -1'],
    ['cd 80', 'int 0x80'],
  ])('%s is %s', (bytes, text) => {
    expect(format(instruction(bytes))).toBe(text);
  });

  test('targets are numbers where the address is known, distances from $ where not', () => {
    expect(format(instruction('eb fe'))).toBe('jmp short $');
    expect(format(instruction('eb fe'), 0x1000n)).toBe('jmp short 0x1000');
    expect(format(instruction('e8 00 01 00 00'), 0xffffffff81000000n)).toBe('call 0xffffffff81000105');
    expect(format(instruction('48 8d 3d 10 00 00 00'))).toBe('lea rdi, [rel $+0x17]');
    expect(format(instruction('48 8d 3d 10 00 00 00'), 0x1000n)).toBe('lea rdi, [rel 0x1017]');
  });
});

describe('operands', () => {
  test('immediates are extended to the operand size, as unsigned numbers', () => {
    expect(instruction('48 83 c0 ff').operands[1]).toEqual({
      kind: 'immediate',
      value: 0xffffffffffffffffn,
      width: 64,
    });
    expect(instruction('83 c0 80').operands[1]).toEqual({ kind: 'immediate', value: 0xffffff80n, width: 32 });
    expect(instruction('48 c7 c0 00 00 00 80').operands[1]).toEqual({
      kind: 'immediate',
      value: 0xffffffff80000000n,
      width: 64,
    });
    expect(instruction('b8 ff ff ff ff').operands[1]).toEqual({ kind: 'immediate', value: 0xffffffffn, width: 32 });
    expect(instruction('c1 e0 ff').operands[1]).toEqual({ kind: 'immediate', value: 0xffn, width: 8 });
    expect(instruction('66 6a ff').operands[0]).toEqual({ kind: 'immediate', value: 0xffffn, width: 16 });
  });

  test('string instructions list the memory they imply; only rsi takes the override', () => {
    const { operands, width, repeat } = instruction('65 f3 48 a5');
    expect([width, repeat]).toEqual([64, 'rep']);
    const memory = operands.map((each) =>
      each.kind === 'memory' ? [each.memory.base?.name, each.memory.segment?.name] : [],
    );
    expect(memory).toEqual([
      ['rdi', undefined],
      ['rsi', 'gs'],
    ]);
  });

  test('ins and outs stay 32 bits wide under REX.W', () => {
    expect([instruction('48 6d').width, instruction('48 6f').width]).toEqual([32, 32]);
  });

  test('near branches and the stack are 64 bits wide without REX.W', () => {
    for (const text of [
      'c3',
      '50',
      '6a 01',
      'e8 00 00 00 00',
      'ff d0',
      '74 00',
      '9c',
      'c9',
      '66 c3',
      '66 e9 00 00 00 00',
    ]) {
      expect([text, instruction(text).width]).toEqual([text, 64]);
    }
    expect([instruction('66 50').width, instruction('66 9c').width]).toEqual([16, 16]);
  });

  test('fs and gs are not displaced by overrides that mean nothing in 64-bit mode', () => {
    const [, source] = instruction('64 3e 8b 00').operands;
    expect(source?.kind === 'memory' && source.memory.segment?.name).toBe('fs');
  });

  test('mov to and from control registers has no memory form: mod is ignored', () => {
    expect(format(instruction('0f 20 00'))).toBe('mov rax, cr0');
    expect(instruction('0f 20 40').length).toBe(3);
  });
});

describe('prefixes', () => {
  test('a REX prefix that is not the last prefix is ignored', () => {
    expect(format(instruction('48 66 89 d8'))).toBe('mov ax, bx');
    expect(format(instruction('48 41 89 d8'))).toBe('mov r8d, ebx');
  });

  test('REX.W wins over 66', () => {
    expect(format(instruction('66 48 89 d8'))).toBe('mov rax, rbx');
  });

  test('an instruction has at most 15 bytes', () => {
    expect(failure(`${'66'.repeat(14)} 90`)).toBe('o16 nop');
    expect(failure(`${'66'.repeat(15)} 90`)).toBe('too-long');
    expect(failure(`${'2e'.repeat(12)} b8 00 00 00 00`)).toBe('too-long');
  });

  test('lock is for read-modify-write instructions with memory as destination', () => {
    expect(failure('f0 01 08')).toBe('lock add [rax], ecx');
    for (const text of ['f0 01 c8', 'f0 03 08', 'f0 39 08', 'f0 89 08', 'f0 90', 'f0 0f a3 08', 'f0 84 00']) {
      expect([text, failure(text)]).toEqual([text, 'undefined']);
    }
  });
});

describe('what is no instruction', () => {
  test.each([
    '06',
    '27',
    '37',
    '60',
    '62 00 00'.slice(0, 2),
    '82 c0 00',
    '9a',
    'c6 c8 00',
    'd4',
    'ea',
    '0f 04',
    '0f 0a',
    '0f 24',
    '8e c8',
    '8e f0',
    '0f 22 c8',
    '44 0f 23 c0',
    'ff f8',
    'fe d0',
    '8f c8',
    '8d c0',
    '0f 01 f0 00'.slice(0, 8).replace('f0', 'cc'),
    '0f c7 c8',
    '0f ba c0 00',
  ])('%s', (bytes) => {
    expect(['undefined', 'unsupported']).toContain(failure(bytes));
  });

  test.each([
    '0f 58 c1',
    'd9 e8',
    'f3 0f 10 00',
    'c5 f8 77',
    '62 f1 7c 48 58 c1',
    '0f 77',
    '9b',
    '66 0f 38 00 c1',
    '0f ae 00',
  ])('%s is known and left out', (bytes) => {
    expect(failure(bytes)).toBe('unsupported');
  });

  test('any bytes are an instruction within 15 bytes, or a failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 20 }), (bytes) => {
        const result = decode(bytes, 0, bytes.length, 'long');
        expect(result.length).toBeLessThanOrEqual(Math.min(15, bytes.length));
        if (!('failure' in result)) expect(format(result)).not.toContain('undefined');
      }),
      { numRuns: 20_000, seed: 1 },
    );
  });

  test('what follows the instruction does not matter, nor where it stands', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 20 }), fc.uint8Array({ maxLength: 5 }), (bytes, before) => {
        const alone = decode(bytes, 0, bytes.length, 'long');
        const moved = decode(
          Uint8Array.from([...before, ...bytes]),
          before.length,
          before.length + bytes.length,
          'long',
        );
        expect(moved).toEqual(alone);
        if (!('failure' in alone)) expect(decode(bytes.slice(0, alone.length), 0, alone.length, 'long')).toEqual(alone);
      }),
      { numRuns: 5_000, seed: 2 },
    );
  });
});
