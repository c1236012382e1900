/** Lines of bodies are kept for the calls that follow: nobody may notice but the clock. */

import { describe, expect, test } from 'vitest';
import { casesOf, corpusFiles } from '../language/corpus.ts';
import { complaints, flat, outcome } from './tools.ts';

test.each(corpusFiles)('the cases of %s come out the same', (file) => {
  for (const { source, title } of casesOf(file)) expect(outcome(source, true), title).toBe(outcome(source, false));
});

describe('what looks the same in two calls', () => {
  test('labels of a call are its own, and those of a nested call', () => {
    const source = `
      %macro inner 1
      jz %%out
      jmp %1
      %%out: dq %%out
      %endmacro
      %macro outer 1
      %%out: inner %%out
      db %1
      jmp short %%out
      %endmacro
      outer 1
      outer 1
      inner $
      inner $`;
    expect(outcome(source, true)).toBe(outcome(source, false));
    expect(flat(source).length).toBeGreaterThan(80);
  });

  test('a label of a call that is part of another word is another word in each', () => {
    const source = '%macro m 1\n jmp a%%x\na%%x: db %1\n%endmacro\n m 1\n m 2\n m 3';
    // nasm's bytes.
    expect(flat(source)).toBe('eb0001eb0002eb0003');
  });

  test('a macro that has got another meaning is looked at again', () => {
    const source =
      '%macro m 1\ndb A, %1\n%endmacro\n%define A 1\nm 2\nm 2\n%define A 3\nm 2\n%undef A\nA equ 9\nm 2\nm 2';
    expect(flat(source)).toBe('01020102030209020902');
  });

  test('so is a word that becomes the name of a macro, in any case', () => {
    const source = '%macro m 0\nPUSH rax\n%endmacro\nm\nm\n%imacro push 1\ndb 7\n%endmacro\nm\n%unimacro push 1\nm';
    expect(flat(source)).toBe('50500750');
  });

  test('a context, a line number, a place and an argument list are no part of what is kept', () => {
    const source = `%macro m 1
      %push c
      %assign %$x %1 + 1
      db %$x, __?LINE?__, %0
      %pop
      %endmacro
      m 1
      m 1
      %macro n 1-*
      %rep %0
      db %1
      %rotate 1
      %endrep
      %if $ - $$ > 20
      db 0xff
      %endif
      %endmacro
      n 1, 2, 3
      n 3, 2, 1
      n 1, 2, 3, 4, 5`;
    expect(flat(source)).toBe('020401020401' + '010203' + '030201' + '0102030405');
  });

  test('the condition of a call is asked again where it depends on a symbol', () => {
    expect(
      flat('%macro m 1\n%if %1 > 1\ndb 1\n%else\ndb 0\n%endif\n%endmacro\na equ 1\nm a\nb equ 2\nm b\nm 1\nm 2\nm 1'),
    ).toBe('0001000100');
  });

  test('errors stand at the arguments of their own call', () => {
    const said = complaints(
      '%macro load 2\n mov %1, %2\n%endmacro\n load rax, 1\n load rax, nowhere\n load rbx, 1\n  load rax, nowhere2\n load eax, bl\n load eax, bl',
    );
    expect(said).toHaveLength(4);
    expect(said[0]).toMatch(/^main\.asm:8:12: error: mismatch .*\^~/s);
    expect(said[1]).toMatch(/^main\.asm:9:12: error: mismatch .*\^~/s);
    expect(said[2]).toMatch(/^main\.asm:5:12: error: symbol `nowhere`.*\^~~~~~~\n/s);
    expect(said[3]).toMatch(/^main\.asm:7:13: error: symbol `nowhere2`.*\^~~~~~~~\n/s);
  });

  test('warnings, too, and those of single-line macros in the body at the body', () => {
    const said = complaints(
      '%define two(x) x, x\n%macro m 2\n db two(%1), %2\n%endmacro\n m 1, 2\n m 300, 2\n m 300, 2',
    );
    expect(said.map((each) => each.split('\n')[0])).toEqual([
      'main.asm:6:4: warning: byte data exceeds bounds [-w+number-overflow]',
      'main.asm:6:4: warning: byte data exceeds bounds [-w+number-overflow]',
      'main.asm:7:4: warning: byte data exceeds bounds [-w+number-overflow]',
      'main.asm:7:4: warning: byte data exceeds bounds [-w+number-overflow]',
    ]);
  });

  test('a label that a message names has the name its author gave it', () => {
    const said = complaints('%macro m 0\n%%aa: nop\n%%aa: nop\n jmp %%ab\n%endmacro\n m\n m');
    expect(said.map((each) => each.split('\n')[0])).toEqual([
      'main.asm:3:1: error: label `%%aa` is defined twice',
      'main.asm:3:1: error: label `%%aa` is defined twice',
      'main.asm:4:6: error: symbol `%%ab` is not defined; did you mean `%%aa`?',
      'main.asm:4:6: error: symbol `%%ab` is not defined; did you mean `%%aa`?',
    ]);
  });
});
