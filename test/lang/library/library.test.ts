/**
 * The guest library, as guests see it: programs beside this file run on the whole machine. Oracles: nasm takes every source
 * without a warning and gives the same bytes as gvm's own assembler.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const root = new URL('../../../', import.meta.url).pathname;
const library = join(root, 'lang/library');
const here = new URL('.', import.meta.url).pathname;
const gvm = join(root, 'dist/gvm.js');

/** Runs a program of this folder; the console without what PCI says at boot. */
function guest(name: string, ...options: string[]): { status: number | null; lines: string[]; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [gvm, 'run', join(here, name), ...options], {
    encoding: 'utf8',
  });
  const lines = stdout.split('\n').filter((line) => line !== '' && !/^(PCI|pci|pci_bus)\b/.test(line));
  return { status, lines, stderr };
}

describe('functions', () => {
  test('strings and blocks of memory do what C says', () => {
    expect(guest('string.gasm')).toMatchObject({ status: 0, lines: ['strings are right'] });
  });

  test('kmalloc aligns, keeps objects apart, reuses, zeroes, runs out and recovers', () => {
    expect(guest('kmalloc.gasm')).toMatchObject({ status: 0, lines: ['the allocators are right'] });
  });

  test('invoke reads its arguments before it writes the registers they go to, and aligns the stack', () => {
    expect(guest('invoke.gasm')).toMatchObject({ status: 0, lines: ['invoke is right'] });
  });

  test('interrupts: by message and by pin, shared, masked, refused; msleep halts instead of spinning', () => {
    expect(guest('interrupts.gasm', '--max-insns', '1000000')).toMatchObject({
      status: 0,
      lines: ['interrupts 0000:00:04.0: enabling device (0000 -> 0002)', 'interrupts are right'],
    });
  });

  test('printk formats as lib/vsprintf.c does', () => {
    expect(guest('printk.gasm')).toMatchObject({
      status: 0,
      lines: [
        '-42 -42 3000000000 beef BEEF',
        '-1 18446744073709551615 123456789abcdef0 -9223372036854775808',
        '9029 255 -32768',
        '[   7] [7   ] [0007] [-007] [+7]',
        '0x0 0xff 0x000000ff 0XFF 010',
        '[buffer] [  buffer] [buffer  ] [bu] [(null)]',
        'c ffff888000001000 0000000000001000 100% %q',
        '[    42] [42    ] [buf] 43',
        '"buf" of 6',
      ],
    });
  });
});

describe('oops', () => {
  test('a NULL pointer: the report of show_fault_oops, registers, and a backtrace by frame pointers', () => {
    const { status, lines, stderr } = guest('null-pointer.gasm');
    expect(status).toBe(4);
    expect(lines.slice(0, 3)).toEqual([
      'BUG: kernel NULL pointer dereference, address: 0000000000000008',
      '#PF: supervisor write access in kernel mode',
      '#PF: error_code(0x0002) - not-present page',
    ]);
    expect(lines[4]).toBe('Oops: 0002 [#1]');
    expect(lines.find((line) => line.startsWith('Code: '))).toContain(' <c7> 40 08 01 00 00 00 5d c3');
    expect(lines.find((line) => line.includes('R15: '))).toContain('R15: 1122334455667788');
    expect(lines.find((line) => line.startsWith('CR2: '))).toContain('CR2: 0000000000000008');
    const trace = lines.slice(lines.indexOf(' <TASK>') + 1, lines.indexOf(' </TASK>'));
    expect(trace.filter((line) => /^ 0xffffffff81[0-9a-f]{6}$/.test(line))).toHaveLength(2);
    expect(lines.at(-1)).toBe('---[ end Kernel panic - not syncing: Fatal exception ]---');
    expect(stderr).toContain('null-pointer.gasm');
  });

  test.each([
    [0, 'divide error: 0000 [#1]'],
    [3, 'int3: 0000 [#1]'],
    [6, 'invalid opcode: 0000 [#1]'],
    [13, 'general protection fault: 0000 [#1]'],
    [14, 'BUG: unable to handle page fault for address: ffffc90000000000'],
  ])('vector %i begins with its name', (vector, headline) => {
    const { status, lines } = guest('exceptions.gasm', '-D', `WHICH=${vector}`);
    expect({ status, headline: lines[0] }).toEqual({ status: 4, headline });
  });

  test('an instruction fetch from nowhere says so, and that its bytes cannot be shown', () => {
    const { lines } = guest('exceptions.gasm', '-D', 'WHICH=14');
    expect(lines[1]).toBe('#PF: supervisor instruction fetch in kernel mode');
    expect(lines.some((line) => line.startsWith('Code: Unable to access opcode bytes at 0xffffc8ffffffffd6'))).toBe(
      true,
    );
  });
});

const hasNasm = spawnSync('nasm', ['-v']).status === 0;

describe.skipIf(!hasNasm)('nasm (skipped where nasm is absent)', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gvm-library-'));
  afterAll(() => rmSync(scratch, { recursive: true }));
  const sources = readdirSync(library).filter((name) => name.endsWith('.gasm'));

  test('there are sources', () => expect(sources.length).toBeGreaterThan(30));

  test.each(sources)('%s assembles without a warning, to the bytes of gvm asm', (name) => {
    const include = `${join(library, 'include')}/`;
    const object = (file: string): string => join(scratch, file);
    const source = join(library, name);
    execFileSync('nasm', ['-w+error', '-f', 'elf64', '-I', include, '-o', object('nasm.o'), source]);
    execFileSync(process.execPath, [gvm, 'asm', source, '-f', 'elf64', '-I', include, '-o', object('gvm.o')]);
    for (const section of ['.text', '.rodata', '.data']) {
      const bytes = (file: string): string => {
        const copy = object(`${file}.bin`);
        const dumped = spawnSync('objcopy', ['-O', 'binary', '--only-section', section, object(file), copy]);
        return dumped.status === 0 ? readFileSync(copy).toString('hex') : '';
      };
      expect(bytes('gvm.o')).toBe(bytes('nasm.o'));
    }
  });
});
