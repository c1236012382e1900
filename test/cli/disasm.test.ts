/** `gvm disasm` as a user runs it: flat and ELF files, and what is neither. */

import { expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

test('a flat file, at an address', () => {
  const { status, stdout } = gvmWith(
    { 'x.bin': Uint8Array.of(0x90, 0xeb, 0xfd) },
    'disasm',
    '--org',
    '0x7c00',
    'x.bin',
  );
  expect([status, stdout.split('\n')[1]]).toEqual([0, 'org 0x7c00']);
  expect(stdout).toContain('jmp short L_7c00');
});

test.each([
  [['disasm', 'none.bin'], 'gvm: none.bin: No such file or directory\n'],
  [['disasm', '--org', 'here', 'x.bin'], 'gvm disasm: --org here: an address is needed, as 0x7c00\n'],
  [['disasm', 'short.o'], 'gvm disasm: short.o: ends within its file header\n'],
  [
    ['disasm', 'a b.gasm'],
    "gvm disasm: a b.gasm is a source: gvm asm 'a b.gasm' -o FILE makes what can be taken apart\n",
  ],
  [['disasm', '--org', '5', 'short.o'], 'gvm disasm: --org is for flat files; short.o is an ELF file\n'],
])('%j', (args, message) => {
  const files = {
    'a b.gasm': ' nop\n',
    'x.bin': Uint8Array.of(0x90),
    'short.o': Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2),
  };
  expect(gvmWith(files, ...args)).toMatchObject({ status: 2, stdout: '', stderr: message });
});
