/** Calls of the same shape share a plan: nobody may notice but the clock. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { casesOf, corpusFiles } from '../language/corpus.ts';
import { outcome } from './tools.ts';

/** What comes out with calls remembered, and without. */
const outcomeOf = (text: string, isRemembered: boolean, lineTable = false): string =>
  outcome(text, isRemembered, {
    includePath: (name) => (name === 'again.inc' ? { name, text: 'again 1\n' } : undefined),
    lineTable,
  });

/** What both ways give. */
function same(text: string): string {
  const remembered = outcomeOf(text, true);
  expect(remembered, text).toBe(outcomeOf(text, false));
  expect(outcomeOf(text, true, true), text).toBe(outcomeOf(text, false, true));
  return remembered;
}

test.each(corpusFiles)('the cases of %s come out the same', (file) => {
  for (const { source, title } of casesOf(file)) {
    expect(outcomeOf(source, true), title).toBe(outcomeOf(source, false));
    // Once more in the same words: what the first time defined is there already.
    same(`${source}\n${source}`);
  }
});

describe('a call in the words of another', () => {
  const twice = (definition: string, call: string) => same(`${definition}\n${call}\n${call}\n nop\n${call}\n`);

  test('branches to its own labels, those of calls in it, and around data', () => {
    const inner =
      '%macro inner 1\njz %%out\n%%in: loop %%in\njmp %%out\ndb %1, "text"\n%%out: add rax, %1\n%endmacro\n';
    expect(
      twice(`${inner}%macro m 1\n%%a: inner %1\ninner 7\njmp near %%a\njrcxz %%a\ncall %%a\n%endmacro`, 'm 5'),
    ).toMatch(/^74/);
  });

  test('too long for a short branch to be certain', () => {
    for (const length of [100, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130]) {
      twice(`%macro m 1\n%%a: jz %%b\njz %%b\n%rep %1\nnop\n%endrep\njmp %%a\n%%b:\n%endmacro`, `m ${length}`);
    }
  });

  test('a label that the source names by its full name', () => {
    const definition = '%macro m 1\njz %%out\nadd rax, %1\n%%out:\n%endmacro\n';
    for (const use of [
      'jmp ..@1.out',
      '..@2.out: nop',
      'mov eax, ..@9.out',
      '%macro n 0\ndq ..@0.out\n%endmacro\nn\nn',
    ]) {
      same(`${definition} m 1\n m 1\n m 1\n${use}\n`);
      same(`${use}\n${definition} m 1\n m 1\n m 1\n`);
    }
  });

  test('what is counted, asked of the surroundings, or defined', () => {
    twice('%assign i 0\n%macro m 0\n%assign i i+1\ndb i\n%endmacro', ' m');
    twice('%macro m 0\ndb __?LINE?__\n%endmacro', ' m');
    twice('%macro m 0\ndq $, $$\n%endmacro', ' m');
    twice('%macro m 1\ndb %1\n%endmacro', ' m __?LINE?__');
    twice('%macro m 0\n%push c\n%define %$x 3\n%$y: db %$x\n%pop\n%endmacro', ' m');
    twice('%macro m 0\n%ifndef seen\n%define seen\ndb 1\n%else\ndb 2\n%endif\n%endmacro', ' m');
    twice('%macro m 0\n%ifctx c\ndb 1\n%else\ndb 2\n%push c\n%endif\n%endmacro', ' m');
    twice('%macro m 0\n%ifmacro n\ndb 1\n%else\ndb 2\n%macro n 0\n%endmacro\n%endif\n%endmacro', ' m');
    twice('%macro m 0\n%if %isdef(x)\ndb 1\n%else\n%define x\n%endif\n%endmacro', ' m');
  });

  test('a meaning that changes between the calls', () => {
    const m = '%macro m 1\n%if %1 > K\nadd eax, R\n%else\nn %1\n%endif\n%endmacro\n%macro n 1\ndb %1\n%endmacro\n';
    const define = '%define K 4\n%define R ebx\n';
    same(
      `${define}${m} m 3\n m 5\n m 3\n m 5\n%define K 2\n m 3\n m 5\n m 3\n%idefine r ecx\n%undef R\n m 3\n m 5\n m 5`,
    );
    same(`${define}${m} m 3\n m 3\n%unmacro n 1\n%define n(x)\n%macro n 1\ndw %1\n%endmacro\n m 3\n m 3`);
    same(`${define}${m} m 3\n m 3\n%define m nop ;\n m 3\n`);
    same(`${define}${m} m 5\n m 5\n%macro add 2\ndb 1\n%endmacro\n m 5\n m 5`);
  });

  test('where no bytes may stand', () => {
    const definition = '%macro m 0\nnop\nadd eax, 1\n%endmacro';
    twice(`${definition}\nm\nsection .bss`, ' m');
    twice(`${definition}\nm\nabsolute 100`, ' m');
    expect(same(`${definition}\n m\nstruc s\n m\nendstruc\n m`)).toContain('stands only room');
  });

  test('where its macro is being expanded', () => {
    expect(
      same(
        '%macro again 1\ndb %1\n%endmacro\nagain 1\nagain 1\n%macro again 2\n%include "again.inc"\n%endmacro\nagain 1, 2',
      ),
    ).toBe('010101');
    same('%macro again 1\n%if %1 > 1\n%include "again.inc"\n%endif\ndb %1\n%endmacro\nagain 1\nagain 1\nagain 2');
  });

  test('in a body, behind a false condition, on a continued line, at line ends of other kinds', () => {
    const definition = '%macro m 1-2 9\ndb %1, %2\n%endmacro\n';
    expect(
      same(`${definition} m 1\n m 1\n%if 0\n m 1\n%endif\n%rep 2\n m 1\n%endrep\n m \\\n1\n m \\\n1\n m 1 ; x`),
    ).toBe('0109'.repeat(7));
    expect(same(`${definition} m 1\r\n m 1\r\n m 1\r m 2\r\n m 1\r m 2\r\n m 1\r\r\n m 1\r\r\n`)).toBe(
      '0109010901090209010902090109' + '0109',
    );
  });

  test('warnings that are hidden for a while', () => {
    same(
      '[warning -number-overflow]\n%macro m 1\nmov al, %1\n%endmacro\n m 300\n m 300\n[warning +number-overflow]\n m 300\n m 300',
    );
    same(
      '[warning -pp-rep-negative]\n%macro m 1\n%rep %1\n%endrep\n%endmacro\n m -1\n m -1\n[warning +pp-rep-negative]\n m -1\n m -1',
    );
  });
});

describe('a call of the same shape as another', () => {
  const values = [
    2 ** 40,
    0,
    1,
    2,
    3,
    8,
    127,
    128,
    129,
    255,
    256,
    32767,
    65408,
    65535,
    65536,
    0x7fffffff,
    0x80000000,
    2 ** 40,
  ];
  const each = (definition: string, call: (value: number | string) => string) =>
    same(
      `${definition}\n${[...values, ...values.map((value) => `-${value}`), '0x7f', '80h', "'a'", '1.5'].map(call).join('\n')}`,
    );

  test('values in every field, at the ends of what each form takes', () => {
    const body = [
      'add eax, %1',
      'add ax, %1',
      'add rcx, %1',
      'mov rdx, %1',
      'mov bl, %1',
      'mov [rsp + %1], eax',
      'mov [rax*2 + 8*(%1) + 4], %1',
      'mov byte [%1], %1',
      'imul esi, [rbp - %1], %1 & 0xff',
      'shl eax, %1',
      'push %1',
      'lea rax, [rbx*%1]',
      'lea r13, [r13 + %1]',
      'db %1',
      'dd %1, %1*2',
      'mov rax, [qword %1]',
      'int %1',
      'enter %1, %1',
      'times %1 & 3 nop',
      'jmp %1',
      'mov eax, 3 - %1',
      'mov eax, %1 / 3 % 5',
      'mov eax, ~%1 << 4',
    ];
    for (const line of body) each(`%macro m 1\n${line}\n%endmacro`, (value) => ` m ${value}`);
  });

  test('registers in every place', () => {
    const registers = [
      'rax',
      'rcx',
      'rsp',
      'rbp',
      'rsi',
      'r8',
      'r12',
      'r13',
      'eax',
      'r9d',
      'ax',
      'al',
      'ah',
      'sil',
      'cs',
      'cr0',
      'RAX',
      'r8l',
    ];
    for (const line of [
      'add %1, 8',
      'mov [%1 + 4], eax',
      'mov [rax + %1*2], %1',
      'push %1',
      'xchg %1, rax',
      'mov al, [%1 + %1]',
      'shl ebx, %1',
      'mov rax, [fs:%1]',
      'mov rax, [%1:rax]',
      'mov %1, %1',
      'bswap %1',
    ]) {
      same(`%macro m 1\n${line}\n%endmacro\n${registers.flatMap((name) => [` m ${name}`, ` m ${name}`]).join('\n')}`);
    }
  });

  test('conditions that look at the words', () => {
    for (const condition of [
      '%if %1 > 100',
      '%if %1 & 1',
      '%if -%1 < 0',
      '%ifidn %1, 8',
      '%ifidni %1, 0x7F',
      '%ifnum %1',
      '%ifid %1',
      '%if 1 / %1 = 0',
      "%if %1 = 'a'",
      '%if %1 = 1.5',
      '%ifdef k%1',
      '%if %1 > 100 && %1 < 300 || %1 = 0',
      '%ifempty %1',
      '%if %eval(%1) = 8',
      '%if $ > %1',
    ]) {
      each(
        `%define k8 1\n%macro m 1\n${condition}\n mov eax, %1\n%else\n nop\n%endif\n%endmacro`,
        (value) => ` m ${value}`,
      );
    }
  });

  test('words that become part of others, or are counted, measured, quoted', () => {
    for (const line of [
      'k%1: nop',
      'db "%1"',
      '%define x%1 5\n db x%1',
      '%rep %1 & 3\n nop\n%endrep',
      '%rotate %1\n db %1',
      '%assign i %1\n db i',
      '%defstr s %1\n db s',
      'db %str(%1)',
      'db quoted(%1)',
      'db worked(%1 + 1)',
      'db %strlen(%1)',
      'db 1%1',
      'db %1 %+ 1',
      'db %[%1]',
    ]) {
      each(`%define quoted(&a) a\n%define worked(=a) a\n%macro m 1-2 7\n${line}\n%endmacro`, (value) => ` m ${value}`);
    }
  });

  test('the names of registers may be those of macros', () => {
    const calls = ' m rax\n m rbx\n m rcx\n m rcx\n';
    const m = '%macro m 1\n add %1, 1\n%endmacro\n';
    same(`${m}${calls}%define rbx rdx\n${calls}%undef rbx\n${calls}`);
    same(`${m}${calls}%idefine RBX rdx\n${calls}`);
    same(
      `${m}${calls}%macro n 1\n%1 5\n%endmacro\n n m\n n nop\n%macro rbx 1\n db %1\n%endmacro\n n rbx\n n rcx\n${calls}`,
    );
  });

  test('the letters that stand for holes, and the labels of a rehearsal', () => {
    same('%macro m 1\n\ue100: db %1, "\ue001"\n%endmacro\n m 1\n m 2\n m 3');
    same('%macro m 1\n jmp ..@1099511627776.x\n%%x: db %1\n%endmacro\n m 1\n m 2\n m 3');
    same('%macro m 1\n jmp a%%x\na%%x: db %1\n%%x: jmp %%x\n%endmacro\n m 1\n m 2\n m 3');
  });

  test('another number of words, empty ones, braces, more than a line may hold', () => {
    const m = '%macro m 1-3 5\n db %0, %1\n%ifnempty %2\n db %2\n%endif\n%endmacro\n';
    same(`${m} m 1\n m 2\n m 1, 2\n m 3, 4\n m {5, 6}\n m {7, 8}\n m 1,\n m 2,\n m ,3\n m ,4\n m 1,,2\n m 3,,4`);
    same(
      `%macro m 1-*\n%rep %0\n db %1\n%rotate 1\n%endrep\n%endmacro\n${[1, 2, 3].map((n) => ` m ${Array(300).fill(n)}`).join('\n')}`,
    );
    same(`%macro m 1\n%rep 3000\n db %1\n%endrep\n%endmacro\n m 1\n m 2\n m 3`);
  });
});

test('any macros, called in a few words over and over', () => {
  const line = fc.constantFrom(
    ' mov rax, %1',
    ' add %1, %2',
    ' jz %%a',
    '%%a:',
    '%%b: push %1',
    ' jmp %%b',
    ' db %2, "x"',
    ' dw %0',
    ' times 3 nop',
    ' jmp far_away',
    ' lea rbx, [rel %%a]',
    ' n %2, %1',
    ' n K, 1',
    '%if %2 > K\n nop\n%else\n ret\n%endif',
    '%ifidn %1, rcx\n cld\n%elif %0 = 2\n std\n%endif',
    '%rep %0\n pop rax\n%rotate 1\n%endrep',
    '%rep 3\n inc eax\n%if %2 = 3\n%exitrep\n%endif\n%endrep',
    '%assign K K+1',
    '%define Z %2',
    ' dd __?LINE?__, Z',
    ' align 4',
    ' mov al, %2',
    '%warning said %2',
    ' mov [rsp + 8*(%2)], %1',
    ' lea rax, [%1 + %2*4 - 300]',
    ' add dword [rbx + %2], %2 - 200',
    ' n %2 + 1, rdx',
    '%if %2 & 4\n sub %1, %2\n%elif %2 < K + 100\n xor eax, %2 << 3\n%endif',
  );
  const between = fc.constantFrom(
    ' m rcx, 3',
    ' m rax, 300',
    ' m 7, 7',
    ' n rcx, 3',
    ' n 1, rax',
    ...[0, 1, 4, 15, 16, 100, 127, 128, 255, 1000, 0x10000].flatMap((value) => [
      ` m rbx, ${value}`,
      ` n r13, ${value}`,
    ]),
    '%define K 5',
    '%undef Z',
    ' nop',
    'x equ 3',
    ' m rax, x',
    '%unmacro n 2',
  );
  const body = fc.array(line, { maxLength: 6 });
  fc.assert(
    fc.property(body, body, fc.array(between, { minLength: 2, maxLength: 24 }), (m, n, calls) => {
      const macro = (name: string, lines: string[]) => [`%macro ${name} 2`, ...lines, '%endmacro'];
      same(
        ['%define K 2', '%define Z 1', ...macro('m', m), ...macro('n', n), ...calls, ...calls, 'far_away:'].join('\n'),
      );
    }),
    { numRuns: 300 },
  );
});
