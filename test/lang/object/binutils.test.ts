/** Objects, archives and images as binutils and gdb see them. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readArchive, writeArchive } from '../../../lang/object/archive.ts';
import { KERNEL_LAYOUT, link } from '../../../lang/object/link.ts';
import { readElf } from '../../../lang/object/read-elf.ts';
import { readObject } from '../../../lang/object/read-object.ts';
import { symbolizer } from '../../../lang/object/symbolize.ts';
import { writeObject } from '../../../lang/object/write-object.ts';
import { inFolder } from '../../in-folder.ts';
import { has, object, run } from '../assembler/tools.ts';

const withBinutils = describe.skipIf(!has('ld') || !has('objdump') || !has('ar'));
if (!has('ld')) console.warn('binutils are not installed: comparisons with them are skipped');

const MAIN = [
  'global startup_64',
  'extern helper, counter, __start_table, __stop_table',
  'section .text',
  'startup_64: lea rsp, [rel stack_top]',
  ' mov rax, message',
  ' mov ecx, [counter]',
  ' call helper',
  ' jmp .end',
  ' lea rdi, [rel __start_table]',
  ' mov rsi, __stop_table',
  '.end: hlt',
  'section .rodata',
  'message: db "text", 0',
  ' align 8, db 0',
  ' dq startup_64, helper',
  ' dd message - $',
  'section table write',
  ' dq helper',
  'section .data',
  ' dq message',
  'section .bss',
  ' resb 100',
  'stack_top:',
].join('\n');

const HELPER = [
  'global helper, counter',
  'helper: inc dword [rel counter]',
  ' ret',
  'section .data',
  'counter: dd 7',
  ' dq helper',
].join('\n');

/** The same layout for ld. Padding between code is int3 there as here. */
const SCRIPT = `ENTRY(startup_64) SECTIONS {
  . = 0xffffffff81000000;
  .text : AT(ADDR(.text) - 0xffffffff80000000) { *(.text) } = 0xcccccccc
  . = ALIGN(4096); .rodata : { *(.rodata) }
  . = ALIGN(4096); .data : { *(.data) }
  table : { *(table) }
  . = ALIGN(4096); .bss : { *(.bss) }
}`;

withBinutils('ld and our linker', () => {
  test('give the same bytes at the same addresses', () => {
    const objects = [object(MAIN), object(HELPER)];
    const mine = link(objects, [], KERNEL_LAYOUT);
    if (!('image' in mine)) throw new Error(JSON.stringify(mine.diagnostics));
    const theirs = inFolder((folder) => {
      const at = (name: string) => join(folder, name);
      objects.forEach((each, i) => {
        writeFileSync(at(`${i}.o`), writeObject(each, { debug: false }));
      });
      writeFileSync(at('script'), SCRIPT);
      run('ld', ['-T', at('script'), '-o', at('image'), at('0.o'), at('1.o')]);
      return readElf(readFileSync(at('image')), 'ld');
    });
    const sections = (file: ReturnType<typeof readElf>) =>
      file.sections
        .filter((section) => (section.flags & 2) !== 0)
        .map(({ name, address, size, data }) => ({ name, address, size, data: Buffer.from(data).toString('hex') }));
    const image = readElf(mine.image, 'gvm');
    expect(sections(image)).toEqual(sections(theirs));
    expect(image.entry).toBe(theirs.entry);
    const symbols = (file: ReturnType<typeof readElf>) =>
      new Map(file.symbols.filter(({ name, type }) => name !== '' && type < 3).map(({ name, value }) => [name, value]));
    const expected = symbols(theirs);
    for (const [name, value] of symbols(image)) expect([name, value]).toEqual([name, expected.get(name)]);
    expect(image.segments.map(({ virtualAddress, physicalAddress }) => virtualAddress - physicalAddress)).toEqual(
      image.segments.map(() => 0xffffffff80000000n),
    );
  });

  test('readelf has nothing to complain about', () => {
    const result = link([object(MAIN), object(HELPER)], [], KERNEL_LAYOUT);
    if (!('image' in result)) throw new Error('must link');
    inFolder((folder) => {
      for (const [name, bytes] of [
        ['image', result.image],
        ['object', writeObject(object(MAIN), { debug: true })],
      ] as const) {
        writeFileSync(join(folder, name), bytes);
        const said = run('sh', ['-c', `readelf -aW ${join(folder, name)} 2>&1`]);
        expect(said).not.toMatch(/warning|error/i);
      }
    });
  });
});

withBinutils('archives', () => {
  const members = [
    { name: 'helper.o', bytes: writeObject(object(HELPER), { debug: true }) },
    { name: 'a-member-with-a-long-name.o', bytes: writeObject(object('global unused\nunused: ret'), { debug: true }) },
  ];

  test('ar and nm read ours', () => {
    inFolder((folder) => {
      const path = join(folder, 'lib.a');
      writeFileSync(path, writeArchive(members));
      expect(run('ar', ['t', path])).toBe('helper.o\na-member-with-a-long-name.o\n');
      expect(run('nm', ['-s', path])).toContain('counter in helper.o\nunused in a-member-with-a-long-name.o');
    });
  });

  test("we read ar's, and pull in only what is wanted", () => {
    const archive = inFolder((folder) => {
      for (const { name, bytes } of members) writeFileSync(join(folder, name), bytes);
      run('ar', ['rcs', join(folder, 'lib.a'), ...members.map(({ name }) => join(folder, name))]);
      return readArchive(readFileSync(join(folder, 'lib.a')), 'lib.a');
    });
    expect(archive.members.map(({ name }) => name)).toEqual(members.map(({ name }) => name));
    const result = link([object(MAIN)], [archive], KERNEL_LAYOUT);
    if (!('image' in result)) throw new Error('must link');
    const lookup = symbolizer(result.image, 'image');
    expect(lookup.address('helper')).toBeDefined();
    expect(lookup.address('unused')).toBeUndefined();
  });
});

withBinutils('line numbers', () => {
  const text =
    'global startup_64\n\nstartup_64:\n nop\n%macro two 0\n nop\n nop\n%endmacro\n two\n\n\n\n call f\n ret\nsection .init exec\nf: ret';
  const result = link([object(text)], [], KERNEL_LAYOUT);

  test.skipIf(!has('nasm') || !has('readelf'))('-g has the lines that NASM has, data among code with them', () => {
    const source =
      'section .text\nf: mov eax, 1\n db 0x0f, 0x28, 0xc1\n dd 0x90909090\n times 2 nop\n ret\nsection .data\n db 5\n';
    inFolder((folder) => {
      const at = (name: string) => join(folder, name);
      writeFileSync(at('main.asm'), source);
      writeFileSync(at('ours.o'), writeObject(object(source), { debug: true }));
      run('sh', ['-c', `cd ${folder} && nasm -f elf64 -g -F dwarf -o theirs.o main.asm`]);
      const lines = (name: string) =>
        [...run('readelf', ['--debug-dump=decodedline', at(name)]).matchAll(/^main\.asm +(\d+|-) +(\w+)/gm)].map(
          ([, line, address]) => `${line} at ${address}`,
        );
      expect(lines('ours.o')).toEqual(lines('theirs.o'));
      expect(lines('ours.o')).toHaveLength(6);
    });
  });

  test('objdump resolves every instruction as we do', () => {
    if (!('image' in result)) throw new Error('must link');
    const listing = inFolder((folder) => {
      writeFileSync(join(folder, 'image'), result.image);
      return run('objdump', ['-dl', join(folder, 'image')]);
    });
    const lookup = symbolizer(result.image, 'image');
    let [place, checked] = ['', 0];
    for (const line of listing.split('\n')) {
      if (/^main\.asm:\d+/.test(line)) place = line.split(' ')[0]!;
      const address = /^ {0,4}([0-9a-f]{8,16}):\t/.exec(line);
      if (address === null || line.includes('int3')) continue;
      const found = lookup.symbolize(BigInt(`0x${address[1]}`))!;
      expect(`${found.file}:${found.line}`).toBe(place);
      checked++;
    }
    expect(checked).toBe(6);
  });

  test('gdb knows the line of a symbol', ({ skip }) => {
    if (!has('gdb')) skip('gdb is not installed');
    if (!('image' in result)) throw new Error('must link');
    const said = inFolder((folder) => {
      writeFileSync(join(folder, 'image'), result.image);
      return run('gdb', [
        '-batch',
        '-nx',
        '-ex',
        'info line *startup_64',
        '-ex',
        'info line *f',
        join(folder, 'image'),
      ]);
    });
    expect(said).toContain('Line 4 of "main.asm"');
    expect(said).toContain('Line 16 of "main.asm"');
  });

  test('GCC objects link here, with their lines', ({ skip }) => {
    if (!has('gcc')) skip('gcc is not installed');
    const compiled = inFolder((folder) => {
      const source =
        'static int table[4] = {1,2,3,4};\nint weight = 5;\nint shared;\nint sum(int n)\n{\n  int s = weight;\n  for (int i = 0; i < n; i++)\n    s += table[i];\n  shared = s;\n  return s;\n}\n';
      writeFileSync(join(folder, 'sum.c'), source);
      const args = [
        '-c',
        '-g',
        '-O1',
        '-ffreestanding',
        '-mgeneral-regs-only',
        '-mcmodel=kernel',
        '-fno-pic',
        '-fcommon',
        '-fcf-protection=none',
      ];
      run('gcc', [...args, '-o', join(folder, 'sum.o'), join(folder, 'sum.c')]);
      return readObject(readFileSync(join(folder, 'sum.o')), 'sum.o');
    });
    const linked = link(
      [object('global startup_64\nextern sum\nstartup_64: mov edi, 4\n call sum\n ret'), compiled],
      [],
      KERNEL_LAYOUT,
    );
    if (!('image' in linked)) throw new Error(JSON.stringify(linked.diagnostics));
    const lookup = symbolizer(linked.image, 'image');
    const sum = lookup.symbolize(lookup.address('sum')!)!;
    const address = lookup.address('sum')! + 10n;
    const theirs = inFolder((folder) => {
      writeFileSync(join(folder, 'image'), linked.image);
      return run('addr2line', ['-e', join(folder, 'image'), address.toString(16)]);
    });
    expect(sum.file).toMatch(/sum\.c$/);
    expect(`sum.c:${lookup.symbolize(address)!.line}`).toBe(/sum\.c:\d+/.exec(theirs)![0]);
  });
});
