/** Errors as a user sees them: place, line, caret, remedy; one mistake, one error. */

import { expect, test } from 'vitest';
import { complaints } from './tools.ts';

/** Each case: a source and all that is said about it. */
const CASES: readonly (readonly [text: string, expected: string])[] = [
  [
    ' nop\n movv rax, rbx\n nop',
    'main.asm:2:2: error: unknown instruction `movv`; did you mean `mov`?\n    2 |  movv rax, rbx\n      |  ^~~~',
  ],
  [
    'start:\n\tout\tdx, ebx',
    [
      'main.asm:2:10: error: `out` does not take ebx as its second operand',
      '    2 | \tout\tdx, ebx',
      '      | \t   \t    ^~~',
      '   = note: forms: out imm8, al   out imm8, ax   out imm8, eax   out dx, al   out dx, ax   out dx, eax',
    ].join('\n'),
  ],
  [
    'a: mov eax, counter\n mov ecx, counter\n jmp counter',
    [
      'main.asm:1:13: error: symbol `counter` is not defined',
      '    1 | a: mov eax, counter',
      '      |             ^~~~~~~',
      '   = note: if another file defines it, declare it: extern counter',
    ].join('\n'),
  ],
  [
    'start: ret\n call strat',
    [
      'main.asm:2:7: error: symbol `strat` is not defined; did you mean `start`?',
      '    2 |  call strat',
      '      |       ^~~~~',
      '   = note: if another file defines it, declare it: extern strat',
    ].join('\n'),
  ],
  [
    'f: nop\n.loop: dec eax\n jnz .lop',
    'main.asm:3:6: error: symbol `.lop` is not defined; did you mean `.loop`?\n    3 |  jnz .lop\n      |      ^~~~',
  ],
  [
    'a: nop\na: nop\n jmp a',
    'main.asm:2:1: error: label `a` is defined twice\n    2 | a: nop\n      | ^\n   = note: first defined at main.asm:1',
  ],
  [
    ' mov rax, [rax',
    'main.asm:1:15: error: expected `]`, but the line ends\n    1 |  mov rax, [rax\n      |               ^',
  ],
  [
    ' add rax, 5 +',
    'main.asm:1:14: error: expected a value, but the line ends\n    1 |  add rax, 5 +\n      |              ^',
  ],
  [" db 'abc", "main.asm:1:5: error: this string has no closing '\n    1 |  db 'abc\n      |     ^~~~"],
  [' mov eax, 0zz', 'main.asm:1:11: error: `0zz` is not a number\n    1 |  mov eax, 0zz\n      |           ^~~'],
  [' dd 1 / 0', 'main.asm:1:9: error: division by zero\n    1 |  dd 1 / 0\n      |         ^'],
  [' db 300', 'main.asm:1:5: warning: byte data exceeds bounds [-w+number-overflow]\n    1 |  db 300\n      |     ^~~'],
  [
    ' rett',
    'main.asm:1:2: warning: `rett` alone on a line is a label without its colon; did you mean `ret`? [-w+label-orphan]\n    1 |  rett\n      |  ^~~~',
  ],
  [
    '%macro outport 2\n out %1, %2\n%endmacro\n outprt 1, al',
    'main.asm:4:2: error: unknown instruction `outprt`; did you mean `outport`?\n    4 |  outprt 1, al\n      |  ^~~~~~',
  ],
  [
    ' emms',
    [
      'main.asm:1:2: error: `emms` is an instruction that gvm leaves out',
      '    1 |  emms',
      '      |  ^~~~',
      '   = note: gvm has the general and system instructions of x86-64; compile C with -mgeneral-regs-only',
    ].join('\n'),
  ],
  [
    ' movaps xmm0, xmm1',
    [
      'main.asm:1:2: error: `movaps` is an instruction that gvm leaves out',
      '    1 |  movaps xmm0, xmm1',
      '      |  ^~~~~~',
      '   = note: gvm has the general and system instructions of x86-64; compile C with -mgeneral-regs-only',
    ].join('\n'),
  ],
  [
    ' jmp short far_away\n times 200 nop\nfar_away:',
    'main.asm:1:12: error: this target is 200 bytes away; a short branch reaches -128 to 127\n    1 |  jmp short far_away\n      |            ^~~~~~~~',
  ],
  [
    '%include "no.inc"\n mov eax, FROM_NO_INC',
    'main.asm:1:10: error: cannot find the include file `no.inc`\n    1 | %include "no.inc"\n      |          ^~~~~~~~',
  ],
  [
    '%inclde "x"',
    'main.asm:1:1: error: unknown preprocessor directive `%inclde`; did you mean `%include`?\n    1 | %inclde "x"\n      | ^~~~~~~',
  ],
  [
    '%macro twice 1\n mov eax, %1\n movx eax, %1\n%endmacro\n twice 5',
    [
      'main.asm:3:2: error: unknown instruction `movx`; did you mean `mov`?',
      '    3 |  movx eax, %1',
      '      |  ^~~~',
      '   = note: in macro `twice`, called at main.asm:5',
    ].join('\n'),
  ],
  [
    // One mistake in the body is one error, however often the macro is called.
    '%macro m 0\n movx\teax, 1\n%endmacro\n m\n m\n%rep 3\n m\n%endrep',
    'main.asm:2:2: error: unknown instruction `movx`; did you mean `mov`?\n    2 |  movx\teax, 1\n      |  ^~~~\n   = note: in macro `m`, called at main.asm:4',
  ],
  [
    ' xsave [rax]',
    'main.asm:1:2: error: `xsave` is an instruction that gvm leaves out\n    1 |  xsave [rax]\n      |  ^~~~~\n   = note: gvm has the general and system instructions of x86-64; compile C with -mgeneral-regs-only',
  ],
  [
    '[map all]',
    'main.asm:1:2: error: `map` is a directive that gvm leaves out\n    1 | [map all]\n      |  ^~~\n   = note: gvm asm --map FILE writes a map',
  ],
  [
    '%macro m 1\n mov al, %1\n%endmacro\n m ebx',
    // The operand came from the call, so the caret stands there.
    'main.asm:4:4',
  ],
  ['%macro m 2\n%endmacro\n m 1', 'main.asm:3:2: error: macro `m` takes 2 parameters\n    3 |  m 1\n      |  ^~~'],
  ['%if 1\n nop', 'main.asm:1:1: error: `%if` has no `%endif`\n    1 | %if 1\n      | ^~~'],
  ['%macro x 0\n nop', 'main.asm:1:1: error: `%macro` has no `%endmacro`\n    1 | %macro x 0\n      | ^~~~~~'],
  [
    ' mov eax, [rbx+rcx+rdx]',
    'main.asm:1:12: error: an address holds at most two registers\n    1 |  mov eax, [rbx+rcx+rdx]\n      |            ^~~~~~~~~~~',
  ],
  ['\ufffd: nop', 'main.asm:1:1: error: this is not UTF-8 text\n    1 | \ufffd: nop\n      | ^'],
  ['\0\0 nop', 'main.asm:1:1: error: unexpected character U+0000\n    1 | \ufffd\ufffd nop\n      | ^'],
  ['a equ b\nb equ a\n dd a', 'main.asm:3:5: error: this value cannot be computed\n    3 |  dd a\n      |     ^'],
  [
    'bits 32\n mov eax, 5',
    'main.asm:1:1: error: only 64-bit code is assembled: `bits 64`\n    1 | bits 32\n      | ^~~~~~~',
  ],
  [
    ' mov [rax], 5',
    'main.asm:1:6: error: operation size not specified: write byte, word, dword or qword before the memory operand',
  ],
  [
    '%assing i 5',
    'main.asm:1:1: error: unknown preprocessor directive `%assing`; did you mean `%assign`?\n    1 | %assing i 5\n      | ^~~~~~~',
  ],
  [
    '%macro outer 1\n inner %1\n%endmacro\n%macro inner 1\n mvo eax, %1\n%endmacro\n outer 5',
    [
      'main.asm:5:2: error: unknown instruction `mvo`; did you mean `mov`?',
      '    5 |  mvo eax, %1',
      '      |  ^~~',
      '   = note: in macro `inner`, called at main.asm:2',
      '   = note: in macro `outer`, called at main.asm:7',
    ].join('\n'),
  ],
  ['%pop', 'main.asm:1:1: error: `%pop` without `%push`\n    1 | %pop\n      | ^~~~'],
  ['%push a\n%pop b', 'main.asm:2:1: error: the innermost context is `a`, not `b`\n    2 | %pop b\n      | ^~~~'],
  [' jmp %$x', 'main.asm:1:6: error: `%$x` needs a context: `%push`\n    1 |  jmp %$x\n      |      ^~~'],
  ['endstruc', 'main.asm:1:1: error: `endstruc` without `struc`\n    1 | endstruc\n      | ^~~~~~~~'],
  [
    'struc s\n.a: dd 1\nendstruc',
    'main.asm:2:1: error: behind `absolute` and in a `struc` stands only room: resb and its kin\n    2 | .a: dd 1\n      | ^~~~~~~~',
  ],
  [
    '%use altregs',
    [
      'main.asm:1:6: error: `altregs` is no package; did you mean `altreg`?',
      '    1 | %use altregs',
      '      |      ^~~~~~~',
      '   = note: packages: altreg, smartalign',
    ].join('\n'),
  ],
  [
    'section .data algin=4',
    'main.asm:1:15: error: `algin` is no attribute of a section; did you mean `align`?\n    1 | section .data algin=4\n      |               ^~~~~~~',
  ],
  ['%clear', 'main.asm:1:1: error: `%clear` is a directive that gvm leaves out\n    1 | %clear\n      | ^~~~~~'],
  ['%line 100+1 other.c\n%error here', 'other.c:101:1: error: here\n    2 | %error here\n      | ^~~~~~'],
  ['%error stop here', 'main.asm:1:1: error: stop here\n    1 | %error stop here\n      | ^~~~~~'],
];

test.each(CASES)('%j', (text, expected) => {
  const said = complaints(text);
  expect(said).toHaveLength(1);
  if (expected.includes('\n')) expect(said[0]).toBe(expected);
  else expect(said[0]).toContain(expected);
});

test('after 20 errors it stops', () => {
  const said = complaints(' movv eax, 5\n'.repeat(1000));
  expect(said).toHaveLength(21);
  expect(said.at(-1)).toBe('error: stopped after 20 errors');
});

test('a very long line is shown around its fault', () => {
  const [said] = complaints(` db ${'1, '.repeat(3_000_000)}[`);
  expect(said!.length).toBeLessThan(600);
  expect(said).toContain('^');
});

test.each([
  [' nop // rest', 'a comment begins with `;`'],
  [' nop # rest', 'a comment begins with `;`'],
  [' mov %rsi, %rax', 'NASM writes registers without `%` and numbers without `$`, and the destination first'],
  [' mov al, byte ptr [rsi]', 'NASM has no `ptr`: write `byte [address]`'],
  ['a: mov rsi, offset a', 'NASM has no `offset`: a name alone is its address, and `[name]` what stands there'],
  ['a: mov ecx a', 'operands are separated by commas'],
  [' mov eax, 1 mov ebx, 2', 'a line holds one instruction'],
  ['a: lea rsi, a', '`a` is its address, a number; what stands there is `[a]`'],
  [' mov [rsi], [rdi]', 'one operand at most is in memory: load the other into a register first'],
])('what a beginner, or another assembler, writes: %s', (source, remedy) => {
  expect(complaints(source).join('\n').split('\n')).toContain(`   = note: ${remedy}`);
});

test('a local label that belongs to another label, since one has come between', () => {
  expect(complaints('f: nop\n.next: nop\nlodbs:\n loop .next')).toEqual([
    [
      'main.asm:4:7: error: symbol `.next` is not defined below `lodbs`, the last label in front of this line',
      '    4 |  loop .next',
      '      |       ^~~~~',
      '   = note: a local label belongs to the label in front of it; there is `f.next`',
    ].join('\n'),
  ]);
});

test('a constant whose name is taken is one mistake', () => {
  expect(complaints('a equ 1\na equ 2')).toHaveLength(1);
});

test.each(['st1: nop', 'XMM3: nop', 'k7 equ 5', 'to: nop', 'struc mm0'])(
  'names of registers that gvm has not are no labels: %s',
  (source) => {
    const word = source.replace(/^struc /, '').replace(/\W.*/, '');
    expect(complaints(source)[0]).toContain(`\`${word}\` is a word of NASM's, not a label; as one it is \`$${word}\``);
  },
);
