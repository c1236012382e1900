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

test('so does one below a large frame of the library’s: each character of a message, and a poll for each FIFO of 16', () => {
  const program = PROGRAM.replace('call    outb', 'extern printk\n lea rdi, [text]\n xor eax, eax\n call printk');
  const source = `${program}text: db 'twenty-five characters..', 10, 0\n`;
  const { stdout } = gvmWith({ 'p.gasm': source }, 'stat', '--json', 'p.gasm');
  const { line } = JSON.parse(stdout) as { line: { key: string; samples: number }[] };
  expect(line.find(({ key }) => key === 'p.gasm:15')?.samples).toBe(25 + 2);
});

test('a comparison runs nothing before both programs have been read', () => {
  const loops = PROGRAM.replace('ret\n', 'jmp init_module\n');
  for (const [other, status, said] of [
    ['missing.gasm', 2, 'gvm: missing.gasm: No such file or directory\n'],
    ['wrong.gasm', 3, 'wrong.gasm:1:9: error: unknown instruction `movv`; did you mean `mov`?\n'],
    ['own.gasm', 2, 'own.gasm:1: error: --frob is no option that a program may give itself\n'],
  ] as const) {
    const files = { 'a.gasm': loops, 'wrong.gasm': '        movv rax, 1\n', 'own.gasm': `; gvm: --frob\n${PROGRAM}` };
    const ran = gvmWith(files, 'stat', 'a.gasm', '--vs', other);
    expect(ran.stderr).toContain(said);
    expect(ran.stderr).not.toContain('gvm: stopped after');
    expect(ran.stdout).toBe('');
    expect(ran.status).toBe(status);
  }
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
