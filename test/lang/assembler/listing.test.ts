/** Listings byte for byte as `nasm -f elf64 -l` writes them. Warnings have words of their own, so their rows are left out. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assemble } from '../../../lang/assembler/assemble.ts';
import { Listing } from '../../../lang/assembler/listing.ts';
import { inFolder } from '../../in-folder.ts';
import { has } from './tools.ts';

const FILES: Readonly<Record<string, string>> = {
  'inc.inc': '; included\n nop\n twice 3\n\n; behind it\n',
  'empty.inc': '; nothing\n',
};

const CORPUS: Readonly<Record<string, string>> = {
  'code, comments, blanks and labels': `; a comment
	bits 64

start:	mov	eax, 5	; five
lonely:

	jmp	start
; the last line`,
  'constants and directives': `%define N 5
x equ 7
	mov eax, N
	global f
f:	mov rax, \\
		x
	ret
`,
  'long data': ` db "hello, world, this is a long string", 10, 0
 dw 1,2,3,4,5,6,7,8,9,10
 dd 1
 dq 1, 2, 3`,
  'places that the linker fills': ` extern e1
section .text
f: call g+5
 call e1
 jmp e1+8
 jz f
 jz e1
 mov eax, [rel g]
 mov eax, [rel e1+3]
 mov rax, e1+3
 mov eax, e1+3
 mov dword [rel g], e1+7
 lea rax, [g+rbx*4+2]
 dq $, f, g, e1+1
 dd g-$, e1-$
 dd 0, g-$+4
 db e1
 dw e1
 push e1
 a32 mov eax, [e1]
section .data
g: dd 5
`,
  'macros whose lines are not listed': `%macro silent 2+.nolist
 jmp %%end
 db %2
 inner %1
%%end:
%endmacro
%macro inner 1
 db %1
%endmacro
%macro loud 1
 silent %{1}, "some text that is long", %1
 db %{1}
%endmacro
%macro one 1.nolist
 db %1
%endmacro
 silent 5, "hello", 13, 10
 loud 7
a: one 3
 nop`,
  'alignment by room, and addresses of elsewhere': ` bits 64
 nop
 alignb 8
 times 3 resb 1
 times 12 resb 1
 align 64, resb 1
section .data
 db 1
 alignb 16
section .bss
 resb 3
 alignb 8
 absolute 0x100
x: resb 3
 alignb 8
 resq 1`,
  'room among data': `section .data
db ?
dw ?, 1
dq ?, ?
db 3 dup (?), 1
db 20 dup (?)
a: db ?
times 3 db ?
db 3 dup (1, ?), 2
dw 4 dup (?, 5 dup (?))
times 2 dw 2 dup (?, 1)
x: resb 3
section .bss
db ?
y: resb 2
`,
  'labels in front of calls': `%macro m 1
 mov eax, %1
%endmacro
%macro outer 1
inside: m %1
%endmacro
lab: m 5
lab2:  m 6 ; c
lab3  m 6
lab4: outer 3
lab5: nop
`,
  'repetition by times and align': ` times 20 db 1
 times 3 nop
 times 0 nop
 times 1 nop
 times 5 db $-$$, 2, 3
 times 3 db "a very long string that takes a lot of room", 0
 align 16
 nop
 align 32, db 0
 times 4 dd 1,2`,
  room: `section .bss
a: resb 16
 resq 3
b: resb 3
 times 2 resb 3
 times 9 resd 3
 alignb 64
section .data
 db 1`,
  'macros, their parameters and local labels': `%macro two 1
	mov	eax, %1   ; parameter
%%x:	nop
	jmp %%x
%endmacro
	two	5
 nop
	two	6
%macro outer 2+
 two %1
 db %2
%endmacro
 outer 7, "a string that is long enough for two rows", 0
`,
  repetitions: `%assign i 0
%rep 3
%if i = 1
 db i
%else
 nop
%endif
%assign i i+1
%endrep
 ret`,
  'what is not assembled': `%if 0
	hidden
%else
	nop
%endif
%ifdef none
 mov eax, 5
%endif
 ret`,
  structures: ` struc pair
.a: resb 4
.b: resq 1
.c: resb 30
 endstruc
section .data
 istruc pair
 at pair.a, dd 5
 at pair.b, dq 7
 iend
 dd pair_size`,
  includes: `%macro twice 1
 db %1, %1
%endmacro
%include "inc.inc"
 nop
%include "empty.inc"
%include "inc.inc"
%include "inc.inc"
 ret`,
};

/** Rows but those of warnings. */
const withoutRemarks = (listing: string) =>
  listing
    .split('\n')
    .filter((row) => !row.includes('******************'))
    .join('\n');

const nasmListing = (text: string): string =>
  inFolder((folder) => {
    for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content);
    writeFileSync(join(folder, 'main.asm'), text);
    const args = ['-f', 'elf64', '-l', 'main.lst', '-o', 'main.o', 'main.asm'];
    const { status, stderr } = spawnSync('nasm', args, { cwd: folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return readFileSync(join(folder, 'main.lst'), 'utf8');
  });

function ourListing(text: string): string {
  const listing = new Listing();
  const result = assemble(
    { name: 'main.asm', text },
    { includePath: (name) => ({ name, text: FILES[name]! }), listing },
  );
  if (!('object' in result)) throw new Error(result.diagnostics[0]!.message);
  return listing.text(result.warnings);
}

test.skipIf(!has('nasm')).each(Object.entries(CORPUS))('%s (needs nasm)', (_, text) => {
  expect(withoutRemarks(ourListing(text))).toBe(withoutRemarks(nasmListing(text)));
});

test('a warning stands under its line', () => {
  expect(ourListing(' nop\n db 300\n ret')).toBe(
    [
      '     1 00000000 90                       nop',
      '     2 00000001 2C                       db 300',
      '     2          ******************       warning: byte data exceeds bounds [-w+number-overflow]',
      '     3 00000002 C3                       ret',
      '',
    ].join('\n'),
  );
});
