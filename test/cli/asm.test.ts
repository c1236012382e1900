/** `gvm asm`: NASM's letters, dependencies, the preprocessor alone, machine-readable diagnostics. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { COMMAND } from './gvm.ts';

const folder = mkdtempSync(join(tmpdir(), 'gvm-asm-'));
afterAll(() => rmSync(folder, { recursive: true }));
const has = (tool: string) => spawnSync(tool, ['--version']).status === 0;

const FILES: Readonly<Record<string, string>> = {
  'main.asm': '%include "one.inc"\nstart: mov eax, VALUE\n incbin "data.bin"\n',
  'one.inc': '%ifndef VALUE\n%define VALUE 5\n%endif\n',
  'data.bin': 'abc',
  'pre.inc': '%define VALUE 9\n',
  'wrong.asm': ' nop\n\tout dx, ebx\n%macro m 0\n movv eax\n%endmacro\n m\n',
  'warn.asm': 'start\n db 300\n',
  'many.asm': ' movv\teax, 1\n'.repeat(50),
  'macros.asm':
    'bits 64\n%define N 3\n%macro two 2\n mov eax, %1\n%%x: db %2, N\n jmp %%x\n%endmacro\n two N, "a b"\n%rep 2\n nop\n%endrep\n%if N = 3\nlab: two 1, `x\\n`\n%else\n hlt\n%endif\n\n\n lea rax, [rbx + rcx*4 - 8] ; end\n times N db -N\n',
};
for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content);

function run(tool: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}
const asm = (...args: string[]) => run(process.execPath, COMMAND, 'asm', ...args);
const asmless = (...args: string[]) => run(process.execPath, COMMAND, ...args);
const bytes = (name: string) => readFileSync(join(folder, name)).toString('hex');

describe('letters', () => {
  test.each([
    [['-fbin', '-oout.bin', 'main.asm'], 'b805000000616263'],
    [['-f', 'bin', '-o', 'out.bin', '-DVALUE=7', 'main.asm'], 'b807000000616263'],
    [['main.asm', '-d', 'VALUE=7', '-UVALUE', '--output=out.bin'], 'b805000000616263'],
    [['-P', 'pre.inc', '-o', 'out.bin', 'main.asm'], 'b809000000616263'],
    [['-ppre.inc', '-Ox', '-I.', '-i', '.', '-o', 'out.bin', '--', 'main.asm'], 'b809000000616263'],
  ])('%j', (args, expected) => {
    expect(asm(...args)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(bytes('out.bin')).toBe(expected);
  });

  test('what has no meaning here is refused', () => {
    expect(asm('-O0', 'main.asm').stderr).toBe("gvm asm: -O0: gvm always takes the shortest form, like NASM's -Ox\n");
    expect(asm('-Fstabs', '-g', 'main.asm').stderr).toBe("gvm asm: there is no debug format 'stabs'; there is dwarf\n");
    expect(asm('-w-label-orphen', 'main.asm')).toMatchObject({
      status: 2,
      stderr: "gvm asm: -w: there is no warning 'label-orphen'; did you mean `label-orphan`?\n",
    });
    expect(asm('-f', 'coff', 'main.asm').status).toBe(2);
    expect(asm('--max-errors', '0', 'main.asm').status).toBe(2);
  });
});

describe('warnings', () => {
  test('gvm run takes -w and --json, too', () => {
    const run = (...args: string[]) => asmless('run', ...args);
    expect(run('warn.asm').stderr).toMatch(/label-orphan[\s\S]*number-overflow[\s\S]*init_module/);
    expect(run('-w-all', 'warn.asm').stderr).not.toMatch(/-w\+/);
    expect(run('-w', 'error=label-orphan', '-w-number-overflow', 'warn.asm')).toMatchObject({ status: 3 });
    expect(run('--warning=nothing', 'warn.asm')).toMatchObject({ status: 2 });
    expect(run('--flat', '0x1000', '-w-all', 'warn.asm').stderr).not.toMatch(/-w\+/);
    const { status, stderr } = run('--json', 'wrong.asm');
    expect(status).toBe(3);
    expect(JSON.parse(stderr).diagnostics).toHaveLength(2);
  });

  test('-w-x hides, -Werror ends with status 3 and no output', () => {
    expect(asm('-o', 'w.bin', '-w-number-overflow', '-w-label', 'warn.asm')).toMatchObject({ status: 0, stderr: '' });
    const { status, stderr } = asm('-o', 'none.bin', '-Werror=number-overflow', '-Wno-label-orphan', 'warn.asm');
    expect(status).toBe(3);
    expect(stderr).toContain('warn.asm:2:5: error: byte data exceeds bounds [-w+error=number-overflow]\n');
    expect(() => bytes('none.bin')).toThrow();
  });

  test('--max-errors', () => {
    expect(asm('--max-errors', '3', 'many.asm').stderr.match(/error: /g)).toHaveLength(4);
    expect(asm('many.asm').stderr).toContain('error: stopped after 20 errors\n');
    expect(asm('--max-errors=100', 'many.asm').stderr.match(/error:/g)).toHaveLength(50);
  });
});

describe('diagnostics for programs', () => {
  test('--json is one object on stdout', () => {
    const { status, stdout, stderr } = asm('--json', 'wrong.asm');
    expect([status, stderr]).toEqual([3, '']);
    const { v, diagnostics } = JSON.parse(stdout);
    expect(v).toBe(1);
    expect(diagnostics).toEqual(
      [
        {
          file: 'wrong.asm',
          line: 4,
          column: 2,
          endColumn: 6,
          severity: 'error',
          warning: null,
          message: 'unknown instruction `movv`; did you mean `mov`?',
          notes: ['in macro `m`, called at wrong.asm:6'],
          forms: [],
        },
        {
          file: 'wrong.asm',
          line: 2,
          column: 10,
          endColumn: 13,
          severity: 'error',
          warning: null,
          message: '`out` does not take ebx as its second operand',
          notes: [],
          forms: expect.arrayContaining(['out dx, eax']),
        },
      ].sort(
        (a, b) =>
          diagnostics.findIndex((each: { line: number }) => each.line === a.line) -
          diagnostics.findIndex((each: { line: number }) => each.line === b.line),
      ),
    );
    expect(JSON.parse(asm('--json', '-o', 'w.bin', 'warn.asm').stdout).diagnostics).toHaveLength(2);
    expect(asm('--json', '-o', 'm.bin', 'main.asm').stdout).toBe('{"v":1,"diagnostics":[]}\n');
  });

  test('GITHUB_ACTIONS adds a workflow command to each', () => {
    const { stderr } = spawnSync(process.execPath, [COMMAND, 'asm', 'wrong.asm'], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, GITHUB_ACTIONS: 'true' },
    });
    expect(stderr).toMatch(/^::error file=wrong\.asm,line=2,col=10,endColumn=13::`out` does not take .*%0Aforms: out/m);
    expect(stderr).toMatch(/^wrong\.asm:2:10: error: /m);
  });
});

describe('dependencies', () => {
  test('-M lists the source, its includes and its binary files', () => {
    expect(asm('-M', '-o', 'x.o', 'main.asm').stdout).toBe('x.o : main.asm one.inc data.bin\n\n');
    expect(asm('-M', '-MP', '-MT', 'a b', 'main.asm').stdout).toBe(
      'a b : main.asm one.inc data.bin\n\nmain.asm :\n\none.inc :\n\ndata.bin :\n\n',
    );
    expect(asm('-M', '-MQ', 'a$b', '-MF', 'rule.d', 'main.asm').stdout).toBe('');
    expect(readFileSync(join(folder, 'rule.d'), 'utf8')).toMatch(/^a\$\$b : main\.asm/);
  });

  test('-MD assembles as well', () => {
    expect(asm('-MD', 'beside.d', '-o', 'y.bin', 'main.asm').status).toBe(0);
    expect(readFileSync(join(folder, 'beside.d'), 'utf8')).toBe('y.bin : main.asm one.inc data.bin\n\n');
    expect(bytes('y.bin')).toBe('b805000000616263');
  });

  test('-MG takes a missing include for one that will be made', () => {
    writeFileSync(join(folder, 'missing.asm'), '%include "made.inc"\n nop\n');
    expect(asm('-MG', 'missing.asm').stdout).toBe('missing : missing.asm made.inc\n\n');
    expect(asm('-M', 'missing.asm').status).toBe(3);
  });

  test.skipIf(!has('nasm'))('as nasm says it (needs nasm)', () => {
    const long = Array.from({ length: 12 }, (_, i) => `a-rather-long-name-${i}.inc`);
    for (const name of long) writeFileSync(join(folder, name), ' nop\n');
    writeFileSync(join(folder, 'long.asm'), long.map((name) => `%include "${name}"\n`).join(''));
    for (const args of [
      ['-M', 'long.asm'],
      ['-M', '-MP', '-o', 'z.o', 'main.asm'],
    ])
      expect(asm(...args).stdout).toBe(run('nasm', ...args).stdout);
  });
});

describe('-E', () => {
  test('prints what the parser would see, with %line', () => {
    expect(asm('-E', 'main.asm').stdout).toBe('%line 2+1 main.asm\nstart: mov eax, 5\n incbin "data.bin"\n');
    expect(asm('-E', '-o', 'main.i', 'main.asm').stdout).toBe('');
    expect(readFileSync(join(folder, 'main.i'), 'utf8')).toContain('start: mov eax, 5');
  });

  /** Lines but for markers, blanks and the serial numbers of macro calls. */
  const essence = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('%line') && !/^\W*bits\W/.test(line))
      .map((line) => line.trimEnd().replace(/\.\.@\d+\./g, '..@N.'));

  test.skipIf(!has('nasm'))("the lines are nasm's, and both assemble to the same bytes (needs nasm)", () => {
    const ours = asm('-E', 'macros.asm').stdout;
    expect(essence(ours)).toEqual(essence(run('nasm', '-E', 'macros.asm').stdout));
    writeFileSync(join(folder, 'macros.i'), ours);
    asm('-o', 'direct.bin', 'macros.asm');
    expect(run('nasm', '-o', 'nasm.bin', 'macros.i').stderr).toBe('');
    expect(bytes('nasm.bin')).toBe(bytes('direct.bin'));
  });
});

test('-map lists sections and symbols by address', () => {
  writeFileSync(join(folder, 'map.asm'), ' org 0x1000\nsection .text\nf: nop\nsection .data\ng: dd 1\nx equ 7\n');
  expect(asm('-map', 'out.map', '-o', 'map.bin', 'map.asm').status).toBe(0);
  expect(readFileSync(join(folder, 'out.map'), 'utf8')).toBe(
    [
      '-- Sections: address, length, name',
      '0000000000001000  0000000000000001  .text',
      '0000000000001004  0000000000000004  .data',
      '',
      '-- Symbols: address, section, name',
      '0000000000000007  absolute      x',
      '0000000000001000  .text         f',
      '0000000000001004  .data         g',
      '',
    ].join('\n'),
  );
});
