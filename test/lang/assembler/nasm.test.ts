/** Whatever is accepted here, NASM 2.16 accepts, and the bytes are equal: `-f bin`, default optimisation. */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ObjectFile, ObjectSection } from '../../../lang/object/object-file.ts';
import { readObject } from '../../../lang/object/read-object.ts';
import { inFolder } from '../../in-folder.ts';
import { flat, has, nasm, object, run } from './tools.ts';

const nasmIsHere = has('nasm');
const withNasm = describe.skipIf(!nasmIsHere);
if (!nasmIsHere) console.warn('nasm is not installed: comparisons with it are skipped');

const CORPUS: Readonly<Record<string, string>> = {
  'numbers in every notation':
    'dd 100, 0x1f, 1fh, $1f, 0b101, 101b, 0y11, 11y, 0o17, 17o, 17q, 0d9, 9d, 0t8, 8t, 1_000, 0x_ff, 0b1h, 0',
  'strings and escapes':
    'db "a\'b", \'c"d\', `e\\n\\t\\x41\\101\\u263a\\\\\\``, 0\ndw "abc", "ab"\ndd "abcde"\ndq "x", "12345678"\ndb "é"',
  'strings as numbers': 'mov eax, "abcd"\nmov rax, "abcdefgh"\ncmp al, "x"\ndd "ab" + 1',
  'operators and precedence':
    'dq 1+2*3, (1+2)*3, 7/2, -7/2, -7//2, 7 % 3, -7 %% 3, 1<<4, 256>>4, -1>>60, -1>>>60, 5&3, 5|3, 5^3, ~5, !5, !0, -5, +5\ndq 1<2, 2<=2, 3>4, 4>=4, 1==1, 1=2, 1!=2, 1<>1, 1&&0, 1||0, 1^^1, 1<=>2, 2<=>1\ndq 1 ? 2 : 3, 0 ? 2 : 1 ? 4 : 5, 1+1 == 2 ? 10 : 20, 2|1^3&7<<1',
  'labels, local labels, $ and $$':
    'a: jmp .x\n.x: nop\nb nop\n.x: jmp a.x\njmp .x\n..@c: nop\njmp b.x\ndd $-$$, $-a, ..@c - b\ntimes 3 db $-$$\n$rax: dd $rax - a',
  'jumps reach 127 bytes short and more near':
    'a: jz b\ntimes 127 nop\nb: jnz a\njmp c\ntimes 128 nop\nc: jmp a\ncall a\nloop c\njrcxz c\njmp short c\njmp near c\njmp strict near c',
  'a jump that grows pushes others out of reach':
    'a:\n%rep 40\njz near_end\ntimes 1 nop\n%endrep\njmp a\n%rep 30\njnz end\nmov eax, [rbx+100]\n%endrep\nnear_end: nop\nend: ret',
  'forward references decide sizes late':
    'mov eax, [rbx + x]\nadd rcx, x\nlea rdi, [rel later]\nmov rdx, x\npush x\nresb x\nimul eax, ebx, x\nlater: nop\nx equ 5',
  'immediates in their shortest form':
    'add eax, 127\nadd eax, 128\nadd rax, -128\nadd rax, 0xffffffff80000000\nmov rax, 0xffffffff\nmov rax, -1\nmov rax, 0x123456789abcdef0\nadd eax, strict dword 1\npush 1\npush 128\npush strict dword 1\npush word 1\nand dword [rax], byte 3\ntest al, 1\nxor ebx, 0xffffffff',
  addresses: [
    'mov eax, [rax]\nmov eax, [rsp]\nmov eax, [rbp]\nmov eax, [r12]\nmov eax, [r13]\nmov eax, [rax+rcx*8]\nmov eax, [rcx*8+rax]',
    'mov eax, [rax+rbx]\nmov eax, [rbx+rax]\nmov eax, [rsp+rax]\nmov eax, [rax+rsp]\nmov eax, [rax*2]\nmov eax, [nosplit rax*2]',
    'mov eax, [rax*3]\nmov eax, [rax*5+7]\nmov eax, [rax*9-1]\nmov eax, [rax+rax]\nmov eax, [rax*4]\nmov eax, [rcx*1+rax]',
    'mov eax, [rax+127]\nmov eax, [rax+128]\nmov eax, [byte rax+1]\nmov eax, [dword rax+1]\nmov eax, [0x1234]\nmov eax, [rax-rax+rbx]',
    'mov eax, [qword 0x123456789]\nmov eax, [fs:0x28]\nmov rax, [gs:rax+8]\nmov eax, [eax+ecx*2]\nmov eax, [a32 5]\nlea r8, [r9+r10*4-0x1000]',
    'mov eax, [rbx+2*(3+1)]\nmov eax, [4*rcx+rdx+8]\nmov eax, [(rcx+1)*4]',
  ].join('\n'),
  'a sum in an address makes NASM forget which register stood first': [
    'nop\nx equ 5\ny: nop\nz: nop',
    ...(
      'y+4 2+3 (3-1) 8*3 y 0 5-5 y-y z-y x+4 (1+2)*4 y+0 z-1 z-y+1 -(-4)+4 -4-4 later+4 $-$$ (1&3)+1 ~1+3 +1 -1 ' +
      "'a' 'a'+1"
    )
      .split(' ')
      .flatMap((each) => [
        `rsi+rdx+${each}`,
        `${each}+rsi+rdx`,
        `rsi*1+rdx+${each}`,
        `rsi+rdx*1+${each}`,
        `rsi+rdx*2+${each}`,
      ])
      .map((address) => `mov eax, [${address}]`),
    'mov eax, [rax+r8+y+4]\nmov eax, [r8+r10+y+4]\nmov eax, [rbp+rax+2+3]\nmov eax, [rsp+rax+2+3]\nmov eax, [rax+rsp+2+3]',
    'lea rdx, [nosplit rdi+rdi*1+y]\nlea rdx, [nosplit rdi*2+y]\nlea rdx, [nosplit rdi*2+y+4]\nlea rdx, [nosplit rdi*2]\nlea rdx, [nosplit rdi*1+2+3]',
    'mov eax, [rsi+rsi+rdx]\nmov eax, [EAX+R8D+1+1]\nmov eax, [r15+r14+1+1]\nlater: nop',
  ].join('\n'),
  'empty sections that are aligned': 'nop\nsection .rodata align=16\nsection .data align=64\nsection .x align=8\ndb 1',
  'default rel, rel and abs':
    'mov eax, [x]\nmov eax, [rel x]\ndefault rel\nmov eax, [x]\nmov eax, [abs x]\nmov eax, [fs:x]\nmov eax, [x+rbx]\nmov eax, [rel x + 4]\nmov eax, [0x1000]\ndefault abs\nmov eax, [x]\ncmp dword [rel x], 5\nmov qword [rel x], 0x1234\nx: dd 1',
  'nosplit and a register that is multiplied by one':
    'lea r15, [nosplit rax*1+2]\nlea r15, [nosplit rax*1]\nlea r15, [nosplit rax*1+x]\nx: lea r15, [nosplit 2+rax*1]\nlea r15, [nosplit rax+2]\nlea r15, [nosplit rsp*1]\nlea r15, [nosplit r12*1+1]\nlea r15, [nosplit rax*1+1+2]',
  'data of all sizes':
    'db 1, -1, 255, 256-1\ndw 1, -1\ndd 1, -1, 1.5\ndq -1, 1.5, -2e3\ndb ?, 2\ndb 2 dup (1, 2), 3\ndw 3 dup (?)\nresb 3\nresq 1\ndb 1,\n',
  times:
    'times 5 db 1, 2\ntimes 3 mov eax, 5\ntimes 64-($-$$) db 0xcc\na: times 20 db 9\ntimes 2 jmp a\nx: times 0 nop',
  align: 'db 1\nalign 8\ndb 2\nalign 16, db 0xaa\ndb 3\nalignb 8\nnop\nalign 4',
  'sections in flat output':
    'org 0x7c00\nmov eax, [d]\nsection .data\nd: dd 1, b\nsection .bss\nb: resd 4\nsection .text\nmov rdi, b\nsection .rodata align=16\ndq d, $$\nsection .data\ndb 5',
  prefixes:
    'rep movsb\nrepne scasb\nlock add [rax], eax\no16 nop\nlock cmpxchg [rdi], rcx\nrep stosq\nrepe cmpsb\nlock\ninc dword [rax]',
  'continuation and comments':
    'mov eax, \\\n  5 ; five\ndb 1, \\\n   2, 3 ; a comment \\\n db 9\n ; only a comment\n db ";", 4',
  defines:
    '%define A 5\n%define B (A+1)\n%define ADD(x, y) ((x)+(y))\n%define SUB(x, y) ((x)-(y))\n%define EMPTY\n%define A 7\n%idefine Foo 3\n%xdefine C A\n%define A 8\ndd A, B, C, fOO, ADD(1, SUB(2, 3)), ADD (4, 5) \n',
  'undef and ifdef':
    '%define X 1\n%ifdef X\ndb 1\n%else\ndb 2\n%endif\n%undef X\n%ifndef X\ndb 3\n%elifdef Y\ndb 4\n%endif\n%if 0\n%if 1\ndb 5\n%else\n%endif\n%elif 2 > 1\ndb 6\n%else\ndb 7\n%endif',
  'assign and rep': '%assign i 0\n%rep 5\ndb i\n%assign i i+1\n%if i == 4\n%exitrep\n%endif\n%endrep\ndb i*2',
  macros:
    '%macro push2 2\npush %1\npush %2\n%endmacro\n%macro loop5 1-2 7\n%%again: add eax, %1\nadd ebx, %2\njmp %%again\n%endmacro\n%macro many 1-*\n%rep %0\ndb %1\n%rotate 1\n%endrep\n%endmacro\npush2 rax, rbx\nloop5 5\nloop5 5, 6\nmany 1, 2, 3\n%macro text 2+\ndb %1, %2\n%endmacro\ntext 1, 2, 3\n%macro cc 1\nj%-1 %%o\nj%+1 %%o\n%%o:\n%endmacro\ncc z\n%macro lab 1\nlabel_%1: dd label_%1 - $$\n%endmacro\nlab x\nlab 5\nmany {1, 2}, 3',
  'a label before a macro call': '%macro two 0\nnop\nnop\n%endmacro\na: two\nb: two\ndb b-a',
  'conditions of all kinds':
    '%macro m 1\n%ifnum %1\ndb 1\n%elifstr %1\ndb 2\n%elifid %1\ndb 3\n%endif\n%ifidn %1, abc\ndb 4\n%endif\n%ifidni %1, ABC\ndb 5\n%endif\n%ifempty %1\ndb 6\n%endif\n%ifnidn %1, abc\ndb 7\n%endif\n%endmacro\nm 5\nm "x"\nm abc\n%ifmacro m 1\ndb 8\n%endif',
  pasting: '%define a_1 5\n%define N 1\n%define P(x) a_ %+ x\ndb P(1)\n%define Q foo%+bar\nfoobar: db Q - $$',
};

withNasm('flat bytes', () => {
  for (const [title, text] of Object.entries(CORPUS)) {
    test(title, () => {
      expect(flat(text)).toBe(Buffer.from(nasm('bin', text)!).toString('hex'));
    });
  }

  test('includes, from the place that says so', () => {
    const files = { 'a.inc': '%define X 5\n%include "b.inc"\n', 'b.inc': 'db X\n' };
    const text = '%include "a.inc"\ndb X+1';
    expect(flat(text, files)).toBe(Buffer.from(nasm('bin', text, files)!).toString('hex'));
  });
});

withNasm('both refuse', () => {
  const refused = [
    'mov eax, [rax+rbx+rcx]',
    'mov eax, [rax*7]',
    'mov eax, undefined_name',
    'mov rax, rbx, rcx',
    'mov [rax], 5',
    'add al, ebx',
    'db 1 +',
    'db "abc',
    'a: nop\na: nop',
    'dd 1/0',
    'jmp short far\ntimes 300 nop\nfar:',
    'mov eax, [rsp*2]',
    'times -1 nop',
    '%if 1\nnop',
    '%endif',
    '%macro a 1\n%endmacro\n%else',
    'movv eax, 5',
    'mov eax, (5',
    '%error no',
    'lea eax, ebx',
    'times x nop\nx equ 5',
    'do 5',
    'dd 7%3',
    '%define ADD(x, y) ((x)+(y))\ndd ADD(1, ADD(2, 3))',
    'mov eax, [rax+rcx*2+rax]',
  ];
  test.each(refused)('%s', (text) => {
    expect(nasm('bin', text)).toBeUndefined();
    expect(() => flat(text)).toThrow();
  });
});

/** Sections and relocations in words, without what differs by choice: symbol order and debug sections. */
function contents(file: ObjectFile): Record<string, object> {
  const name = (symbol: number) => {
    const found = file.symbols[symbol];
    return found === undefined ? '' : found.name || file.sections[Number(found.section)]!.name;
  };
  const describeSection = (section: ObjectSection) => ({
    bytes: Buffer.from(section.data).toString('hex'),
    size: section.size,
    type: section.type,
    flags: section.flags,
    align: section.align,
    relocations: section.relocations.map((each) => ({ ...each, symbol: name(each.symbol) })),
  });
  const kept = file.sections.filter((section) => section.size > 0);
  return Object.fromEntries(kept.map((section) => [section.name, describeSection(section)]));
}

const ELF: Readonly<Record<string, string>> = {
  'references to sections, labels and externals':
    'global start\nextern foo\nstart: mov rax, msg\nmov eax, msg\nadd rax, msg\ncall foo\njmp foo\nlea rsi, [rel msg]\nmov rbx, [msg]\nmov rbx, [foo+8]\ncall inside\npush msg\njz other\ndq msg, start, foo\ndd msg - $, foo - $\ndq foo - $$\ndw msg\ndb foo\ninside: ret\ncall foo wrt ..plt\ncmp dword [rel foo], 5\nmov qword [rel msg], foo\nsection .data\ndb 1\nmsg: db 5\nsection mine exec align=32\nother: dd other-$$\nsection .bss\nresb 10',
  'section attributes':
    'section .rodata align=64\ndb 1\nsection .data.x write\ndb 2\nsection notes noalloc noexec nowrite\ndb 3\nsection .init nobits write\nresb 4\nsection .text\nalign 32\nnop',
};

withNasm('objects', () => {
  test.each(Object.keys(ELF))('%s', (title) => {
    const theirs = readObject(nasm('elf64', ELF[title]!)!, 'nasm');
    expect(contents(object(ELF[title]!))).toEqual(contents(theirs));
  });

  test('global symbols, their types and values', () => {
    const text =
      'global f:function, d:data hidden, v\nf: nop\n.l: nop\nv equ 5\nlocal: ret\nextern e, unused\ncall e\nsection .data\nd: dq 1\ncommon c 16:8\ndq c';
    const names = (file: ObjectFile) =>
      file.symbols
        .filter((symbol) => symbol.name !== '' && symbol.type !== 4)
        .map(({ section, ...rest }) => ({
          ...rest,
          reference: 0,
          section: typeof section === 'number' ? file.sections[section]!.name : section,
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(names(readObject(nasm('elf64', text)!, 'nasm'))).toEqual(names(object(text)));
  });
});

const root = join(import.meta.dirname, '../../..');

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:gasm|asm)$/.test(name))
    .map((name) => join(folder, name))
    .sort();
}

withNasm('every program and library source', () => {
  const includes = join(root, 'lang/library/include');
  test.each([...sources('lang/library'), ...sources('programs')])('%s', (name) => {
    const path = join(root, name);
    const theirs = inFolder((folder) => {
      const output = join(folder, 'o');
      run('nasm', ['-f', 'elf64', '-w-all', `-I${dirname(path)}/`, `-I${includes}/`, '-o', output, path]);
      return readObject(readFileSync(output), name);
    });
    const mine = object(readFileSync(path, 'utf8'), {
      includePath: (wanted) => {
        for (const folder of [dirname(path), includes]) {
          const found = join(folder, wanted);
          if (statSync(found, { throwIfNoEntry: false })?.isFile()) {
            return { name: found, text: readFileSync(found, 'utf8') };
          }
        }
        return undefined;
      },
    });
    expect(contents(mine)).toEqual(contents(theirs));
  });
});
