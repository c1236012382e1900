/** `gvm run --flat`: the door for outside test suites. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { gvm } from './gvm.ts';

const folder = mkdtempSync(join(tmpdir(), 'gvm-flat-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** mov eax, 7; push rax; mov ecx, [0x5000]; hlt */
const IMAGE = Uint8Array.of(0xb8, 7, 0, 0, 0, 0x50, 0x8b, 0x0c, 0x25, 0, 0x50, 0, 0, 0xf4);
const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const flat = (path: string, ...words: readonly string[]) => {
  const { stdout, stderr, status } = gvm('run', path, '--flat', '0x1000', '--regs', 'json', ...words);
  return { status, stderr, report: stdout === '' ? undefined : JSON.parse(stdout) };
};

describe('gvm run --flat', () => {
  test('an image runs to hlt; registers are zero but rsp', () => {
    const { status, report } = flat(file('a.bin', IMAGE), '--map', '0x5000:0x1000', '--stack', '0x9000');
    expect(status).toBe(0);
    expect(report).toMatchObject({ exit: 'hlt', instructions: 4 });
    expect(report.registers).toMatchObject({
      RAX: '0x7',
      RCX: '0x0',
      RSP: '0x8ff8',
      R15: '0x0',
      RIP: '0x100e',
      RFLAGS: '0x2',
    });
  });

  test('a source is assembled for the address', () => {
    const path = file('b.asm', 'here: lea rax, [rel here]\n mov rbx, here\n hlt\n');
    expect(flat(path).report.registers).toMatchObject({ RAX: '0x1000', RBX: '0x1000' });
  });

  test('an access to nothing ends with the exception, where it was raised', () => {
    const { status, report } = flat(file('c.bin', IMAGE), '--stack', '0x40000');
    expect(status).toBe(4);
    expect(report).toMatchObject({ exit: 'exception', vector: 14, error_code: 0, cr2: '0x5000' });
    expect(report.registers.RIP).toBe('0x1006');
  });

  test('a vector instruction is named as such', () => {
    expect(flat(file('d.bin', Uint8Array.of(0x0f, 0x28, 0xc1))).report).toMatchObject({
      vector: 6,
      unsupported: 'movaps',
    });
  });

  test('cpuid answers, an unknown MSR is #GP, and a port is an exit', () => {
    const cpuid = file('e.asm', 'xor eax, eax\n cpuid\n hlt\n');
    expect(flat(cpuid).report.registers).toMatchObject({ RBX: '0x756e6547', RDX: '0x49656e69', RCX: '0x6c65746e' });
    expect(flat(file('f.asm', 'mov ecx, 0x12345\n rdmsr\n')).report).toMatchObject({ exit: 'exception', vector: 13 });
    expect(flat(file('g.asm', 'in al, 0x60\n')).report).toMatchObject({ exit: 'io_instruction' });
  });

  test('a program without end is stopped', () => {
    const { status, report } = flat(file('h.asm', 'again: jmp again\n'), '--max-insns', '1000');
    expect(status).toBe(124);
    expect(report).toMatchObject({ exit: 'limit', instructions: 1000 });
  });

  test('mistakes are told', () => {
    const path = file('i.bin', IMAGE);
    expect(flat(path, '--map', '0x5000').stderr).toContain("--map takes ADDR:SIZE, not '0x5000'");
    expect(flat(path, '--map', '0x5000:0').stderr).toContain('--map: 0x5000:0 has no bytes');
    expect(flat(path, '--map', '0x7fffffff0000:0x100000').stderr).toContain('reaches addresses that are not canonical');
    expect(gvm('run', path, '--flat', '0x7ffffffffffe').stderr).toContain('reaches addresses that are not canonical');
    expect(gvm('run', file('empty.bin', ''), '--flat', '0x1000').stderr).toContain('is empty');
    const bare = gvm('run', path, '--flat');
    expect(bare.stderr).toContain('gvm run: --flat takes a value; see gvm run --help');
    expect(bare.status).toBe(2);
    expect(gvm('run', path, '--flat', 'here').stderr).toContain("--flat takes a number such as 0x1000, not 'here'");
    expect(gvm('run', path, '--flat', '0x1000', '-m', '1G').stderr).toContain('--flat runs without one');
  });
});
