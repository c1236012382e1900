/**
 * C and assembly in one program, joined both ways: by ld and by the linker of gvm, from objects written here and by GCC. What comes out
 * runs on the modeled machine and calls the guest library.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readArchive } from '../../../lang/object/archive.ts';
import { KERNEL_LAYOUT, link } from '../../../lang/object/link.ts';
import { readElf } from '../../../lang/object/read-elf.ts';
import { readObject } from '../../../lang/object/read-object.ts';
import { writeObject } from '../../../lang/object/write-object.ts';
import { libraryArchive } from '../../../src/cli/librarian.ts';
import { gvmWith } from '../../cli/gvm.ts';
import { inFolder } from '../../in-folder.ts';
import { has, object, run } from '../assembler/tools.ts';

/** The driver in C: calls the library and a routine in assembly, which calls back. */
const C = `
int printk(const char *format, ...);
void *kzalloc(unsigned long size, unsigned int flags);
void kfree(const void *memory);
unsigned long scramble(unsigned long value, int rounds);

static const char *const days[] = { "Monday", "Tuesday", "Wednesday" };
int weight = 7;
static unsigned long calls;

unsigned long on_round(unsigned long value, int round) {
  calls++;
  switch (round & 3) { case 0: return value * 31; case 1: return value ^ 0x5bd1e995ul; case 2: return value + weight; default: return value >> 3 | value << 61; }
}

int init_module(void) {
  unsigned char *bytes = kzalloc(64, 0xcc0);
  if (!bytes) return -12;
  for (int i = 0; i < 64; i++) bytes[i] = i * weight;
  unsigned sum = 0;
  for (int i = 0; i < 64; i++) sum += bytes[i];
  kfree(bytes);
  unsigned long scrambled = scramble(0x0123456789abcdef, 9);
  printk("%s: sum %u, scrambled %lx after %lu calls\\n", days[sum % 3], sum, scrambled, calls);
  return 0;
}
`;

const ASSEMBLY = `
        bits 64
        default rel
        global scramble:function
        extern on_round, weight
; unsigned long scramble(unsigned long value, int rounds)
scramble:
        push    rbx
        push    r12
        sub     rsp, 8
        mov     ebx, esi
        mov     rax, rdi
        xor     r12d, r12d
.round: cmp     r12d, ebx
        jge     .done
        mov     rdi, rax
        mov     esi, r12d
        call    on_round
        movsxd  rcx, dword [weight]
        xor     rax, rcx
        inc     r12d
        jmp     .round
.done:  add     rsp, 8
        pop     r12
        pop     rbx
        ret
`;

/** What the program says, computed here. */
function expected(): string {
  const mask = (1n << 64n) - 1n;
  let value = 0x0123456789abcdefn;
  for (let round = 0; round < 9; round++) {
    value = [value * 31n, value ^ 0x5bd1e995n, value + 7n, (value >> 3n) | (value << 61n)][round & 3]! & mask;
    value ^= 7n;
  }
  const sum = Array.from({ length: 64 }, (_, i) => (i * 7) & 0xff).reduce((a, b) => a + b);
  return `${['Monday', 'Tuesday', 'Wednesday'][sum % 3]}: sum ${sum}, scrambled ${value.toString(16)} after 9 calls\n`;
}

const FLAGS = ['-c', '-ffreestanding', '-mgeneral-regs-only', '-mcmodel=kernel', '-mno-red-zone', '-fno-pic', '-g'];

const compiled = (...options: string[]): Uint8Array =>
  inFolder((folder) => {
    writeFileSync(join(folder, 'driver.c'), C);
    run('gcc', [...FLAGS, ...options, '-o', join(folder, 'driver.o'), join(folder, 'driver.c')]);
    return readFileSync(join(folder, 'driver.o'));
  });

const library = () => libraryArchive(new URL('../../../lang/library', import.meta.url).pathname);

/** ld's script for the layout that Linux's kernel text has. */
const SCRIPT = `ENTRY(startup_64) PHDRS { code PT_LOAD FLAGS(5); constants PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6); }
SECTIONS {
  . = 0xffffffff81000000; _text = .;
  .text : AT(ADDR(.text) - 0xffffffff80000000) { *(.text .text.*) _etext = .; } :code
  . = ALIGN(4096); .rodata : AT(ADDR(.rodata) - 0xffffffff80000000) { *(.rodata .rodata.*) } :constants
  . = ALIGN(4096); .data : AT(ADDR(.data) - 0xffffffff80000000) { _sdata = .; *(.data .data.*) _edata = .; } :data
  . = ALIGN(4096); .bss : AT(ADDR(.bss) - 0xffffffff80000000) { __bss_start = .; *(.bss .bss.* COMMON) __bss_stop = .; } :data
  _end = .;
  /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame) }
}`;

const LEVELS = [['-O0'], ['-O2'], ['-O3', '-march=x86-64-v3', '-mno-avx'], ['-Os', '-fcommon']];

describe.skipIf(!has('gcc') || !has('ld'))('a driver in C and assembly (needs gcc and ld)', () => {
  test.each(LEVELS)('joined by gvm: %s %s', (...options) => {
    const linked = link(
      [readObject(compiled(...options), 'driver.o'), object(ASSEMBLY)],
      [readArchive(library(), 'libgvm.a')],
      KERNEL_LAYOUT,
    );
    if (!('image' in linked)) throw new Error(JSON.stringify(linked.diagnostics.map(({ message }) => message)));
    const { status, stdout, stderr } = gvmWith({ 'driver.elf': linked.image }, 'run', 'driver.elf');
    expect(stdout + stderr).toContain(expected());
    expect(status).toBe(0);
  });

  test.each(LEVELS)('joined by ld: %s %s', (...options) => {
    const image = inFolder((folder) => {
      const at = (name: string) => join(folder, name);
      writeFileSync(at('driver.o'), compiled(...options));
      writeFileSync(at('scramble.o'), writeObject(object(ASSEMBLY), { debug: true }));
      writeFileSync(at('libgvm.a'), library());
      writeFileSync(at('script'), SCRIPT);
      run('ld', ['-T', at('script'), '-o', at('image'), at('driver.o'), at('scramble.o'), at('libgvm.a')]);
      return readFileSync(at('image'));
    });
    expect(readElf(image, 'image').entry).toBeGreaterThan(0xffffffff81000000n - 1n);
    const { status, stdout, stderr } = gvmWith({ 'driver.elf': image }, 'run', 'driver.elf');
    expect(stdout + stderr).toContain(expected());
    expect(status).toBe(0);
  });
});

describe.skipIf(!has('gdb') || !has('gcc'))('-g (needs gdb and gcc)', () => {
  test('gdb lists the source and breaks on a line', () => {
    inFolder((folder) => {
      const at = (name: string) => join(folder, name);
      const text = 'global main\n; a comment\nsection .text\nmain:\n mov eax, 3\n add eax, 4\n ret\n';
      writeFileSync(at('main.asm'), text);
      writeFileSync(at('main.o'), writeObject(object(text), { debug: true }));
      run('gcc', ['-no-pie', '-o', at('main'), at('main.o')]);
      const commands = ['list 5,6', 'info line 6', 'break main.asm:6', 'info symbol main'];
      const said = run('sh', [
        '-c',
        `cd ${folder} && gdb -batch -nx ${commands.map((each) => `-ex '${each}'`).join(' ')} main 2>&1`,
      ]);
      expect(said).toContain('5\t mov eax, 3\n6\t add eax, 4\n');
      expect(said).toMatch(/Line 6 of "main\.asm" starts at address 0x[0-9a-f]+ <main\+5>/);
      expect(said).toMatch(/Breakpoint 1 at 0x[0-9a-f]+: file main\.asm, line 6\./);
      expect(run('objdump', ['-dl', '--no-show-raw-insn', at('main')])).toMatch(/main\.asm:6\n.*add +\$0x4,%eax/);
    });
  });
});
