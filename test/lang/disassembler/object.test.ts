/** Objects and executables: the disassembly assembles to sections with the same bytes, and links to the same program. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { disassembleProgram } from '../../../lang/disassembler/object.ts';
import { type Program, programOfImage, programOfObject } from '../../../lang/disassembler/program.ts';
import { KERNEL_LAYOUT, link } from '../../../lang/object/link.ts';
import type { ObjectFile } from '../../../lang/object/object-file.ts';
import { readElf } from '../../../lang/object/read-elf.ts';
import { readObject } from '../../../lang/object/read-object.ts';
import { writeObject } from '../../../lang/object/write-object.ts';
import { inFolder } from '../../in-folder.ts';
import { has, object, run } from '../assembler/tools.ts';

const NO_SOURCE = () => undefined;

/** Sections with their bytes and what the linker does to them, as text. */
const essence = ({ sections }: Program) =>
  [...sections.values()].map(({ name, flags, align, size, data, fields }) => ({
    name,
    flags,
    align,
    size,
    data: Buffer.from(data).toString('hex'),
    fields: fields.map(
      ({ offset, type, target, addend }) =>
        `${offset} ${type} ${typeof target === 'number' ? sections.get(target)?.name : target}+${addend}`,
    ),
  }));

const reread = (file: ObjectFile) => readObject(writeObject(file, { debug: true }), 'again.o');

/** Section flags that NASM's language has no word for. */
const SAID = 0x2 | 0x1 | 0x4 | 0x400;

function same(file: ObjectFile): string {
  const program = programOfObject(file);
  const text = disassembleProgram(program, NO_SOURCE);
  const copy = essence(programOfObject(reread(object(text))));
  const own = essence(program).map((each) => ({ ...each, flags: each.flags & SAID }));
  expect(copy.map((each) => ({ ...each, flags: each.flags & SAID }))).toEqual(own);
  return text;
}

const SOURCE = `
 extern other, add
 extern gone:weak
 global start:function, $mov, table:data 16
 default rel
section .text
start: lea rsp, [stack_top]
 mov rax, message
 mov ecx, [other]
 mov edx, [abs message]
 mov byte [other+rbx*4], 5
 mov dword [table], 1000
 call $add
 call helper
 jmp other wrt ..plt
 cmp qword [gone], 7
.loop: dec eax
 jnz .loop
 ret
 db 0x2e, 0x90
section .init exec align=32
helper: jmp start
$mov: push message
 ret
section .rodata
message: db "some text", 10, 0, 1, 2, 3
 times 100 db 0
 dd message-$, other-$
table: dq start, helper+1, other-8, gone
section .data
 dd 5
section .bss
 resb 100
stack_top: resq 1
`;

test('an object of ours', () => {
  const text = same(reread(object(SOURCE)));
  for (const line of ['call $add', 'jmp near other wrt ..plt', 'extern gone:weak', 'global $mov', 'start:', 'dq start'])
    expect(text).toContain(line);
  expect(text).toMatch(/^ {8}db "some text", 10, 0 +; /m);
  expect(text).toMatch(/^ {8}db 0x2e, 0x90 +; [0-9a-f]{8} {2}nop$/m);
});

test('source lines stand above what they made', () => {
  const program = programOfObject(reread(object('f: nop\n ret ; done\\\n')));
  const text = disassembleProgram(program, (file, line) => `${file} line ${line} \\`);
  expect(text).toContain('f:\n        ; main.asm:1: main.asm line 1\n        nop');
  expect(text).toContain('        ; main.asm:2: main.asm line 2\n        ret');
});

test('an executable', () => {
  const linked = link(
    [
      object(
        `global startup_64\nstartup_64: nop\n mov rax, text\n jmp startup_64\nsection .rodata\ntext: db "text", 0`,
      ),
    ],
    [],
    KERNEL_LAYOUT,
  );
  if (!('image' in linked)) throw new Error('must link');
  const program = programOfImage(readElf(linked.image, 'image'));
  const text = disassembleProgram(program, NO_SOURCE);
  expect(text).toContain('startup_64:\n');
  expect(text).toMatch(/jmp short startup_64 +; ffffffff8100000b {2}eb f3/);
  const bytes = (of: Program) =>
    [...of.sections.values()].map(({ name, data }) => [name, Buffer.from(data).toString('hex')]);
  expect(bytes(programOfObject(object(text)))).toEqual(bytes(program));
});

const C = `
struct pair { int a; long b; };
static int table[4] = {1,2,3,4};
int weight = 5; int shared; extern int other; extern int ext(int);
static const char *names[] = {"one","two\\n"};
__attribute__((weak)) int maybe(int x) { return x * other + shared; }
const char *name(int i) { return names[i & 1]; }
int sum(int n) {
  int s = weight;
  for (int i = 0; i < n; i++) s += table[i] + ext(i) + maybe(i);
  switch (n) { case 1: return s; case 2: return ext(7); case 3: return s*5; case 4: return 99; case 5: return s-2; case 6: return s/7; }
  shared = s; return s;
}
void copy(struct pair *d, const struct pair *s, long n) { while (n--) { d->a ^= s->b; *d++ = *s++; } }
unsigned long mix(unsigned long x) { return __builtin_bswap64(x) ^ (x << 13 | x >> 51) ^ __builtin_popcountl(x); }
`;

describe.skipIf(!has('gcc'))("GCC's objects (need gcc)", () => {
  test.each([
    ['-O0'],
    ['-O2', '-g'],
    ['-Os', '-fno-pic'],
    ['-O3', '-march=x86-64-v3', '-mno-avx', '-ffunction-sections'],
    ['-O1', '-mcmodel=kernel', '-fno-pic', '-fcommon'],
  ])('%s %s %s %s', (...args) => {
    const compiled = inFolder((folder) => {
      writeFileSync(join(folder, 'main.c'), C);
      const common = [
        '-c',
        '-ffreestanding',
        '-mgeneral-regs-only',
        '-o',
        join(folder, 'main.o'),
        join(folder, 'main.c'),
      ];
      run('gcc', [...args, ...common]);
      return readFileSync(join(folder, 'main.o'));
    });
    const text = same(readObject(compiled, 'main.o'));
    const plain = text.split('\n').filter((line) => /^ {8}db 0x.*; [0-9a-f]{8} {2}[a-z]/.test(line));
    // The assembler of GCC pads with nops that have redundant prefixes, and takes other encodings of nothing else.
    expect(plain.filter((line) => !/ nop /.test(line))).toEqual([]);
    inFolder((folder) => {
      if (!has('nasm')) return;
      writeFileSync(join(folder, 'again.asm'), text);
      const { stderr } = spawnSync('nasm', ['-f', 'elf64', '-o', join(folder, 'again.o'), join(folder, 'again.asm')], {
        encoding: 'utf8',
      });
      expect(stderr.replace(/.*prefix-seg.*\n/g, '')).toBe('');
      const theirs = essence(programOfObject(readObject(readFileSync(join(folder, 'again.o')), 'again.o')));
      const bytes = (list: ReturnType<typeof essence>) => list.map(({ name, data }) => [name, data]);
      expect(bytes(theirs)).toEqual(bytes(essence(programOfObject(readObject(compiled, 'main.o')))));
    });
  });
});
