/** Hostile sources end in a clear error, in bounded time and memory; nothing is thrown. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assemble } from '../../../lang/assembler/assemble.ts';
import { complaints } from './tools.ts';

/** `count` macros, each of which calls the next. */
const chain = (count: number, argument: string): string =>
  Array.from({ length: count }, (_, i) => `%macro m${i} 1\n m${i + 1} ${argument}\n%endmacro\n`).join('');

const BOUNDED: readonly (readonly [title: string, text: string, message: string])[] = [
  ['a huge times', ' times 0x7fffffff db 0', '`times` 2147483647 makes section .text larger than 256 MiB'],
  ['a times of times', ' times 100000000 resq 1000', 'section .text grows beyond 256 MiB'],
  ['a huge resb', 'section .bss\n resb 1 << 40', '`resb` 1099511627776 makes section .bss larger than 256 MiB'],
  ['a huge rep', '%rep 100000000\n nop\n%endrep', '`%rep 100000000` is more than 1000000'],
  ['reps in reps', '%rep 1000000\n%rep 1000000\n nop\n%endrep\n%endrep', 'macros make more than 1000000 lines'],
  ['a file that includes itself', '%include "main.asm"', 'more than 64 deep; does a file include itself?'],
  [
    'macros that call each other',
    '%macro a 1\n b %1\n%endmacro\n%macro b 1\n c %1\n%endmacro\n a 1',
    'unknown instruction `c`',
  ],
  [
    'a define that doubles itself',
    `%define x0 1\n${Array.from({ length: 40 }, (_, i) => `%define x${i + 1} x${i} + x${i}`).join('\n')}\n dd x40`,
    'makes this line too long',
  ],
  [
    'a macro that calls itself for ever',
    '%rmacro m 1\n m %1\n%endmacro\n m 1',
    '`m` calls itself: NASM 2.16 assembles nothing',
  ],
  ['macros that nest deep', `${chain(300, '%1')} m0 1`, 'macro `m255` nests more than 256 deep'],
  ['macros that double their argument', `${chain(40, '{%1 + %1}')} m0 1`, 'macros make this line too long'],
  [
    'a macro that makes macros for ever',
    '%macro m 1\n%macro m%1 1\n m1 1\n%endmacro\n m1 1\n%endmacro\n m 1',
    'unknown instruction `m1`',
  ],
  ['a definition that doubles', '%define a 1\n%rep 60\n%xdefine a a + a\n%endrep\n dd a', 'this line too long'],
  [
    'a string that doubles',
    "%define a 'x'\n%rep 60\n%strcat a a, a\n%endrep\n db a",
    'a string of more than 1048576 bytes',
  ],
  ['a function that calls itself', '%idefine f(x) %eval(f(x) + 1)\n dd f(1)', 'unexpected `(`'],
  ['a section far away', 'section .data start=0x7fffffffffff\n db 1', 'has a meaning only in flat output'],
  ['a line of 10 MB', ` nop\n db ${'1,'.repeat(5_000_000)}1`, 'main.asm:2:1: error: this line is longer than 1 MiB'],
  ['a comment of 10 MB', ` nop\n; ${'long '.repeat(2_000_000)}`, 'main.asm:2:1: error: this line is longer than 1 MiB'],
  ['10 MB of continued lines', `db \\\n${'1, \\\n'.repeat(2_000_000)}1`, 'this line is longer than 1 MiB'],
  ['a huge times of places', ' times 100000000 db $ - $$', '`times` 100000000 of something that depends on its place'],
  ['a huge dup of places', ' db 100000000 dup ($ - $$)', '`dup` 100000000 of something that depends on its place'],
  ['dups of dups', ' db 100000 dup (100000 dup (1))', 'section .text grows beyond 256 MiB'],
  ['deep parentheses', ` dd ${'('.repeat(20_000)}1${')'.repeat(20_000)}`, 'nested too deeply'],
  ['a sum without end', ` dd ${'1+'.repeat(100_000)}1`, 'more than 4000 operators'],
  ['conditionals in conditionals', ` dd ${'1 ? 2 : '.repeat(20_000)}1`, 'nested too deeply'],
  ['many signs', ` dd ${'-'.repeat(100_000)}1`, 'nested too deeply'],
];

test.each(BOUNDED)('%s', (_, text, message) => {
  const start = performance.now();
  const said = complaints(text, { 'main.asm': text });
  expect(said.join('\n')).toContain(message);
  expect(performance.now() - start).toBeLessThan(20_000);
});

test('a line of a mebibyte is read', () => {
  expect(complaints(` db ${'1,'.repeat(524_000)}1`)).toEqual([]);
  for (const text of ['\\', 'a\\', 'word ', '\\\n', '"']) {
    expect(complaints(`; ${text.repeat(1_000_000 / text.length)}\n nop`)).toEqual([]);
  }
});

const PIECES = [
  ...' \t\n,:;[]()+-*/%$?"\'`\\{}<>=!&|^~#@.'.split(''),
  ...'mov rax eax al [rbx 5 0x10 1.5 label .local db dq times equ section global extern jmp $$ %define %macro %endmacro %1 %%x'.split(
    ' ',
  ),
  ...'%if %else %endif %rep %endrep %include "s" resb align rel byte lock rep %{1} %+ ?: wrt dup fs: ..@a \0 é \ufffd'.split(
    ' ',
  ),
];

test('random lines never throw', () => {
  const line = fc.array(fc.constantFrom(...PIECES), { maxLength: 30 }).map((pieces) => pieces.join(' '));
  const glued = fc.array(fc.constantFrom(...PIECES), { maxLength: 30 }).map((pieces) => pieces.join(''));
  const source = fc.array(fc.oneof(line, glued, fc.string()), { maxLength: 12 }).map((lines) => lines.join('\n'));
  fc.assert(
    fc.property(source, (text) => {
      const result = assemble({ name: 'fuzz.asm', text }, { includePath: () => undefined });
      expect('object' in result || result.diagnostics.length > 0).toBe(true);
    }),
    { numRuns: 1500, seed: 1 },
  );
});
