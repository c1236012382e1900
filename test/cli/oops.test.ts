/** What gvm says when the guest crashes. */

import { describe, expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

const run = (source: string) =>
  gvmWith({ 'crash.gasm': `global init_module\nsection .text\n${source}\n` }, 'run', 'crash.gasm');

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
    ['0x0f, 0x28, 0xc1', 'SSE or MMX'],
    ['0xc5, 0xf8, 0x28, 0xc1', 'AVX'],
    ['0xd9, 0xe8', 'x87'],
  ])('an instruction that gvm leaves out names itself: %s', (bytes, family) => {
    const { status, stderr } = run(`init_module:\n        db ${bytes}\n        ret`);
    expect(status).toBe(4);
    expect(stderr).toMatch(
      new RegExp(
        `gvm: this ${family} instruction \\[.*\\] at rip 0x[0-9a-f]+ init_module\\+0x0.* is not implemented; compile C with -mgeneral-regs-only`,
      ),
    );
  });
});
