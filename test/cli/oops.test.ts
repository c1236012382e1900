/** What gvm says when the guest crashes. */

import { describe, expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

const run = (source: string) =>
  gvmWith({ 'crash.gasm': `global init_module\nsection .text\n${source}\n` }, 'run', 'crash.gasm');

const spaced = (bytes: string) =>
  bytes
    .split(', ')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join(' ');

describe('a guest that crashes', () => {
  test('exception, registers, code, callers with their lines, and the walk of the faulting address', () => {
    const { status, stderr } = run(`helper:
        mov rax, 0xffffc90000000000
        mov ebx, 0x1234
        mov dword [rax], 5
        ret
init_module:
        call helper
        ret`);
    expect(status).toBe(4);
    for (const words of [
      '#PF, page fault: write at 0xffffc90000000000, no page there (error code 0x2) in privilege 0',
      /at rip 0x[0-9a-f]+ helper\+0xf \(crash\.gasm:6\)/,
      'rbx 0000000000001234',
      /> [0-9a-f]{16} {2}c7 00 05 00 00 00 +mov dword \[rax\], 5/,
      / {2}[0-9a-f]{16} {2}bb 34 12 00 00 +mov ebx, 0x1234/,
      'init_module+0x4 (crash.gasm:9)',
      'page walk of 0xffffc90000000000:',
      /PML4 entry at 0x[0-9a-f]+ = 0x0: not present/,
    ])
      expect(stderr).toMatch(words);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^gvm: the guest crashed at rip .*\(crash\.gasm:6\)$/);
  });

  test.each([
    [
      'a function without its ret',
      'init_module:\n        nop',
      'behind the end of init_module: it has come there without a ret or jmp',
    ],
    [
      'a stack with one push too many',
      'init_module:\n        push 5\n        ret',
      'by a jmp, or by a ret where push and pop do not balance, in what was called at startup_64+0x37 (lang/library/start.gasm:39)',
    ],
    [
      'a stack with several',
      'init_module:\n        push 5\n        push 6\n        ret',
      'by a ret on a stack where push and pop do not balance, or by a jmp',
    ],
    [
      'a call of nothing',
      'init_module:\n        xor eax, eax\n        call rax\n        ret',
      'by the call at init_module+0x3 (crash.gasm:5)',
    ],
  ])('how it came to where no code is: %s', (_, source, words) => {
    expect(run(source).stderr).toContain(`[oops]   ${words}\n`);
  });

  test.each([
    ['0x0f, 0x28, 0x44, 0x24, 0x40', 'the SSE or MMX instruction movaps'],
    ['0x66, 0x0f, 0x3a, 0x0f, 0xc1, 4', 'the SSE or MMX instruction palignr'],
    ['0xc5, 0xf8, 0x28, 0xc1', 'the AVX instruction vmovaps'],
    ['0xc4, 0xe2, 0x7d, 0x18, 0x05, 1, 2, 3, 4', 'the AVX instruction vbroadcastss'],
    ['0x62, 0xf1, 0x7c, 0x48, 0x28, 0x45, 1', 'the AVX-512 instruction vmovaps'],
    ['0xd9, 0xe8', 'the x87 instruction fld1'],
    ['0xc5, 0xf8, 0x04', 'this AVX instruction'],
  ])('an instruction that gvm leaves out names itself, and has all its bytes: %s', (bytes, name) => {
    const { status, stderr } = run(`init_module:\n        db ${bytes}\n        times 9 nop\n        ret`);
    expect(status).toBe(4);
    expect(stderr).toMatch(
      new RegExp(
        `gvm: ${name} \\[${spaced(bytes)}${name.startsWith('this') ? '.*' : ''}\\] at rip 0x[0-9a-f]+ init_module\\+0x0 \\(crash\\.gasm:4\\) is not implemented; compile C with -mgeneral-regs-only`,
      ),
    );
  });
});
