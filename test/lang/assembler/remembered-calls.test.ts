/** Calls in the same words are assembled once: nobody may notice but the clock. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { casesOf, corpusFiles } from '../language/corpus.ts';
import { outcome } from './tools.ts';

/** What comes out with calls remembered, which they are where nobody wants a line table, and without. */
const outcomeOf = (text: string, isRemembered: boolean): string =>
  outcome(text, isRemembered, {
    includePath: (name) => (name === 'again.inc' ? { name, text: 'again 1\n' } : undefined),
    lineTable: false,
  });

/** What both ways give. */
function same(text: string): string {
  const remembered = outcomeOf(text, true);
  expect(remembered, text).toBe(outcomeOf(text, false));
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
  );
  const between = fc.constantFrom(
    ' m rcx, 3',
    ' m rax, 300',
    ' m 7, 7',
    ' n rcx, 3',
    ' n 1, rax',
    '%define K 5',
    '%undef Z',
    ' nop',
    'x equ 3',
    ' m rax, x',
    '%unmacro n 2',
  );
  const body = fc.array(line, { maxLength: 6 });
  fc.assert(
    fc.property(body, body, fc.array(between, { minLength: 2, maxLength: 12 }), (m, n, calls) => {
      const macro = (name: string, lines: string[]) => [`%macro ${name} 2`, ...lines, '%endmacro'];
      same(
        ['%define K 2', '%define Z 1', ...macro('m', m), ...macro('n', n), ...calls, ...calls, 'far_away:'].join('\n'),
      );
    }),
    { numRuns: 300 },
  );
});
