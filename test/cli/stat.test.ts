/** `gvm stat` by source line, and its help. */

import { expect, test } from 'vitest';
import { gvm, gvmWith } from './gvm.ts';

const PROGRAM = `        default rel
        section .text
        global  init_module
init_module:
        mov     dx, 0x80
        mov     al, 1
        out     dx, al
        sub     rsp, 8
        mov     edi, 7
        mov     esi, 0x80
        extern  outb
        call    outb
        add     rsp, 8
        xor     eax, eax
        ret
`;

test('an exit in the guest library counts for the line of the program that called it', () => {
  const { stdout, stderr, status } = gvmWith({ 'p.gasm': PROGRAM }, 'stat', '--json', 'p.gasm');
  expect(stderr).not.toMatch(/error/);
  expect(status).toBe(0);
  const lines = (JSON.parse(stdout) as { line: Record<string, unknown>[] }).line;
  const named = lines.map((line) => line['key'] ?? line['name']);
  expect(named).toContain('p.gasm:7');
  expect(named).toContain('p.gasm:12');
  expect(named).toContain('(guest library)');
  expect(named.filter((name) => String(name).startsWith('lang/library'))).toEqual([]);
});

test.each([
  'run',
  'trace',
  'stat',
  'host',
  'walk',
  'regs',
  'mtree',
  'lspci',
  'asm',
  'disasm',
  'explain',
  'test',
  'completion',
])('the help of gvm %s fits in 100 columns, without broken paragraphs', (command) => {
  const text = gvm(command, '--help').stdout;
  const lines = text.split('\n');
  expect(lines.filter((line) => line.length > 101)).toEqual([]);
  const usage = lines.slice(0, lines.indexOf('Options:'));
  // A word that stands alone while its paragraph goes on: broken by the source and by the terminal.
  expect(usage.filter((line, index) => /^\S+$/.test(line) && (usage[index + 1] ?? '') !== '')).toEqual([]);
});
